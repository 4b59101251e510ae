"""What a study measures beside the metric of its task, on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any, final

from actlab.errors import BadStudy, BadTask
from actlab.study.typed_values import read_as
from actlab.train.metrics import CALIBRATION
from actlab.train.own_training import OwnTraining
from actlab.train.perturbed import with_input_noise, with_label_noise, with_metrics
from actlab.train.task import Learnable, Task

NOISE, CALIBRATED, COST, ENERGY = "noise", "calibration", "cost", "energy"
MEASURES = (NOISE, CALIBRATED, COST, ENERGY)
ALL = "all"

LEVELS = (0.1, 0.3, 1.0)
"""The usual sizes of the noise in the inputs, as shares of their standard deviation."""


@final
@dataclass(frozen=True)
class Measuring:
    """What a study measures beside the metric of its task.

    Attributes:
        measures: of noise, calibration, cost and energy.
        noise_levels: the sizes of the noise in the inputs by which trained models are judged again.
        label_noise: the share of the training and validation targets that are wrong.
        target: the validation metric that the steps to target count up to; None for the usual one.
        watts: the power by which the energy of a training step is estimated where no counter can be read.

    Raises:
        BadStudy: a value is not possible.

    Example:
        >>> Measuring(("noise",), (0.1, 1.0)).to_json()
        {'measures': ('noise',), 'noise_levels': (0.1, 1.0)}
    """

    measures: tuple[str, ...] = ()
    noise_levels: tuple[float, ...] = ()
    label_noise: float = 0.0
    target: float | None = None
    watts: float | None = None

    def __post_init__(self) -> None:
        levels = self.noise_levels
        for name in self.measures:
            if name not in MEASURES:
                raise BadStudy(f"measure must be of {', '.join(MEASURES)}, or {ALL}; got '{name}'.")
        if not all(0 < level < float("inf") for level in levels) or sorted(set(levels)) != list(levels):
            shown = ", ".join(f"{level:g}" for level in levels)
            raise BadStudy(f"noise levels must be positive and increasing, such as 0.1,0.3,1; got {shown}.")
        if not 0 <= self.label_noise < 1:
            raise BadStudy(f"label noise must be at least 0 and below 1; got {self.label_noise:g}.")
        if self.watts is not None and not 0 < self.watts < float("inf"):
            raise BadStudy(f"watts must be positive; got {self.watts:g}.")
        if self.target is not None and not isfinite(self.target):
            raise BadStudy(f"the target metric must be a finite number; got {self.target:g}.")

    def to_json(self) -> dict[str, Any]:
        """Return what differs from the usual, as plain values."""
        usual = Measuring()
        return {name: value for name, value in asdict(self).items() if value != getattr(usual, name)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Measuring:
        """Return what these plain values describe.

        Raises:
            BadInput, TypeError: they describe none of this version.
        """
        known = {each.name for each in fields(cls)}
        if unknown := set(values) - known:
            raise TypeError(f"unknown: {', '.join(map(str, unknown))}")
        found: Measuring = read_as(cls, dict(values), at="measuring")
        return found

    def applied(self, task: Task, *, seed: int) -> Task:
        """Return the task of one seed as it is trained and judged.

        Raises:
            BadTask: something cannot be measured on the task.
        """
        if self.label_noise:
            task = with_label_noise(task, self.label_noise, seed=seed)
        if NOISE in self.measures:
            task = with_input_noise(task, self.noise_levels, seed=seed)
        if CALIBRATED in self.measures:
            task = with_metrics(task, CALIBRATION)
        return task

    @property
    def label_sentence(self) -> str:
        """How many labels are wrong, and which; empty if none are."""
        if not self.label_noise:
            return ""
        return (
            f"With each seed, {100 * self.label_noise:.3g} % of the training and validation labels are wrong, the same"
            " for all arms; the test labels stay as they are."
        )

    def sentences(self) -> tuple[str, ...]:
        """Say what is measured beside the metric."""
        found = [self.label_sentence] if self.label_noise else []
        if NOISE in self.measures:
            levels = ", ".join(f"{level:g}" for level in self.noise_levels)
            found.append(
                f"The chosen models are judged again with noise in the test inputs, of {levels} standard deviations of"
                " each input (of integers, so large a share is replaced), the same for all arms of a seed. These"
                " differences are shown, not tested."
            )
        if CALIBRATED in self.measures:
            found.append("Log loss, Brier score and calibration error are shown beside the metric, not tested.")
        return tuple(found)


NOTHING_MORE = Measuring()


def measuring_of(
    task: Learnable,
    *,
    measure: Sequence[str] = (),
    noise_levels: Sequence[float] | None = None,
    label_noise: float = 0.0,
    target: float | None = None,
    watts: float | None = None,
) -> tuple[Measuring, tuple[str, ...]]:
    """Return what is measured on a task, and a note of each thing that "all" asks for and the task does not allow.

    Args:
        task: the task.
        measure: of noise, calibration, cost and energy; or all.
        noise_levels: the sizes of the noise; with them, noise need not be named.
        label_noise: the share of the training and validation targets that are wrong.
        target: the validation metric that the steps to target count up to.
        watts: the power that energy is estimated with; with it, energy need not be named.

    Raises:
        BadStudy: a value is not possible, or the task does not allow what is named.
    """
    named = [*measure, *([NOISE] if noise_levels else []), *([ENERGY] if watts is not None else [])]
    wanted = [name for name in MEASURES if name in named or ALL in named]
    refused = {name: why for name in wanted if (why := _why_not(name, task))}
    for name, why in refused.items():
        if name in named:
            raise BadStudy(f"measure: {name} {why} Leave it out.")
    if label_noise and isinstance(task, OwnTraining):
        raise BadStudy(f"label noise requires training data of the task; '{task.name}' trains itself. Leave it out.")
    unknown = [name for name in named if name not in (*MEASURES, ALL)]
    measures = [name for name in (*wanted, *unknown) if name not in refused]
    levels = tuple(noise_levels or LEVELS) if NOISE in measures else ()
    found = Measuring(tuple(measures), levels, label_noise, target, watts)
    if isinstance(task, Task):
        try:
            found.applied(task, seed=0)
        except BadTask as error:
            raise BadStudy(str(error)) from error
    return found, tuple(f"Not measured: {name} {why}" for name, why in refused.items())


def _why_not(name: str, task: Learnable) -> str:
    """Return why something cannot be measured on a task; an empty text if it can."""
    if isinstance(task, OwnTraining):
        return f"requires models and data of the task; '{task.name}' trains itself."
    if name == CALIBRATED and task.kind.reads is None:
        return f"requires classes; '{task.name}' is judged by {task.metric.name}."
    return ""
