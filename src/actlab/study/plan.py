"""The plan of a study: what is run and what may be concluded, fixed before the first run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from actlab.errors import BadStudy
from actlab.study.arm import INITS
from actlab.study.power import seeds_needed, smallest_p

ALPHA = 0.05
BUDGET = 8
"""Learning rates to try per arm."""

TUNE = "tune"
CONFIRM = "confirm"


@dataclass(frozen=True)
class Look:
    """One reading of the test set: after how many seeds in total, and the error that it may spend."""

    seeds: int
    alpha: float


@dataclass(frozen=True)
class Trial:
    """One training run of one arm, at one learning-rate point, with one seed."""

    arm: str
    point: int
    seed: int
    role: str


@dataclass(frozen=True)
class Plan:
    """A study, fixed before its first run.

    Attributes:
        task: the task's name.
        fingerprint: the fingerprint of the task.
        arms: the names of the arms, the control first.
        points: the learning rates to try.
        tuning_seeds: the seeds for trying the rates.
        seeds: the fresh seeds for the winning rates.
        looks: when the test set is read.
        margin: half the width of the region of practical equivalence.
        margin_is_relative: whether the margin is a share of the control's metric.
        init: "as-is", or "gain" for weights drawn with the second-moment gain of each arm.
        seed: the master random seed, from which all others are drawn.
        contents: a digest of each thing that the results depend on: data, model, loss, code and activations.
    """

    task: str
    fingerprint: str
    arms: tuple[str, ...]
    points: tuple[float, ...]
    tuning_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    looks: tuple[Look, ...]
    margin: float
    margin_is_relative: bool
    init: str
    seed: int
    contents: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def control(self) -> str:
        """The arm that the others are compared with."""
        return self.arms[0]

    @property
    def comparisons(self) -> int:
        """The number of differences that are tested."""
        return len(self.arms) - 1

    @property
    def alpha(self) -> float:
        """The probability of any false claim, over all arms and looks."""
        return sum(look.alpha for look in self.looks)

    @property
    def trials(self) -> int:
        """The largest number of training runs."""
        return len(self.arms) * (len(self.points) * len(self.tuning_seeds) + len(self.seeds))

    def tuning(self) -> Iterator[Trial]:
        """Yield the trials that choose the learning rate of each arm."""
        for seed in self.tuning_seeds:
            for point in range(len(self.points)):
                for arm in self.arms:
                    yield Trial(arm, point, seed, TUNE)

    def confirming(self, winners: dict[str, int], *, look: int) -> Iterator[Trial]:
        """Yield the trials of each arm's winning rate on fresh seeds, up to and including one look."""
        for seed in self.seeds[: self.looks[look].seeds]:
            for arm in self.arms:
                yield Trial(arm, winners[arm], seed, CONFIRM)

    def can_decide(self, look: int = -1) -> bool:
        """Return whether even the clearest difference could be claimed at a look."""
        chosen = self.looks[look]
        return smallest_p(chosen.seeds) <= chosen.alpha / self.comparisons

    def sentences(self) -> tuple[str, ...]:
        """Say what will be run and what it can decide."""
        size = f"{self.margin:.0%} of the control's metric" if self.margin_is_relative else f"{self.margin:g} points"
        rates = f"one learning rate ({self.points[0]:.2g}) each"
        if len(self.points) > 1:
            span = f"from {min(self.points):.2g} to {max(self.points):.2g}"
            rates = f"{len(self.points)} learning rates each, {span}, chosen on validation data"
        return (
            *self.warnings(),
            f"{len(self.arms)} arms, {self.control} is the control; {rates}; then"
            f" {_count(len(self.seeds), 'fresh seed')}: {self.trials} trials.",
            f"{self._looks()} {self._power()}",
            f"Differences of less than {size} do not matter. {_INIT_SENTENCES[self.init]}",
        )

    def _looks(self) -> str:
        """Say when the test set is read, and at which significance level."""
        if len(self.looks) == 1:
            look = self.looks[0]
            after = f"all {look.seeds} seeds" if look.seeds > 1 else "the only seed"
            read = f"once, after {after}; the significance level is {look.alpha:g}"
        else:
            each = ", ".join(f"after {_count(look.seeds, 'seed')} (level {look.alpha:g})" for look in self.looks)
            read = f"{_count(len(self.looks), 'time')}: {each}"
        holm = f", with Holm's correction for {self.comparisons} comparisons" if self.comparisons > 1 else ""
        return f"The test set is read {read}{holm}."

    def _power(self) -> str:
        """Say what the exact signed-rank test can decide at the last look."""
        last = self.looks[-1]
        pairs = _count(last.seeds, "pair")
        when = f"With {pairs}" if len(self.looks) == 1 else f"At the last look ({pairs})"
        smallest = f"{when} the smallest possible p-value is {smallest_p(last.seeds):.2g}"
        if not self.can_decide():
            return f"{smallest}, so no difference can be shown."
        what = "the clearest difference" if self.comparisons > 1 else "a difference"
        return f"{smallest}; {what} is significant at {last.alpha / self.comparisons:.2g} or less."

    def warnings(self) -> tuple[str, ...]:
        """Return a warning if no difference can ever be claimed, with the number of seeds needed."""
        if self.can_decide():
            return ()
        needed = seeds_needed(self.comparisons, alpha=self.looks[-1].alpha)
        return (
            f"With {_count(self.looks[-1].seeds, 'seed')} no difference between {len(self.arms)} arms can be shown,"
            f" however clear; at least {needed} are needed.",
        )

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        values = asdict(self)
        return values if self.contents else {name: each for name, each in values.items() if name != "contents"}

    def digest(self) -> str:
        """Return a digest that identifies the plan."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


_INIT_SENTENCES = {
    "as-is": "The model initializes its own weights (--init as-is).",
    "gain": "All weights are initialized with the gain of each arm (--init gain).",
}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def rate_points(rates: tuple[float, float], *, budget: int, seed: int) -> tuple[float, ...]:
    """Return quasi-random learning rates: a scrambled Sobol sequence, uniform in the logarithm.

    Example:
        >>> [round(rate, 4) for rate in rate_points((0.001, 0.1), budget=4, seed=0)]
        [0.0503, 0.0013, 0.0068, 0.0314]
    """
    from scipy.stats import qmc  # takes half a second, which worker processes save

    power = max(0, (budget - 1).bit_length())
    # A whole power of two keeps the sequence balanced; SciPy warns at other lengths.
    places = qmc.Sobol(1, scramble=True, seed=seed).random_base2(power)[:budget, 0]
    low, high = np.log(rates)
    return tuple(float(f"{rate:.4g}") for rate in np.exp(low + places * (high - low)))


def seed_stream(seed: int, *, role: str, count: int) -> tuple[int, ...]:
    """Draw seeds from one seed; different roles get different seeds.

    A longer stream begins with the shorter one, so additional seeds change no earlier trial.
    """
    roles = (TUNE, CONFIRM)
    drawn = np.random.SeedSequence([seed, roles.index(role)]).generate_state(count)
    return tuple(int(one) >> 1 for one in drawn)


def _check(plan: Plan) -> None:
    if len(plan.arms) < 2:
        raise BadStudy(f"a study must have two arms or more; got {len(plan.arms)}.")
    if len(set(plan.arms)) < len(plan.arms):
        raise BadStudy(f"the arms must have different names; got {', '.join(plan.arms)}.")
    if not plan.points or not plan.tuning_seeds:
        raise BadStudy("budget must be at least 1; got 0. Every arm requires a learning rate.")
    if plan.init not in INITS:
        raise BadStudy(f"init must be {' or '.join(INITS)}; got '{plan.init}'.")
    sizes = [look.seeds for look in plan.looks]
    if not sizes or sizes[0] < 1 or sorted(set(sizes)) != sizes or sizes[-1] != len(plan.seeds):
        raise BadStudy(f"looks must have increasing numbers of seeds and end with all {len(plan.seeds)}; got {sizes}.")
    if not all(look.alpha > 0 for look in plan.looks) or plan.alpha >= 0.5:
        raise BadStudy(f"the error must be above 0 at each look and below 0.5 in total; got {plan.alpha:g}.")
    if set(plan.seeds) & set(plan.tuning_seeds):
        raise BadStudy("the seeds for tuning and for the verdict must differ; one is used for both. Draw other seeds.")
