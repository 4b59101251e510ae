"""Repair a training, and hand over what repaired it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

from torch import nn
from torch.optim import Optimizer

from actlab.errors import BadInput
from actlab.jsonable import plain
from actlab.remedy.change import Change
from actlab.remedy.fix import fix as repaired
from actlab.remedy.handover import Handover, handover
from actlab.remedy.measured import Budget, Progress
from actlab.remedy.outcome import NOTHING, REPAIRED, Outcome, State, Tried
from actlab.remedy.patch import write
from actlab.remedy.programs import training_of, training_of_model
from actlab.remedy.threads import suited_threads
from actlab.remedy.training import Origin, Training
from actlab.report.repair import repair_lines
from actlab.report.sarif import sarif
from actlab.report.written import write_whole
from actlab.sites.trace.preserve_state import copy_of
from actlab.train.subject import Subject
from actlab.train.task import Task
from actlab.train.taskfile import parts
from actlab.user_code import their_code
from actlab.verbs.configuration import configuration
from actlab.verbs.task_lookup import subject_named


@final
@dataclass(frozen=True)
class Fixed:
    """What a repair found, and the patch that hands it over.

    Attributes:
        outcome: the training before and after, and everything that was tried.
        handed: the patch, and the lines to write where the text cannot be changed literally.
    """

    outcome: Outcome
    handed: Handover

    @property
    def before(self) -> State:
        """The training as it was: its findings and its metric."""
        return self.outcome.before

    @property
    def after(self) -> State:
        """The training with what is kept."""
        return self.outcome.after

    @property
    def kept(self) -> tuple[Change, ...]:
        """The changes that are kept."""
        return self.outcome.kept

    @property
    def tried(self) -> tuple[Tried, ...]:
        """The changes that were tried, in order."""
        return self.outcome.tried

    @property
    def diff(self) -> str:
        """A unified diff of the user's file; empty if no kept change is literal."""
        return self.handed.diff

    @property
    def verdict(self) -> str:
        """The result in a word or two."""
        return self.outcome.verdict

    @property
    def was_stopped(self) -> bool:
        """Whether Ctrl-C ended the repair early."""
        return self.outcome.was_stopped

    @property
    def is_well(self) -> bool:
        """Whether the training is repaired, or needs no repair."""
        return self.verdict in (REPAIRED, NOTHING)

    def apply(self, model: nn.Module) -> nn.Module:
        """Return a copy of a model with the kept changes of the model; the model itself is left unchanged.

        Changes of the loss, the data and the optimizer are described by `lines()`.

        Raises:
            BadInput: the model cannot be copied, a change does not fit it, or exists as a change of text alone.
        """
        of_text = [each.name for each in self.kept if each.apply is None]
        if of_text:
            raise BadInput(
                f"{of_text[0]}: the change must be in memory to be applied; it is one of text. Apply the diff."
            )
        with their_code("copying the model", error=BadInput):
            copied = copy_of(model)
        training = self.outcome.start
        changed = replace(training, transforms=())
        for each in self.kept:
            assert each.apply is not None
            changed = each.apply(changed)
        for transform in changed.transforms:
            copied = transform(copied, changed.task)
        return copied

    def write(self) -> tuple[Path, ...]:
        """Write the diff to the user's files, and return their paths.

        Raises:
            BadInput: there is no diff, a file has changed since, or lies outside the repository.
        """
        origin = self.outcome.start.origin
        if not self.diff or origin is None or self.handed.patch is None:
            raise BadInput("there must be a diff to write; got none: nothing was kept that changes the file literally.")
        return write(self.handed.patch, task_file=origin.file)

    def to_json(self) -> dict[str, Any]:
        """Return plain values: before, tried, after, diff and verdict."""
        outcome = self.outcome
        return {
            "before": _state(outcome.before),
            "tried": [_tried(each) for each in outcome.tried],
            "after": _state(outcome.after),
            "diff": self.diff,
            "verdict": outcome.verdict,
            "kept": [each.name for each in outcome.kept],
            "lines": list(self.handed.lines),
            "not_tried": list(outcome.not_tried),
            "refused": [{"remedy": each.remedy, "reason": each.reason} for each in outcome.refused],
            "best": [each.name for each in outcome.best],
            "metric": outcome.metric.name,
            "larger_is_better": outcome.metric.larger_is_better,
            "runs": outcome.runs,
            "seconds": round(outcome.seconds, 1),
            "notes": [*outcome.notes, *self.handed.notes],
        }

    def to_sarif(self) -> dict[str, Any]:
        """Return the findings before as a SARIF 2.1.0 log, in which those that the diff removes carry it as a fix."""
        findings, patch, origin = self.before.findings, self.handed.patch, self.outcome.start.origin
        gone = {each.finding for each in self.tried if each.kept}
        patches = {at: patch for at, each in enumerate(findings) if each.id in gone and patch is not None}
        whole = ("", 0) if origin is None else (origin.file, 0)
        return sarif(findings, root=Path.cwd(), version=version("actlab"), whole=whole, patches=patches)

    def write_sarif(self, path: Path) -> Path:
        """Write the SARIF log and return its path.

        Raises:
            BadInput: the file cannot be written.
        """
        return write_whole(path, json.dumps(self.to_sarif(), indent=2, allow_nan=False).encode())

    def lines(self) -> list[str]:
        """Return a table of what was tried, the findings before and after, and the diff."""
        return repair_lines(self.outcome, self.handed)


