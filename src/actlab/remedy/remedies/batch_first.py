"""Let attention read the batch along its first axis."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from actlab.nn.user_lines import noted_line
from actlab.remedy.change import Change, Refusal, Remedy, transforming
from actlab.remedy.edit import ChangeArgument, Edit
from actlab.remedy.facts import Facts
from actlab.remedy.transforms import Edited
from actlab.rules.finding import Finding
from actlab.train.task import Task


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose `batch_first=True` for every attention that lacks it."""
    found = [each for each in facts.layout.model.modules() if getattr(each, "batch_first", True) is False]
    if not found:
        yield Refusal("no attention of the model has an argument batch_first")
        return
    places: dict[tuple[str, int, str], None] = {}
    for each in found:
        line = noted_line(each)
        outer = line is not None and not any(
            each in list(other.modules()) and other is not each and noted_line(other) == line for other in found
        )
        if outer and line is not None:
            places[line[0], facts.line(*line), type(each).__name__] = None
    edits: tuple[Edit, ...] = tuple(
        ChangeArgument(file, at, name, "batch_first", "True", everywhere=True) for file, at, name in places if at
    )
    change = Edited(_batch_first, "setting batch_first")
    yield Change(
        "batch_first=True",
        transforming(change),
        edits,
        ("Pass batch_first=True to the attention layers.",),
    )


def _batch_first(model: nn.Module, task: Task) -> None:
    for each in model.modules():
        if getattr(each, "batch_first", True) is False:
            setattr(each, "batch_first", True)  # noqa: B010  # an attribute of some modules


REMEDY = Remedy(
    "batch-first", 0, frozenset({"batch-first"}), "Let attention read the batch along its first axis.", propose
)
