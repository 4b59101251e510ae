"""What will be run and what may be concluded from it, fixed before the first run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from actlab.errors import BadStudy
from actlab.study.arm import INITS
from actlab.study.power import seeds_needed, smallest_p

ALPHA = 0.05
BUDGET = 8
"""Learning rates tried for every arm."""

TUNE = "tune"
CONFIRM = "confirm"


@dataclass(frozen=True)
class Look:
    """One reading of the test set: after how many seeds in all, and the error that is spent on it."""

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
        fingerprint: what tells the task from another of the same name.
        arms: the names of the arms, the control first.
        points: the learning rates that every arm is tried at.
        tuning_seeds: the seeds that the rates are tried with.
        seeds: fresh seeds, which the winners are run with.
        looks: when the test set is read.
        margin: half the width of the region of practical equivalence.
        margin_is_relative: whether the margin is a share of the control's metric.
        init: "as-is", or "gain" for weights drawn with each arm's own second-moment gain.
        seed: what all seeds were drawn from.
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

    def __post_init__(self) -> None:
        _check(self)

    @property
    def control(self) -> str:
        """The arm that the others are compared with."""
        return self.arms[0]

    @property
    def comparisons(self) -> int:
        """How many differences are tested."""
        return len(self.arms) - 1

    @property
    def alpha(self) -> float:
        """The chance of any false claim, over all arms and looks."""
        return sum(look.alpha for look in self.looks)

    @property
    def trials(self) -> int:
        """How many training runs there are at most."""
        return len(self.arms) * (len(self.points) * len(self.tuning_seeds) + len(self.seeds))

    def tuning(self) -> Iterator[Trial]:
        """The trials that choose each arm's learning rate."""
        for seed in self.tuning_seeds:
            for point in range(len(self.points)):
                for arm in self.arms:
                    yield Trial(arm, point, seed, TUNE)

    def confirming(self, winners: dict[str, int], *, look: int) -> Iterator[Trial]:
        """The trials of each arm's winning point on fresh seeds, up to and including one look."""
        for seed in self.seeds[: self.looks[look].seeds]:
            for arm in self.arms:
                yield Trial(arm, winners[arm], seed, CONFIRM)

    def can_decide(self, look: int = -1) -> bool:
        """Whether any difference could be claimed at a look, were it ever so clear."""
        chosen = self.looks[look]
        return smallest_p(chosen.seeds) <= chosen.alpha / self.comparisons

    def sentences(self) -> tuple[str, ...]:
        """What will be run and what it can decide, for reading before the run."""
        last = self.looks[-1]
        looks = ", ".join(f"after {_count(look.seeds, 'seed')} with an error of {look.alpha:g}" for look in self.looks)
        size = f"{self.margin:.0%} of the control's metric" if self.margin_is_relative else f"{self.margin:g} points"
        rates = f"one learning rate ({self.points[0]:.2g}) each"
        if len(self.points) > 1:
            span = f"from {min(self.points):.2g} to {max(self.points):.2g}"
            rates = f"{len(self.points)} learning rates each, {span}, chosen on validation data"
        holm = f", shared by {self.comparisons} differences under Holm" if self.comparisons > 1 else ""
        first = "a first claim" if self.comparisons > 1 else "a claim"
        return (
            *self.warnings(),
            f"{len(self.arms)} arms, {self.control} is the control; {rates}; then"
            f" {_count(len(self.seeds), 'fresh seed')}: {self.trials} trials.",
            f"The test set is read {looks}{holm}. With {_count(last.seeds, 'seed')} the exact signed-rank test can"
            f" reach p = {smallest_p(last.seeds):.2g}; {first} needs {last.alpha / self.comparisons:.2g}.",
            f"Differences of less than {size} do not matter. Weights are initialized"
            f" {'as the model does it' if self.init == 'as-is' else 'with the gain of each arm'}.",
        )

    def warnings(self) -> tuple[str, ...]:
        """That no difference can ever be claimed, with the seeds that it would take; or nothing."""
        if self.can_decide():
            return ()
        needed = seeds_needed(self.comparisons, alpha=self.looks[-1].alpha)
        return (
            f"{_count(self.looks[-1].seeds, 'seed')} can never show a difference between {len(self.arms)} arms, however"
            f" clear: {needed} are needed.",
        )

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        return asdict(self)

    def digest(self) -> str:
        """What tells this plan from another."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def rate_points(rates: tuple[float, float], *, budget: int, seed: int) -> tuple[float, ...]:
    """Quasi-random learning rates: a scrambled Sobol sequence, even in the logarithm.

    Example:
        >>> [round(rate, 4) for rate in rate_points((0.001, 0.1), budget=4, seed=0)]
        [0.0503, 0.0013, 0.0068, 0.0314]
    """
    from scipy.stats import qmc  # half a second, which worker processes need not wait for

    power = max(0, (budget - 1).bit_length())
    # A whole power of two keeps the sequence balanced; SciPy warns at other lengths.
    places = qmc.Sobol(1, scramble=True, seed=seed).random_base2(power)[:budget, 0]
    low, high = np.log(rates)
    return tuple(float(f"{rate:.4g}") for rate in np.exp(low + places * (high - low)))


def seed_stream(seed: int, *, role: str, count: int) -> tuple[int, ...]:
    """Seeds drawn from one seed; those of different roles have nothing in common.

    A longer stream begins with the shorter one, so added seeds change no trial that was run.
    """
    roles = (TUNE, CONFIRM)
    drawn = np.random.SeedSequence([seed, roles.index(role)]).generate_state(count)
    return tuple(int(one) >> 1 for one in drawn)


def _check(plan: Plan) -> None:
    if len(plan.arms) < 2:
        raise BadStudy(f"a study compares two arms or more; got {len(plan.arms)}.")
    if len(set(plan.arms)) < len(plan.arms):
        raise BadStudy(f"every arm needs a name of its own; got {', '.join(plan.arms)}.")
    if not plan.points or not plan.tuning_seeds:
        raise BadStudy("budget must be at least 1: every arm needs a learning rate.")
    if plan.init not in INITS:
        raise BadStudy(f"init must be {' or '.join(INITS)}; got '{plan.init}'.")
    sizes = [look.seeds for look in plan.looks]
    if not sizes or sizes[0] < 1 or sorted(set(sizes)) != sizes or sizes[-1] != len(plan.seeds):
        raise BadStudy(f"looks must come after ever more seeds and end with all {len(plan.seeds)}; got {sizes}.")
    if not all(look.alpha > 0 for look in plan.looks) or plan.alpha >= 0.5:
        raise BadStudy(f"the error spent must be above 0 at each look and below 0.5 in all; got {plan.alpha:g}.")
    if set(plan.seeds) & set(plan.tuning_seeds):
        raise BadStudy("a seed is used for tuning and again for the verdict; draw other seeds.")