def _state(state: State) -> dict[str, Any]:
    return {
        "findings": [each.to_json() for each in state.findings],
        "metric": plain(state.metric),
        "seeds": state.seeds,
        "curve": plain(state.curve),
    }


def _tried(each: Tried) -> dict[str, Any]:
    return {
        "remedy": each.remedy,
        "finding": each.finding,
        "kept": each.kept,
        "reason": each.reason,
        "difference": None if each.difference is None else each.difference.to_json(),
    }


def fix(
    data: str | Path | Task | Subject | None = None,
    *,
    model: nn.Module | None = None,
    batches: Iterable[Any] | None = None,
    loss: Callable[..., Any] | None = None,
    optimizer: Optimizer | None = None,
    valid: tuple[Any, Any] | None = None,
    epochs: int | None = None,
    target: str | None = None,
    task: str | None = None,
    budget: int | str = 40,
    progress: Progress | None = None,
) -> Fixed:
    """Repair what is wrong with a training: choose, apply to a copy, measure, keep or drop.

    Nothing of the user's is changed: neither the model, its optimizer and the random state, nor a file.

    Args:
        data: `file.py:name` of a `Task`, or of a model, a batch and a loss; a table's path; a `Task` or a `Subject`.
        model: a model to repair, with `batches` and `loss`, instead of `data`.
        batches: pairs of inputs and targets, such as a loader; a fifth of the rows is held out.
        loss: a function of outputs and targets.
        optimizer: the model's optimizer; by default Adam with a learning rate of 0.001.
        valid: inputs and targets to validate on, instead of a fifth of the rows.
        epochs: passes over the rows in one training run; by default as the task says, or enough for 240 steps.
        target: the table column to predict.
        task: the name of a built-in task.
        budget: the training runs to spend, such as 40, or a time, such as "10m".
        progress: called before and after each run.

    Raises:
        BadTask, BadTable, BadInput: the message says what to change.

    Example:
        >>> import torch
        >>> from torch.nn import functional as F
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(400, 4)
        >>> net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        >>> optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
        >>> batches = [(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long())]
        >>> fix(model=net, batches=batches, loss=F.cross_entropy, optimizer=optimizer).verdict
        'nothing to repair'
    """
    read = Budget.read(budget)
    start = _training(
        data,
        model=model,
        batches=batches,
        loss=loss,
        optimizer=optimizer,
        valid=valid,
        epochs=epochs,
        target=target,
        task=task,
    )
    folder = Path.cwd() if start.origin is None else Path(start.origin.file).parent
    with suited_threads(start):
        outcome = repaired(start, budget=read, settings=configuration(folder).settings(), progress=progress)
        return Fixed(outcome, handover(outcome))


def _training(
    data: str | Path | Task | Subject | None,
    *,
    model: nn.Module | None,
    batches: Iterable[Any] | None,
    loss: Callable[..., Any] | None,
    optimizer: Optimizer | None,
    valid: tuple[Any, Any] | None,
    epochs: int | None,
    target: str | None,
    task: str | None,
) -> Training:
    if model is not None:
        if data is not None or task is not None or target is not None:
            raise BadInput("fix requires a task or a model; got both. Leave one out.")
        if batches is None:
            raise BadInput("fix requires the batches that the model is trained on; got none. Pass batches=.")
        return training_of_model(model, batches, loss=loss, optimizer=optimizer, valid=valid, epochs=epochs)
    for name, value in (("batches", batches), ("loss", loss), ("optimizer", optimizer), ("valid", valid)):
        if value is not None:
            raise BadInput(f"{name} requires a model; got none. Pass model=.")
    subject = subject_named(data, target=target, task=task, verb="fix")
    found = training_of(subject, origin=_origin(data))
    return found if epochs is None else replace(found, task=replace(found.task, epochs=epochs))


def _origin(data: object) -> Origin | None:
    """Return where the user's program is, if it was named as `file.py:name`."""
    if not isinstance(data, str | Path):
        return None
    file, name = parts(str(data))
    return Origin(str(file), name) if file.suffix == ".py" and file.is_file() else None
