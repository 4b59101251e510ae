"""The plan of a study: what is run and what may be concluded, fixed before the first run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from actlab.errors import BadInput, BadStudy
from actlab.study.again import is_again
from actlab.study.arm_text import INITS, described
from actlab.study.measuring import NOTHING_MORE, Measuring
from actlab.study.power import seeds_needed, smallest_p

ALPHA = 0.05
BUDGET = 8
"""Learning rates to try per arm."""

FIRST_SHARE = 0.8
"""The share of the error that the first look may spend; each look that is added later may spend half of what is left.

So more seeds can be added after the first look was read, as often as wanted, within the error of the plan; and the
first look needs no more seeds than if it were the only one.
"""

FIXED = "fixed"
PER_SEED = "per-seed"
OWN = "own"
SPLITS = (PER_SEED, FIXED)

EXTENSION = 2
"""Points by which the range of rates is extended at an end that an arm chooses."""

MOST_EXTENSIONS = 3
"""How often each end is extended at most."""

FARTHEST = 40.0
"""The range is extended to at most so many times its highest rate, and down to this part of its lowest."""


@dataclass(frozen=True)
class Look:
    """One reading of the test set: after how many seeds in total, and the error that it may spend.

    Attributes:
        seeds: the number of seeds.
        alpha: the error that may be spent.
        added: whether it was added after the earlier looks were read, so that a decision there does not end the study.
    """

    seeds: int
    alpha: float
    added: bool = False


@dataclass(frozen=True)
class Trial:
    """One training run: one arm, one learning rate, one seed.

    Attributes:
        arm: the name of the arm.
        point: the place of the learning rate on the plan's grid; negative below it.
        seed: the seed.
    """

    arm: str
    point: int
    seed: int


TRIALS = "trials"
EQUAL = (TRIALS, "seconds", "parameters", "flops")
"""What all arms have the same of, besides trials."""


@dataclass(frozen=True)
class Budget:
    """What all arms have the same of, and how each arm was changed for it.

    Attributes:
        equal: "seconds", "parameters" or "flops".
        amounts: by arm, the time of a training step relative to the control's, the number of parameters, or the
            floating-point operations of a forward pass of one row.
        settings: by arm, the epochs, or the width of the model.
    """

    equal: str
    amounts: Mapping[str, float]
    settings: Mapping[str, int]

    def sentence(self, arms: Sequence[str]) -> str:
        """Say what is equal, with the numbers of each arm, the control first."""
        control, *others = arms
        if self.equal == "seconds":
            epochs = {arm: _count(self.settings[arm], "epoch") for arm in arms}
            each = ", ".join(f"{arm} {self.amounts[arm]:.2f} ({epochs[arm]})" for arm in others)
            return (
                f"Equal seconds: the arms train for as long as {control} ({epochs[control]}). Time of a step, relative"
                f" to it: {each}."
            )
        each = ", ".join(f"{arm} {self.amounts[arm]:,.0f} (width {self.settings[arm]})" for arm in arms)
        what = "parameters" if self.equal == "parameters" else "floating-point operations forward per row"
        return f"Equal {what}, by the width of the model: {each}."


@dataclass(frozen=True)
class Plan:
    """A study, fixed before its first run.

    Attributes:
        task: the task's name.
        fingerprint: the fingerprint of the task.
        arms: the names of the arms, the control first.
        points: the learning rates to try, evenly spaced in the logarithm, the lowest first. Beyond an end that an arm
            chooses, the same spacing goes on, for all arms.
        seeds: the seeds; with each, every arm chooses its own learning rate.
        looks: when the test set is read.
        margin: half the width of the region of practical equivalence.
        margin_is_relative: whether the margin is a share of the control's metric.
        splits: "per-seed" if every seed splits the rows into its own training, validation and test part, "fixed" if
            all share one split, or "own" if the task's own training has the data.
        init: "as-is", or "gain" for weights drawn with the second-moment gain of each arm.
        seed: the master random seed, from which all others are drawn.
        contents: a digest of each thing that the results depend on: data, model, loss, code and activations.
        budget: what the arms have the same of besides trials; None if nothing else was asked for.
        measuring: what is measured beside the metric, and the share of wrong labels.
    """

    task: str
    fingerprint: str
    arms: tuple[str, ...]
    points: tuple[float, ...]
    seeds: tuple[int, ...]
    looks: tuple[Look, ...]
    margin: float
    margin_is_relative: bool
    splits: str
    init: str
    seed: int
    contents: Mapping[str, str] = field(default_factory=dict)
    budget: Budget | None = None
    measuring: Measuring = NOTHING_MORE

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
    def error_rate(self) -> dict[str, Any]:
        """The probability of any false claim, and how it is spent: by look, and over the arms by Holm's procedure."""
        return {
            "total": self.alpha,
            "looks": [{"seeds": look.seeds, "alpha": look.alpha} for look in self.looks],
            "comparisons": self.comparisons,
            "correction": "Holm",
        }

    @property
    def trials(self) -> int:
        """The number of training runs, if the range of rates is not extended."""
        return len(self.arms) * len(self.points) * len(self.seeds)

    def epochs_of(self, arm: str) -> int | None:
        """Return the epochs that an arm trains for at least, if not as many as the task asks for."""
        return self.budget.settings[arm] if self.budget is not None and self.budget.equal == "seconds" else None

    def rate(self, point: int) -> float:
        """Return the learning rate at a point of the grid, or beyond its ends."""
        if 0 <= point < len(self.points):
            return self.points[point]
        ratio = (self.points[-1] / self.points[0]) ** (1 / (len(self.points) - 1))
        return float(f"{self.points[0] * ratio**point:.4g}")

    def cells(self, points: Sequence[int], *, look: int) -> Iterator[Trial]:
        """Yield the trials of these points with every arm and every seed up to and including one look."""
        for seed in self.seeds[: self.looks[look].seeds]:
            for arm in self.arms:
                for point in points:
                    yield Trial(arm, point, seed)

    def with_seeds(self, count: int) -> Plan:
        """Return the plan with so many seeds, of which those that it has are the first, and one more look at the end.

        Raises:
            BadStudy: the plan has more seeds already, or no error is left to spend.
        """
        if count < len(self.seeds):
            raise BadStudy(
                f"the study has {len(self.seeds)} seeds already; got {count}. Pass --seeds {len(self.seeds)} or more."
            )
        if count == len(self.seeds):
            return self
        if self.alpha >= ALPHA:
            raise BadStudy(
                f"the plan has spent its error of {self.alpha:g} in {_count(len(self.looks), 'look')}, so that no seeds"
                " can be added. Run a new study."
            )
        added = Look(count, next_alpha(self.looks), added=True)
        return replace(self, seeds=seed_stream(self.seed, count=count), looks=(*self.looks, added))

    def can_decide(self, look: int = -1) -> bool:
        """Return whether even the clearest difference could be claimed at a look."""
        chosen = self.looks[look]
        return smallest_p(chosen.seeds) <= chosen.alpha / self.comparisons

    def sentences(self) -> tuple[str, ...]:
        """Say what will be run and what it can decide."""
        unit = "" if self.splits == OWN else " points"  # a training of the user's has a unit of its own
        size = f"{self.margin:.0%} of the control's metric" if self.margin_is_relative else f"{self.margin:.3g}{unit}"
        rates = f"one learning rate ({self.points[0]:.2g})"
        if len(self.points) > 1:
            span = f"from {self.points[0]:.2g} to {self.points[-1]:.2g}"
            rates = f"{len(self.points)} learning rates {span}, extended for all arms if one chooses an end"
        seeds = _count(len(self.seeds), "seed")
        return (
            *self.warnings(),
            f"{len(self.arms)} arms, {self.control} is the control; {rates}; {seeds}: {self.trials:,} trials."
            f" {_CHOICE if len(self.points) > 1 else ''}{_SPLIT_SENTENCES[self.splits]}",
            f"{self._looks()} {self._power()}",
            f"Differences of less than {size} do not matter. {_INIT_SENTENCES[self.init]}",
            *(() if self.budget is None else (self.budget.sentence(self.arms),)),
            *self.factors(),
            *self.measuring.sentences(),
        )

    def factors(self) -> tuple[str, ...]:
        """Return a sentence for each arm that has factors; one that repeats another arm has that one's."""
        return tuple(filter(None, (described(arm) for arm in self.arms if not is_again(arm))))

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
        values = {**asdict(self), "measuring": self.measuring.to_json()}
        # A plan that uses nothing of a later version has the digest that it had.
        return {name: each for name, each in values.items() if each or name not in ("contents", "measuring", "budget")}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Plan:
        """Return the plan that these plain values describe.

        Raises:
            BadStudy: they describe none of this version.
        """
        try:
            lists = {name: tuple(values[name]) for name in ("arms", "points", "seeds")}
            read = {"looks": tuple(Look(**look) for look in values["looks"])}
            measuring = Measuring.from_json(values.get("measuring", {}))
            budget = {"budget": Budget(**values["budget"])} if values.get("budget") else {}
            return cls(**{**values, **lists, **read, **budget, "measuring": measuring})
        except (AttributeError, BadInput, KeyError, TypeError) as error:
            raise BadStudy("the stored plan was written by another version of actlab.") from error

    def digest(self) -> str:
        """Return a digest that identifies the plan."""
        return digest_of(self.to_json())


