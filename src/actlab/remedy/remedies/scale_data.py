"""Scale the inputs or the targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from actlab.errors import BadInput
from actlab.remedy.change import Change, Refusal, Remedy
from actlab.remedy.facts import Facts
from actlab.remedy.programs import standardized, with_rows
from actlab.remedy.training import Training
from actlab.rules.finding import Finding
from actlab.train.examples import Examples


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose inputs of mean 0 and deviation 1, or targets from 0 to 1, as the findings ask."""
    asked = {name for each in findings for name in each.remedies}
    if "scale-inputs" in asked:
        if any(each.is_floating_point() for each in _tensors(facts.training)):
            yield Change(
                "inputs of mean 0 and deviation 1",
                _scaled_inputs,
                (),
                ("inputs = (inputs - train.mean(0)) / train.std(0)  # of the training rows, for all rows",),
            )
        else:
            yield Refusal("the inputs are not floating-point numbers")
    if asked & {"scale-targets", "targets-in-range"}:
        targets = facts.training.task.train.targets
        if (
            isinstance(targets, Tensor)
            and targets.is_floating_point()
            and facts.training.task.kind.name == "regression"
        ):
            yield Change(
                "targets from 0 to 1",
                _scaled_targets,
                (),
                ("targets = (targets - train.min()) / (train.max() - train.min())  # and the inverse for predictions",),
            )
        else:
            yield Refusal("the targets are not the numbers of a regression")


def _tensors(training: Training) -> list[Tensor]:
    inputs = training.task.train.inputs
    return [inputs] if isinstance(inputs, Tensor) else []


def _scaled_inputs(training: Training) -> Training:
    like = training.task.train.inputs

    def scaled(rows: Examples) -> Examples:
        inputs = standardized(rows.inputs, like)
        return Examples(inputs, inputs if rows.targets is rows.inputs else rows.targets)

    return with_rows(training, scaled)


def _scaled_targets(training: Training) -> Training:
    task = training.task
    low, high = task.train.targets.min(), task.train.targets.max()
    width = float(high - low)
    if not width > 0:
        raise BadInput(f"task '{task.name}': the targets must differ to be scaled; all are {float(low):g}.")

    def scaled(rows: Examples) -> Examples:
        return Examples(rows.inputs, (rows.targets - low) / width)

    changed = with_rows(training, scaled)
    return replace(changed, task=replace(changed.task, target_unit=task.target_unit * width))


REMEDY = Remedy(
    "scale-data",
    0,
    frozenset({"scale-inputs", "scale-targets", "targets-in-range"}),
    "Scale the inputs, or the targets into the range that the output or the loss takes.",
    propose,
)
