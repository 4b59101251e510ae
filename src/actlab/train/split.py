"""Divide rows into training, validation and test parts, again for every split number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from actlab.errors import BadTask
from actlab.train.examples import Divides, Drawn, Examples, Parts

MIN_ROWS = 20
"""Fewer rows cannot be split into three useful parts."""


@dataclass(frozen=True, eq=False)
class Division:
    """Splits a fifth of the rows off for each part that is missing: stratified by class, for a regression a shuffle.

    Attributes:
        rows: the rows to split.
        fixed: the parts that stay as they are, by name.
    """

    rows: Examples
    fixed: Mapping[str, Examples] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.rows) < MIN_ROWS:
            missing = self._missing[0]
            raise BadTask(
                f"train must have at least {MIN_ROWS} rows to split off a part for {missing}; got {len(self.rows)}."
                f" Pass more rows, or {missing}= itself."
            )

    @property
    def _missing(self) -> list[str]:
        return [part for part in ("valid", "test") if part not in self.fixed]

    @property
    def sentence(self) -> str:
        """Which rows a new split draws, and which noise that leaves out."""
        if not self.fixed:
            return "Each split draws the training, validation and test rows anew."
        kept, drawn = ("test", "validation") if "test" in self.fixed else ("validation", "test")
        return (
            f"The {kept} rows are those of the task in every split; only the {drawn} rows are drawn anew, from the"
            f" training rows. So the interval leaves out the noise of drawing the {kept} rows."
        )

    def parts(self, number: int) -> Parts:
        """Return the three parts of this split."""
        rows = self.rows
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(number))
        classes = rows.targets if isinstance(rows.targets, Tensor) and rows.targets.dim() == 1 else None
        if classes is not None and not classes.is_floating_point():
            order = order[classes[order].argsort(stable=True)]
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        kept = torch.ones(len(rows), dtype=torch.bool)
        parts = dict(self.fixed)
        for remainder, part in enumerate(self._missing, start=1):
            chosen = place % 5 == remainder
            parts[part] = rows.at(chosen)
            kept &= ~chosen
        return Parts(train=rows.at(kept), valid=parts["valid"], test=parts["test"])


@dataclass(frozen=True, eq=False)
class Standardized:
    """Divides as another division; then each input column has mean 0 and deviation 1 in the training part.

    Attributes:
        division: what is standardized.
        targets: whether the targets are standardized too; one unit is then their deviation in the training part.
    """

    division: Divides
    targets: bool = False

    @property
    def sentence(self) -> str:
        """Which rows a new split draws, and which noise that leaves out."""
        return self.division.sentence

    def parts(self, number: int) -> Parts:
        """Return the three parts of this split."""
        parts = self.division.parts(number)
        train = parts["train"]
        middle, spread = train.inputs.mean(0), train.inputs.std(0)
        spread = torch.where(spread > 0, spread, 1.0)
        center, unit = (train.targets.mean(), train.targets.std().item()) if self.targets else (0.0, 1.0)

        def scaled(part: Examples) -> Examples:
            targets = (part.targets - center) / unit if self.targets else part.targets
            return Examples((part.inputs - middle) / spread, targets)

        return Parts(train=scaled(train), valid=scaled(parts["valid"]), test=scaled(parts["test"]), target_unit=unit)


def all_parts(parts: Mapping[str, Examples]) -> dict[str, Examples]:
    """Return all three parts; split each missing one off the training part."""
    fixed = {part: rows for part, rows in parts.items() if part != "train"}
    if len(fixed) == 2:
        return dict(parts)
    return by_name(divided(Division(parts["train"], fixed), 0))


def by_name(parts: Parts) -> dict[str, Examples]:
    """Return the three parts alone."""
    return {"train": parts["train"], "valid": parts["valid"], "test": parts["test"]}


def divided(division: Divides, number: int) -> Parts:
    """Return the three parts of a split, each with a note of how it was drawn, by which the task can split anew."""
    parts = division.parts(number).copy()
    parts["train"] = replace(parts["train"], drawn=Drawn(division, number, "train"))
    parts["valid"] = replace(parts["valid"], drawn=Drawn(division, number, "valid"))
    parts["test"] = replace(parts["test"], drawn=Drawn(division, number, "test"))
    return parts


def common_draw(parts: Mapping[str, Examples]) -> Drawn | None:
    """Return how the three parts were drawn, or None unless the same split drew them all.

    Example:
        >>> rows = Examples(torch.arange(40.0), torch.arange(40) % 2)
        >>> parts = divided(Division(rows), 3)
        >>> found = common_draw({name: parts[name] for name in ("train", "valid", "test")})
        >>> found.number
        3
        >>> common_draw({"train": rows, "valid": rows, "test": rows})
    """
    draws = [parts[name].drawn for name in ("train", "valid", "test")]
    first = draws[0]
    if first is None:
        return None
    for name, each in zip(("train", "valid", "test"), draws, strict=True):
        if each is None or (each.division, each.number, each.part) != (first.division, first.number, name):
            return None
    return first
