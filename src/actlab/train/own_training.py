"""A training loop of the user: adversarial, reinforcement learning, Lightning, anything that ends in a score."""

from __future__ import annotations

import copy
import inspect
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch

from actlab.errors import BadTask
from actlab.train.contents import digest_of, sources
from actlab.train.examples import article
from actlab.train.factory import Build
from actlab.train.kinds import OWN_UNITS, Metric
from actlab.train.run import Epoch, Run
from actlab.user_code import their_code

ARGUMENTS = ("activation", "rate", "seed", "budget")
KEYS = ("valid", "test", "curve", "steps", "still_learning")


@final
@dataclass(frozen=True, eq=False)
class OwnTraining:
    """A task that the user's own function trains and scores.

    The function gets `activation`, which returns a new activation module at every call, the learning `rate`, the `seed`
    and the `budget`. It returns one score, or a dict: `valid`, by which the learning rate is chosen, `test`, which is
    judged, and if they are known `curve` (the validation score of every epoch), `steps` and `still_learning`. One score
    serves as both.

    Args:
        name: a short name.
        function: trains a model and returns its scores.
        baseline: the score of a model that has learned nothing; a run that raises or diverges has this score.
        metric: the name of the score.
        unit: the unit of the score.
        larger_is_better: whether a larger score is better.
        margin: the size of a difference that does not matter; by default 2 % of the control's score.
        activation: the name of the control.
        epochs: the budget that the function gets.
        rates: the lowest and the highest learning rate to try.
        sentence: a one-line description.
        notes: what a report should mention.
        origin: how another process builds the same task.

    Raises:
        BadTask: an argument is not possible.

    Example:
        >>> def train(activation, rate, seed, budget):
        ...     return {"valid": 0.5, "test": 0.4}
        >>> task = OwnTraining("game", train, baseline=0.0, metric="return")
        >>> carry_out_own(task, torch.nn.ReLU, rate=0.1, seed=0).test
        0.4
    """

    name: str
    function: Callable[..., Any]
    baseline_score: float
    metric: Metric
    activation: str
    epochs: int
    rates: tuple[float, float]
    sentence: str
    notes: tuple[str, ...]
    origin: tuple[str, ...]

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        baseline: float,
        metric: str = "score",
        unit: str = OWN_UNITS,
        larger_is_better: bool = True,
        margin: float | None = None,
        activation: str = "relu",
        epochs: int = 30,
        rates: tuple[float, float] = (3e-4, 3e-2),
        sentence: str = "",
        notes: tuple[str, ...] = (),
        origin: tuple[str, ...] = (),
    ) -> None:
        size = 0.02 if margin is None else margin
        judged = Metric(metric, unit, larger_is_better, size, margin_is_relative=margin is None)
        values = {
            "name": name,
            "function": function,
            "baseline_score": baseline,
            "metric": judged,
            "activation": activation,
            "epochs": epochs,
            "rates": tuple(rates),
            "sentence": sentence or f"{name}, trained by {_name_of(function)}",
            "notes": tuple(notes),
            "origin": tuple(origin),
        }
        for field, value in values.items():
            object.__setattr__(self, field, value)
        self._check()

    def _check(self) -> None:
        def refuse(fault: str) -> BadTask:
            return BadTask(f"task '{self.name}': {fault}")

        if not callable(self.function):
            raise refuse(f"train must be a function of {', '.join(ARGUMENTS)}; got {article(self.function)}.")
        try:
            inspect.signature(self.function).bind(**dict.fromkeys(ARGUMENTS))
        except TypeError as error:
            raise refuse(f"train must take the arguments {', '.join(ARGUMENTS)} by these names; {error}.") from error
        except ValueError:  # without a signature
            pass
        if not isinstance(self.epochs, int) or self.epochs < 1:
            raise refuse(f"epochs must be a positive integer; got {self.epochs!r}.")
        if len(self.rates) != 2 or not 0 < self.rates[0] <= self.rates[1] < math.inf:
            raise refuse(f"rates must be two positive numbers, the lower first; got {self.rates}.")
        if not math.isfinite(self.baseline_score):
            raise refuse(f"baseline must be a finite number; got {self.baseline_score}.")

    @property
    def takes_activation(self) -> bool:
        """Whether the activation is passed: always."""
        return True

    @property
    def rows(self) -> int:
        """The number of rows: 0, as the data are the function's own."""
        return 0

    @property
    def can_resplit(self) -> bool:
        """Whether the rows can be split anew: never; the function may split its data by the seed."""
        return False

    @property
    def split_sentence(self) -> str:
        """Which noise of the data an interval holds."""
        return "The function has its own data; the interval holds their noise only if it draws them by the seed."

    def with_split(self, number: int) -> OwnTraining:
        """Return the task itself for split 0.

        Raises:
            BadTask: the number is another one.
        """
        if number:
            raise BadTask(f"task '{self.name}': the data of a training function cannot be split anew; got {number}.")
        return self

    @property
    def beside(self) -> tuple[Metric, ...]:
        """The metrics to report beside the score: none."""
        return ()

    @property
    def baseline_name(self) -> str:
        """What the baseline is the score of."""
        return "a model that has learned nothing"

    def baseline(self, part: object = None) -> float:
        """Return the score of a model that has learned nothing, on any part."""
        return self.baseline_score

    def with_settings(self, **changes: Any) -> OwnTraining:
        """Return the task with other values of some attributes.

        Raises:
            BadTask: a value is not possible.
        """
        found = copy.copy(self)
        for name, value in changes.items():
            object.__setattr__(found, name, value)
        found._check()
        return found

    def region(self, control: float, part: object = None) -> float:
        """Return half the width of the region of practical equivalence, from the control's score."""
        return self.metric.region(control)

    def fingerprint(self) -> str:
        """Return a digest of the function and the settings, which identifies the task."""
        return digest_of(self.name, self.function, *self._settings())

    def contents(self) -> dict[str, str]:
        """Return a digest of each thing that the results depend on, by what it is."""
        return {
            "the task's settings": digest_of(*self._settings()),
            "the training": digest_of(self.function),
            **{f"the code in {name}": each for name, each in sources(self.function).items()},
        }

    def _settings(self) -> tuple[Any, ...]:
        return (repr(self.metric), self.baseline_score, self.epochs, self.rates)


