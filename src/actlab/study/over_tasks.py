"""One conclusion over several tasks: a signed-rank test over the tasks, and the matrix of all pairs of arms.

Metrics of different tasks are put on one scale: an arm's mean difference from the control on a task, positive if the
arm is better, in units of the task's region of practical equivalence. So 1 is the smallest difference that matters
there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean
from typing import final

from actlab.sites.site_text import name_text
from actlab.study.again import is_again, original
from actlab.study.comparison import Comparison, Difference
from actlab.study.plan import Look, Plan, next_alpha
from actlab.study.power import seeds_needed, smallest_p
from actlab.study.signed_rank import SignedRank
from actlab.study.verdict import BETTER, CONTROL, EQUIVALENT, MINOR, UNDECIDED, WORSE, Judgement, best_group, judge
from actlab.study.words import Findings, about_repetitions, recommended
from actlab.train.kinds import Metric

SCALE = Metric("gain over the control", "regions", True, 1.0, False)
"""The scale that all tasks share."""

SCALE_SENTENCE = (
    "Differences are in units of each task's region that does not matter: 1 is the smallest difference that matters"
    " there, and more is better."
)

LARGEST = 1000.0
"""A difference counts as so many regions at most: a control that scores almost 0 has a region of almost 0."""


@final
@dataclass(frozen=True)
class OnTask:
    """What one task contributes.

    Attributes:
        task: its name among the tasks.
        study: the number of its study in the store.
        sentence: the task in one line.
        metric: the name of its metric.
        unit: the metric's unit.
        larger_is_better: whether a larger metric is better.
        region: half the width of its region of practical equivalence, in the metric's unit.
        seeds: the number of seeds of each arm.
        means: the mean test metric of every arm, in the order of the arms.
        gains: by how much every arm is better than the control, in regions.
        verdicts: the verdict on every arm on this task alone.
        verdict: the recommendation for this task alone.
    """

    task: str
    study: int
    sentence: str
    metric: str
    unit: str
    larger_is_better: bool
    region: float
    seeds: int
    means: tuple[float, ...]
    gains: tuple[float, ...]
    verdicts: tuple[str, ...]
    verdict: str


@final
@dataclass(frozen=True)
class OverallArm:
    """The result of one arm over all tasks.

    Attributes:
        activation: the name of the arm.
        gain: the mean over the tasks of its gain over the control, in regions.
        wins: the tasks on which its mean is better than the control's by more than the region.
        ties: the tasks on which it lies within the region.
        losses: the tasks on which it is worse by more than the region.
        difference: the test over the tasks, in regions; None for the control.
        verdict: "control", "better", "worse", "minor", "equivalent" or "undecided".
        sentence: the result in words.
    """

    activation: str
    gain: float
    wins: int
    ties: int
    losses: int
    difference: Difference | None
    verdict: str
    sentence: str


@final
@dataclass(frozen=True)
class Pair:
    """Two arms compared over all tasks: a cell of the multi-comparison matrix.

    Attributes:
        arm: the first arm.
        other: the second one.
        gain: the mean over the tasks of the first one's gain over the second, in regions.
        wins: the tasks on which the first is better by more than the region.
        ties: the tasks on which they lie within the region.
        losses: the tasks on which the second is better by more than the region.
        p: the two-sided p-value of the exact signed-rank test over the tasks, not adjusted, so that the cell does not
            depend on which other arms are compared.
    """

    arm: str
    other: str
    gain: float
    wins: int
    ties: int
    losses: int
    p: float

    def turned(self) -> Pair:
        """Return the same pair with the arms exchanged."""
        return Pair(self.other, self.arm, 0.0 - self.gain, self.losses, self.ties, self.wins, self.p)


@final
@dataclass(frozen=True)
class Overall:
    """The conclusion over several tasks.

    Attributes:
        tasks: what each task contributes.
        arms: the control, then the candidates, as planned.
        pairs: all pairs of arms, the better one on average first.
        group: the arms that cannot be distinguished from the best over the tasks, the best first.
        recommended: the arm to use.
        alpha: the error that this conclusion may spend.
        smallest_p: the smallest p-value that so many tasks can reach.
        tasks_needed: the fewest tasks that can show a difference.
        verdict: a recommendation in a few sentences.
        notes: what a reader should know.
        seconds: the time of all studies.
    """

    tasks: tuple[OnTask, ...]
    arms: tuple[OverallArm, ...]
    pairs: tuple[Pair, ...]
    group: tuple[str, ...]
    recommended: str
    alpha: float
    smallest_p: float
    tasks_needed: int
    verdict: str
    notes: tuple[str, ...]
    seconds: float

    @property
    def control(self) -> str:
        """The arm that the others are compared with."""
        return self.arms[0].activation

    @property
    def can_decide(self) -> bool:
        """Whether so many tasks can show any difference."""
        return len(self.tasks) >= self.tasks_needed

    @property
    def ranked(self) -> tuple[OverallArm, ...]:
        """The arms, the best one on average first."""
        return tuple(sorted(self.arms, key=lambda arm: -arm.gain))

    def pair(self, arm: str, other: str) -> Pair:
        """Return the comparison of two arms."""
        found = next(pair for pair in self.pairs if {pair.arm, pair.other} == {arm, other})
        return found if found.arm == arm else found.turned()


def level_of(plan: Plan) -> float:
    """Return the error that a conclusion over tasks may spend: that of its first reading, less after seeds were added.

    Example:
        >>> from dataclasses import replace
        >>> plan = Plan("t", "", ("a", "b"), (0.1,), (1,), (Look(1, 0.04),), 1.0, False, "fixed", "as-is", 0)
        >>> level_of(plan), level_of(plan.with_seeds(2))
        (0.04, 0.005)
    """
    looks: tuple[Look, ...] = ()
    for number in range(1 + sum(look.added for look in plan.looks)):
        looks = (*looks, Look(number + 1, next_alpha(looks)))
    return looks[-1].alpha


def conclude(
    comparisons: Sequence[Comparison],
    *,
    names: Sequence[str],
    studies: Sequence[int],
    operations: Mapping[str, int],
) -> Overall:
    """Return the conclusion over the comparisons of the same arms on several tasks.

    Args:
        comparisons: one for each task.
        names: the name of each task among them.
        studies: the number of each study in the store.
        operations: how many operations an arm takes per element, if that is known: of equals, the cheapest is
            recommended.
    """
    arms = comparisons[0].plan.arms
    tasks = tuple(
        _on_task(found, name=name, study=study) for found, name, study in zip(comparisons, names, studies, strict=True)
    )
    gains = {arm: tuple(task.gains[place] for task in tasks) for place, arm in enumerate(arms)}
    alpha = min(level_of(found.plan) for found in comparisons)
    judgements = judge(gains, metric=SCALE, region=1.0, alpha=alpha, seed=None)
    means = {arm: mean(values) for arm, values in gains.items()}
    findings = Findings(
        control=arms[0],
        metric=SCALE,
        baseline=0.0,
        region=1.0,
        means=means,
        learned=dict.fromkeys(arms, len(tasks)),
        seeds=len(tasks),
        judgements=judgements,
        group=best_group(gains, metric=SCALE, alpha=alpha),
        operations=operations,
        least=seeds_needed(len(arms) - 1, alpha=alpha),
    )
    overall_arms = tuple(_arm(arm, gains[arm], judgements.get(arm), findings=findings) for arm in arms)
    capped = [task.task for task in tasks if any(abs(gain) >= LARGEST for gain in task.gains)]
    notes = [f"On {', '.join(capped)} a difference counts as {LARGEST:g} regions, the most that one does."]
    return Overall(
        tasks=tasks,
        arms=overall_arms,
        pairs=_pairs(gains),
        group=findings.group,
        recommended=recommended(findings),
        alpha=alpha,
        smallest_p=smallest_p(len(tasks)),
        tasks_needed=findings.least,
        verdict=_joined(
            _verdict(findings, overall_arms, alpha=alpha), about_repetitions(findings), _disagreement(tasks, arms)
        ),
        notes=tuple(notes if capped else ()),
        seconds=sum(found.cost.seconds for found in comparisons),
    )


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _on_task(found: Comparison, *, name: str, study: int) -> OnTask:
    control = found.control.test
    return OnTask(
        task=name,
        study=study,
        sentence=found.sentence,
        metric=found.metric.name,
        unit=found.metric.unit,
        larger_is_better=found.metric.larger_is_better,
        region=found.region,
        seeds=len(found.control.tests),
        means=tuple(arm.test for arm in found.arms),
        gains=tuple(_in_regions(found.metric.gain(arm.test, over=control), found.region) for arm in found.arms),
        verdicts=tuple(arm.verdict for arm in found.arms),
        verdict=found.verdict,
    )


def _in_regions(gain: float, region: float) -> float:
    """Return a gain in regions, between the limits; 0 if it is not a number."""
    if gain == 0 or math.isnan(gain):
        return 0.0
    regions = gain / region if region > 0 else math.copysign(math.inf, gain)
    return min(LARGEST, max(-LARGEST, regions)) + 0.0


def _counts(gains: Sequence[float]) -> tuple[int, int, int]:
    """Return on how many tasks a gain lies above the region, within it, and below it."""
    wins, losses = sum(gain > 1 for gain in gains), sum(gain < -1 for gain in gains)
    return wins, len(gains) - wins - losses, losses


def _pairs(gains: Mapping[str, Sequence[float]]) -> tuple[Pair, ...]:
    order = sorted(gains, key=lambda arm: -mean(gains[arm]))
    found = []
    for arm, other in combinations(order, 2):
        each = tuple(one - two for one, two in zip(gains[arm], gains[other], strict=True))
        found.append(Pair(arm, other, mean(each), *_counts(each), SignedRank(each).p))
    return tuple(found)


def _arm(arm: str, gains: Sequence[float], judgement: Judgement | None, *, findings: Findings) -> OverallArm:
    wins, ties, losses = _counts(gains)
    if judgement is None:
        return OverallArm(arm, 0.0, wins, ties, losses, None, CONTROL, f"{arm}, the control.")
    difference = judgement.difference
    label = f"{arm} ({original(arm)} again: A/A)" if is_again(arm) else arm
    claim = "proved, but not shown to matter" if judgement.verdict == MINOR else judgement.verdict
    is_open = math.isinf(difference.low) or math.isinf(difference.high)
    ends = f"{difference.low:.2f} to {difference.high:.2f}"
    interval = "" if is_open else f" ({100 * difference.level:.3g} % interval {ends})"
    sentence = (
        f"{label}: {claim}; {difference.mean:+.2f} regions on average{interval}; ahead of {findings.control} by more"
        f" than matters on {wins}, behind on {losses} of {len(gains)} tasks."
    )
    return OverallArm(arm, difference.mean, wins, ties, losses, difference, judgement.verdict, sentence)


def cannot_decide(tasks: int, *, comparisons: int, alpha: float) -> str:
    """Say that so many tasks cannot show a difference, and how many could; an empty text if they can.

    Example:
        >>> cannot_decide(3, comparisons=1, alpha=0.04)
        '3 tasks cannot decide: their smallest possible p is 0.25, and 0.04 is required; at least 6 tasks are needed.'
        >>> cannot_decide(6, comparisons=1, alpha=0.04)
        ''
    """
    if smallest_p(tasks) <= alpha / comparisons:
        return ""
    return (
        f"{tasks} tasks cannot decide: their smallest possible p is {smallest_p(tasks):.2g}, and"
        f" {alpha / comparisons:.2g} is required; at least {seeds_needed(comparisons, alpha=alpha)} tasks are needed."
    )


def _verdict(findings: Findings, arms: Sequence[OverallArm], *, alpha: float) -> str:
    tasks, control = findings.seeds, findings.control
    by_name = {arm.activation: arm for arm in arms}
    if tasks < findings.least:
        best = max((arm for arm in arms if not is_again(arm.activation)), key=lambda arm: arm.gain)
        ahead = (
            f"{best.activation} is ahead on average, by {best.gain:.2f} regions"
            if best.activation != control
            else f"{control} is ahead on average"
        )
        said = cannot_decide(tasks, comparisons=len(findings.judgements), alpha=alpha)
        return f"{said} {ahead}; what each task shows alone stands beside it."
    best_name = recommended(findings)
    if best_name != control:
        chosen = by_name[best_name]
        assert chosen.difference is not None
        equals = [arm for arm in findings.group if arm != best_name and not is_again(arm)]
        beside = (
            f" {', '.join(equals)} cannot be distinguished from it." if equals and best_name in findings.group else ""
        )
        return (
            f"Over {tasks} tasks, replace {control} by {best_name}: {chosen.gain:+.2f} regions on average (between"
            f" {chosen.difference.low:.2f} and {chosen.difference.high:.2f}), ahead by more than matters on"
            f" {chosen.wins}, behind on {chosen.losses}.{beside}{_open(findings)}"
        )
    if not findings.compared:
        return ""
    if len(findings.of(EQUIVALENT)) == len(findings.compared):
        return f"No difference that matters over {tasks} tasks: keep {control}, or take the cheapest."
    named = {
        "equivalent": findings.of(EQUIVALENT),
        "proved, but perhaps too small to matter": findings.of(MINOR),
        "worse": findings.of(WORSE),
    }
    parts = "".join(f"; {what}: {', '.join(each)}" for what, each in named.items() if each)
    return f"Over {tasks} tasks no candidate is shown to be better: keep {control}{parts}.{_open(findings)}"


def _open(findings: Findings) -> str:
    undecided = findings.of(UNDECIDED)
    return f" Undecided: {', '.join(undecided)}. More tasks could settle it." if undecided else ""


def _disagreement(tasks: Sequence[OnTask], arms: Sequence[str]) -> str:
    """Name the arms that are better on one task and worse on another, by the verdicts of the tasks alone."""
    sentences = []
    for place, arm in enumerate(arms):
        better, worse = (
            [name_text(task.task) for task in tasks if task.verdicts[place] == verdict] for verdict in (BETTER, WORSE)
        )
        if better and worse:
            sentences.append(
                f"The tasks disagree about {arm}: better on {', '.join(better)}; worse on {', '.join(worse)}."
            )
    return " ".join(sentences)
