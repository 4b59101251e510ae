"""Find the activations of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actlab.display.answer import Displayed
from actlab.display.picture import Picture
from actlab.display.table import Table
from actlab.jsonable import plain
from actlab.report.site_table import site_lines
from actlab.sites.site import Group, Site, Unseen
from actlab.sites.site_display import site_picture, site_table
from actlab.study.control_diagnosis import located
from actlab.train.subject import Subject
from actlab.train.task import Task
from actlab.verbs.task_lookup import subject_named


@dataclass(frozen=True)
class Located(Displayed):
    """The places where a model applies an activation, and the parts that could not be inspected.

    Attributes:
        sites: the places.
        unseen: the parts.
        root: the folder that paths are relative to.
        groups: the group of each site: hidden, gate, block or output.
    """

    sites: tuple[Site, ...]
    unseen: tuple[Unseen, ...]
    root: Path
    groups: tuple[Group, ...]

    def to_json(self) -> dict[str, Any]:
        """Return one object per site, and the parts that could not be inspected."""
        return {
            "sites": [
                {**plain(site.to_json()), "group": group} for site, group in zip(self.sites, self.groups, strict=True)
            ],
            "unseen": plain(self.unseen),
        }

    def table(self) -> Table:
        """Return a row for each site."""
        return site_table(self.sites, self.unseen, groups=self.groups)

    def picture(self) -> Picture | None:
        """Return how many sites each activation has."""
        return site_picture(self.sites)

    def lines(self) -> list[str]:
        """Return a table of the sites, then the parts that could not be inspected."""
        return site_lines(self.sites, self.unseen, root=self.root, groups=self.groups)


def sites(
    data: str | Path | Task | Subject | None = None,
    *,
    target: str | None = None,
    task: str | None = None,
    input: Sequence[str] = (),
) -> Located:
    """Find every place where a model applies an activation, including functions and written-out formulas.

    Args:
        data: as for `check`; a loss is not needed.
        target: the table column to predict.
        task: the name of a built-in task.
        input: the shapes of random inputs, such as `["32,4"]` or `["32,16:int64"]`, for a model without a batch.

    Raises:
        BadTask, BadTable, BadInput: the message says what to change.
    """
    found, groups = located(subject_named(data, target=target, task=task, verb="sites", input=input))
    return Located(found.found, found.unseen, Path.cwd(), groups)