def carry_out_own(task: OwnTraining, build: Build, *, rate: float, seed: int) -> Run:
    """Run the user's training once; whatever it raises fails this run alone, and stands in `Run.message`.

    The generators of Python, NumPy and PyTorch start from `seed` and are restored afterwards. A run that raises, or
    whose scores are not finite, has diverged and scores the baseline.

    Raises:
        BadTask: the function returns a dict of another form, which every run would repeat.
    """
    try:
        with _seeded(seed), their_code(f"task '{task.name}': the training"):
            returned = task.function(activation=build, rate=rate, seed=seed, budget=task.epochs)
    except BadTask as failure:
        return _failed(task, str(failure))
    scores = dict(returned) if isinstance(returned, Mapping) else {"valid": returned, "test": returned}
    unknown = [str(key) for key in scores if key not in KEYS]
    if unknown or not {"valid", "test"} <= set(scores):
        found = ", ".join(map(str, scores)) or "none"
        raise BadTask(
            f"task '{task.name}': the training must return one score, or a dict with valid and test, and perhaps"
            f" {', '.join(KEYS[2:])}; got a dict with the keys {found}."
        )
    try:
        valid, test = (_number(scores[key], what=key, task=task) for key in ("valid", "test"))
        curve = _curve(scores.get("curve", ()), task=task)
        steps = int(_number(scores.get("steps", 0), what="steps", task=task))
    except BadTask as failure:
        return _failed(task, str(failure))
    if not (math.isfinite(valid) and math.isfinite(test)):
        return _failed(task, f"the scores must be finite; got valid {valid} and test {test}", curve=curve, steps=steps)
    return Run(
        curve=curve,
        best=len(curve),
        valid=valid,
        test=test,
        diverged=False,
        still_learning=bool(scores.get("still_learning", False)),
        steps=steps,
    )


def _failed(task: OwnTraining, message: str, *, curve: tuple[Epoch, ...] = (), steps: int = 0) -> Run:
    return Run(
        curve=curve,
        best=0,
        valid=task.baseline_score,
        test=task.baseline_score,
        diverged=True,
        still_learning=False,
        steps=steps,
        message=message,
    )


def _number(value: Any, *, what: str, task: OwnTraining) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadTask(f"task '{task.name}': {what} must be a number; got {article(value)}.") from error


def _curve(values: Any, *, task: OwnTraining) -> tuple[Epoch, ...]:
    """Return the points of a curve: validation scores, or pairs of training loss and validation score."""
    if not isinstance(values, Sequence | np.ndarray | torch.Tensor):
        raise BadTask(f"task '{task.name}': curve must be a list of validation scores; got {article(values)}.")
    points = []
    for value in values:
        loss, score = value if isinstance(value, tuple | list) and len(value) == 2 else (None, value)
        known = None if loss is None else _number(loss, what="curve", task=task)
        point = Epoch(known, _number(score, what="curve", task=task))
        if not (math.isfinite(point.loss or 0.0) and math.isfinite(point.valid)):
            break  # up to a divergence, as every curve
        points.append(point)
    return tuple(points)


def _name_of(function: object) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let all random generators start from a seed within a block, and restore them afterwards."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # the generator that the user's code may draw from
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
