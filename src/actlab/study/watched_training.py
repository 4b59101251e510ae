"""Train a model step by step, look closely at every step, and replace its activations meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import repeat
from math import nan
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from actlab.diagnosis.check import check
from actlab.diagnosis.report import Report
from actlab.diagnosis.trial_run import copied_optimizer, copy_hooks, loss_of_step
from actlab.diagnosis.watch import Watch, watch
from actlab.errors import BadInput
from actlab.rules.site_groups import site_groups
from actlab.sites.find import recorded
from actlab.sites.recognize.routes import routed
from actlab.sites.site import Group, Site, Unseen
from actlab.sites.site_text import line_text, place_name
from actlab.sites.swap.swap import Changed, Choice, Key, Swap, swap
from actlab.sites.trace.preserve_state import copy_of
from actlab.study.control_diagnosis import batches, control_model, optimizer_of_task
from actlab.telemetry.close_look import MeasuredStep, looks_at
from actlab.telemetry.history import History
from actlab.train.subject import Subject
from actlab.train.task import Task
from actlab.train.tree import called_with
from actlab.user_code import their_code

_MOST_RATE = 1e6


@final
@dataclass(frozen=True)
class Places:
    """Where a model applies activations.

    Attributes:
        sites: the activations in the order of the forward pass.
        groups: the group of each.
        unseen: the parts that could not be inspected.
    """

    sites: tuple[Site, ...]
    groups: tuple[Group, ...]
    unseen: tuple[Unseen, ...]


@final
class WatchedTraining:
    """A copy of a model in training, of which every step is measured. One thread at a time may use it.

    A look at the first batch, before any step, is taken at once. What the model receives does not depend on the looks.

    Args:
        subject: the task, or the model with a batch and a loss; it is left unchanged.
        seed: random seed of a task's initial weights and of the order of its rows.

    Attributes:
        places: the activations of the model as it is defined.
        now: the same places with the activations that are applied now.
        choices: the activation or formula by which each replaced place was replaced.
        changed: what each replacement did.
        steps: the number of training steps done.
        history: the measured steps.

    Raises:
        BadTask, BadInput: the model or the loss cannot be run.
    """

    def __init__(self, subject: Task | Subject, *, seed: int = 0) -> None:
        self._subject, self._seed = subject, seed
        self.history = History[MeasuredStep]()
        self.choices: dict[int, str] = {}
        self.changed: dict[int, Changed] = {}
        self._rate: float | None = None
        self._watching, self._undo = ExitStack(), ExitStack()
        self._begin()
        self.places = self.now = self._places()
        self._batch_report = self._checked()
        self._look()

    def _begin(self) -> None:
        """Build the model with its initial weights, its optimizer and its batches."""
        self.steps = self._before = 0
        self.loss: float | None = None
        self._watched: Watch | None = None
        if isinstance(self._subject, Task):
            self._model = control_model(self._subject, seed=self._seed)
            self._optimizer = optimizer_of_task(self._model, self._subject)
            self._batches: Iterator[tuple[Any, Any]] = batches(self._subject, seed=self._seed)
        else:
            with their_code("copying the model", error=BadInput):
                self._model = copy_of(self._subject.model)
            copy_hooks(self._subject.model, self._model)
            self._optimizer = copied_optimizer(self._subject.optimizer, self._subject.model, self._model)
            self._batches = repeat((self._subject.inputs, self._subject.targets))
        for module in self._model.modules():
            module.training = True
        with torch.random.fork_rng(devices=[]):
            self._batch = next(self._batches)
        if self._rate is not None:
            self.rate = self._rate

    @property
    def rate(self) -> float:
        """The learning rate, of the first group of parameters."""
        return float(self._optimizer.param_groups[0]["lr"])

    @rate.setter
    def rate(self, rate: float) -> None:
        if not (isinstance(rate, int | float) and math.isfinite(rate) and 0 < rate <= _MOST_RATE):
            raise BadInput(f"the learning rate must be a positive number up to {_MOST_RATE:g}; got {rate!r}.")
        old = self.rate
        for group in self._optimizer.param_groups:
            group["lr"] = group["lr"] * rate / old if old > 0 and group["lr"] != old else float(rate)
        self._rate = float(rate)

    @property
    def why_not_trained(self) -> str:
        """Why the model cannot be trained; empty if it can."""
        has_loss = isinstance(self._subject, Task) or self._subject.loss is not None
        return "" if has_loss else "training requires a loss; name a tuple (model, (inputs, targets), loss)."

    def step(self) -> float:
        """Train one step and return the loss before it; not a finite number if the training diverged.

        Raises:
            BadInput: the model, the loss or the optimizer raises; the message has the line of the user's code.
        """
        if self.why_not_trained:
            raise BadInput(self.why_not_trained)
        watched = self._watching_model()
        loss = self._step_of(self._model, self._optimizer)
        with their_code("the training step", error=BadInput):
            self._optimizer.step()
        self.steps += 1
        watched.step(loss)
        self._batch = next(self._batches)
        self.loss = nan if loss is None else float(loss)
        return self.loss

    def swap(self, at: int, choice: str) -> None:
        """Replace the activation of a place in the model as it is now; the weights stay.

        Replacements of other places stay too, with their own parameters as new.

        Args:
            at: the index of the place.
            choice: a name or a formula.

        Raises:
            BadInput: the place cannot be changed; the message says why, and nothing is changed.
            UnknownActivation, BadFormula: as `actlab.get`.
        """
        self._check_place(at)
        self._choose({**self.choices, at: choice}, new=at)

    def undo(self, at: int) -> None:
        """Restore the activation of a place.

        Raises:
            BadInput: there is no such place.
        """
        self._check_place(at)
        self._choose({place: choice for place, choice in self.choices.items() if place != at})

    def undo_all(self) -> None:
        """Restore the activations of all places."""
        self._choose({})

    def _check_place(self, at: int) -> None:
        count = len(self.places.sites)
        if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at < count:
            raise BadInput(f"a site must be a number from 0 to {count - 1}; got {at!r}.")

    def restart(self) -> None:
        """Return to the initial weights and to step 0, with the activations and the learning rate chosen since."""
        self._stop_watching()
        self._undo.pop_all()
        self.history.clear()
        self._begin()
        self._choose(self.choices)

    def report(self) -> Report:
        """Return the findings of the first batch, and of the training since the last replacement."""
        return self._batch_report if self._watched is None else self._batch_report.merged_with(self._watched.report())

    def close(self) -> None:
        """Take all hooks off."""
        self._stop_watching()

    def _choose(self, choices: Mapping[int, str], *, new: int | None = None) -> None:
        """Undo all replacements and make these, or keep the old ones if they cannot be made."""
        self._stop_watching()
        old = self.choices
        try:
            self._apply(choices, new=new)
        except BaseException:
            self._apply(old)
            raise
        finally:
            self._look()

    def _apply(self, choices: Mapping[int, str], *, new: int | None = None) -> None:
        self._undo.close()
        self.choices, self.changed = {}, {}
        if choices:
            args, kwargs = called_with(self._batch[0])
            mapping: dict[Key, Choice] = {self.places.sites[at]: choice for at, choice in sorted(choices.items())}
            done = swap(self._model, mapping, *args, **kwargs)
            self._undo.callback(done.undo)
            self._refuse_unchanged(done, new=None if new is None else self.places.sites[new].name)
        now = self._places()
        if len(now.sites) != len(self.places.sites):
            raise BadInput(
                f"with this replacement the model would have {len(now.sites)} recognizable activations, not"
                f" {len(self.places.sites)}: this page could not follow them."
            )
        self.now, self.choices = now, dict(choices)
        if choices:
            by_place = {each.place: each for each in done.changed}
            self.changed = {at: by_place[name] for at in choices if (name := self.places.sites[at].name) in by_place}
        held = {id(value) for group in self._optimizer.param_groups for value in group["params"]}
        fresh = [value for value in self._model.parameters() if id(value) not in held and value.requires_grad]
        if choices and fresh:
            self._optimizer.add_param_group({"params": fresh, "lr": self.rate})
        self._batch_report = self._checked()

    def _refuse_unchanged(self, done: Swap, *, new: str | None) -> None:
        """Raise `BadInput` with the reason if a place could not be changed."""
        for each in done.unchanged:
            if new is not None and each.place != new:
                continue
            site = next((site for site in self.places.sites if site.name == each.place), None)
            place = each.place if site is None else place_name(site)
            line = "" if site is None or not site.file else f" ({line_text(site.file, site.line, root=Path.cwd())})"
            raise BadInput(f"{place}{line} stays: {each.why}.")

    def _places(self) -> Places:
        args, kwargs = called_with(self._batch[0])
        trace = recorded(self._model, args, dict(kwargs))
        return Places(tuple(routed(trace)), site_groups(trace), trace.unseen)

    def _checked(self) -> Report:
        loss, optimizer = self._subject.loss, self._optimizer
        is_own = isinstance(self._subject, Task) or self._subject.optimizer is not None
        report = check(self._model, batch=self._batch, loss=loss, optimizer=optimizer if is_own else None)
        if report.raised is not None:
            raise report.raised
        return report

    def _look(self) -> None:
        """Look at the next step on a copy, which is not trained."""
        devices = sorted({value.device for value in self._model.parameters() if value.is_cuda}, key=str)
        with torch.random.fork_rng(devices=devices):
            with their_code("copying the model", error=BadInput):
                copied = copy_of(self._model)
            with watch(copied, every=1).look_closely(self._receiver(self.steps)) as watched:
                watched.step(self._step_of(copied, None))

    def _step_of(self, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> torch.Tensor | None:
        """Return the loss of a forward and a backward pass; None without a loss."""
        if self._subject.loss is None:
            args, kwargs = called_with(self._batch[0])
            with their_code("the model", error=BadInput):
                model(*args, **kwargs)
            return None
        return loss_of_step(model, optimizer, self._subject.loss, *self._batch)

    def _watching_model(self) -> Watch:
        if self._watched is None:
            self._before = self.steps
            watched = watch(self._model, every=1).look_closely(self._receiver(self._before))
            self._watched = self._watching.enter_context(watched)
        return self._watched

    def _stop_watching(self) -> None:
        self._watching.close()
        self._watched = None

    def _receiver(self, before: int) -> Callable[[MeasuredStep], None]:
        """Return what adds a measured step to the history, with one look for each place."""
        sites = self.now.sites

        def receive(measured: MeasuredStep) -> None:
            self.history.add(replace(measured, step=before + measured.step, looks=looks_at(sites, measured)))

        return receive