def digest_of(values: Any) -> str:
    """Return a digest of a plan as plain values, which a plan of another version has too."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


_CHOICE = "With each seed, every arm chooses its own learning rate on validation data. "

_SPLIT_SENTENCES = {
    PER_SEED: "Each seed splits the rows anew, so the intervals hold the noise of the split too.",
    OWN: "The training of the task has data of its own; the intervals hold their noise if the seed draws them.",
    FIXED: "All seeds share one split of the rows, so the intervals do not hold the noise of the split.",
}

_INIT_SENTENCES = {
    "as-is": "The model initializes its own weights (--init as-is).",
    "gain": "All weights are initialized with the gain of each arm (--init gain).",
}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def rate_points(rates: tuple[float, float], *, budget: int) -> tuple[float, ...]:
    """Return learning rates from the lowest to the highest, evenly spaced in the logarithm; a single one in the middle.

    Example:
        >>> rate_points((0.001, 0.1), budget=3), rate_points((0.001, 0.1), budget=1)
        ((0.001, 0.01, 0.1), (0.01,))
    """
    low, high = np.log(rates)
    places = np.linspace(low, high, budget) if budget > 1 else [(low + high) / 2]
    return tuple(dict.fromkeys(float(f"{rate:.4g}") for rate in np.exp(places)))


def seed_stream(seed: int, *, count: int) -> tuple[int, ...]:
    """Draw seeds from one seed; a longer stream begins with the shorter one, so added seeds change no earlier trial."""
    drawn = np.random.SeedSequence([seed, 1]).generate_state(count)
    return tuple(int(one) >> 1 for one in drawn)


def next_alpha(looks: Sequence[Look], *, alpha: float = ALPHA) -> float:
    """Return the error that the next look may spend: half of what the earlier ones left.

    Example:
        >>> next_alpha(()), next_alpha((Look(9, 0.04),))
        (0.04, 0.005)
    """
    left = alpha - sum(look.alpha for look in looks)
    return float(f"{left / 2 if looks else alpha * FIRST_SHARE:.6g}")


def _check(plan: Plan) -> None:
    if len(plan.arms) < 2:
        raise BadStudy(f"a study must have two arms or more; got {len(plan.arms)}.")
    if len(set(plan.arms)) < len(plan.arms):
        raise BadStudy(f"the arms must have different names; got {', '.join(plan.arms)}.")
    if not plan.points:
        raise BadStudy("budget must be at least 1; got 0. Every arm requires a learning rate.")
    if plan.init not in INITS:
        raise BadStudy(f"init must be {' or '.join(INITS)}; got '{plan.init}'.")
    sizes = [look.seeds for look in plan.looks]
    if not sizes or sizes[0] < 1 or sorted(set(sizes)) != sizes or sizes[-1] != len(plan.seeds):
        raise BadStudy(f"looks must have increasing numbers of seeds and end with all {len(plan.seeds)}; got {sizes}.")
    if not all(look.alpha > 0 for look in plan.looks) or plan.alpha >= 0.5:
        raise BadStudy(f"the error must be above 0 at each look and below 0.5 in total; got {plan.alpha:g}.")
    if plan.budget is not None:
        _check_budget(plan, plan.budget)
    if plan.splits not in (*SPLITS, OWN):
        raise BadStudy(f"splits must be {' or '.join(SPLITS)}; got '{plan.splits}'.")


def _check_budget(plan: Plan, budget: Budget) -> None:
    if budget.equal not in EQUAL[1:]:
        raise BadStudy(f"equal must be one of {', '.join(EQUAL)}; got '{budget.equal}'.")
    if not set(plan.arms) == set(budget.amounts) == set(budget.settings):
        raise BadStudy(
            f"the budget must name each arm: {', '.join(plan.arms)}; got {', '.join(budget.settings)}. Leave out the"
            " budget: it is measured anew."
        )
    if min(budget.amounts.values()) <= 0 or min(budget.settings.values()) < 1:
        raise BadStudy(f"the budget must have positive numbers; got {dict(budget.amounts)}, {dict(budget.settings)}.")
