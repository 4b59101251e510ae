"""Put a comparison in sentences that a person can act on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actlab.study.again import is_again, original
from actlab.study.comparison import Difference
from actlab.study.more_seeds import CAP
from actlab.study.verdict import BETTER, EQUIVALENT, MINOR, UNDECIDED, WORSE, Judgement
from actlab.train.kinds import CONSTANT, Metric, after_number


@dataclass(frozen=True)
class Findings:
    """The results that the sentences state.

    Attributes:
        control: the name of the control.
        metric: the metric.
        baseline: the test metric of what has learned nothing.
        region: half the width of the region of practical equivalence.
        means: the mean test metric of every arm, the control first.
        learned: with how many seeds each arm learned.
        seeds: with how many seeds each arm was run.
        judgements: the judgement of every arm but the control.
        group: the arms that cannot be distinguished from the best, the best first.
        operations: how many operations an arm takes per element; arms whose formula is not known, or
            that change more than their activation, have no entry.
        least: the fewest seeds that can show a difference.
        baseline_name: what has learned nothing.
    """

    control: str
    metric: Metric
    baseline: float
    region: float
    means: Mapping[str, float]
    learned: Mapping[str, int]
    seeds: int
    judgements: Mapping[str, Judgement]
    group: tuple[str, ...]
    operations: Mapping[str, int]
    least: int = 1
    baseline_name: str = CONSTANT

    def learns(self, arm: str) -> bool:
        """Return whether an arm learned with at least half of the seeds."""
        return 2 * self.learned[arm] >= self.seeds

    @property
    def compared(self) -> Mapping[str, Judgement]:
        """The judgements of all arms but those that repeat another one, for an A/A comparison."""
        return {arm: judgement for arm, judgement in self.judgements.items() if not is_again(arm)}

    def of(self, verdict: str) -> list[str]:
        """Return the arms with this verdict, the best first, without those that repeat another one."""
        arms = [arm for arm, judgement in self.compared.items() if judgement.verdict == verdict]
        return sorted(arms, key=lambda arm: -self.metric.gain(self.means[arm], over=self.baseline))


def arm_sentence(arm: str, findings: Findings) -> str:
    """Describe the result of one arm in a line."""
    value = _amount(findings.means[arm], findings)
    if arm == findings.control:
        return f"{arm}, the control: {value}{_if_not_learned(arm, findings)}."
    judgement = findings.judgements[arm]
    difference = judgement.difference
    found = (
        f"{value}, {_number(difference.mean, findings, sign='+')} against {findings.control}"
        f" ({100 * difference.level:.3g} % interval {_ends(difference, findings, between=' to ')})"
    )
    label = f"{arm} ({original(arm)} again: A/A)" if is_again(arm) else arm
    return f"{label} is {_claim(judgement, findings)}; {found}{_if_not_learned(arm, findings)}."


def _claim(judgement: Judgement, findings: Findings) -> str:
    difference = judgement.difference
    if judgement.verdict == UNDECIDED:
        return f"undecided ({_seeds_to_settle(judgement.more_seeds, findings)})"
    if judgement.verdict != MINOR:
        return judgement.verdict
    side = BETTER if findings.metric.gain(difference.estimate, over=0.0) > 0 else WORSE
    if max(abs(difference.low), abs(difference.high)) <= findings.region:
        return f"{side}, proved, but by less than matters ({_size(findings)})"
    return f"{side}, proved, but perhaps by less than matters ({_size(findings)})"


def overall(findings: Findings) -> str:
    """Summarize the comparison in a few sentences."""
    if not any(findings.learns(arm) for arm in findings.means):
        return _nothing_learns(findings)
    parts = (_about_control(findings), _advice(findings), _undecided(findings), about_repetitions(findings))
    return " ".join(part for part in parts if part)


def about_repetitions(findings: Findings) -> str:
    """Say what was found about the control against itself."""
    sentences = []
    for arm, judgement in findings.judgements.items():
        if is_again(arm) and original(arm) == findings.control:
            claimed = judgement.verdict in (BETTER, WORSE, MINOR)
            said = f"it is called {judgement.verdict}, which is false" if claimed else "no difference is claimed"
            mean = f"{judgement.difference.mean:+.3g}{after_number(findings.metric.unit)}"
            sentences.append(f"A/A: {arm} is {findings.control} again, {mean} from it by noise alone; {said}.")
    return " ".join(sentences)


def _nothing_learns(findings: Findings) -> str:
    best = max(findings.means, key=lambda arm: findings.metric.gain(findings.means[arm], over=findings.baseline))
    return (
        f"Nothing learns: the best arm, {best}, reaches {_amount(findings.means[best], findings)} where"
        f" {_baseline(findings)}. The activation is not what keeps this network from learning: look at the data,"
        " the learning rates and the number of epochs."
    )


def _about_control(findings: Findings) -> str:
    control = findings.control
    if findings.learns(control):
        return ""
    return (
        f"{control} does not learn: {_amount(findings.means[control], findings)} where {_baseline(findings)}"
        f" ({findings.learned[control]} of {findings.seeds} seeds learned)."
    )


def recommended(findings: Findings) -> str:
    """Return the arm to use: the control, or the cheapest that is better and not distinguishable from the best."""
    better = findings.of(BETTER)
    if not better or findings.control in findings.group:
        return findings.control
    equals = [arm for arm in findings.group if arm in better] or better[:1]
    return min(equals, key=lambda arm: findings.operations.get(arm, math.inf))


def _advice(findings: Findings) -> str:
    best = recommended(findings)
    if best != findings.control:
        return f"Replace {findings.control} by {best}: {_change(best, findings)}. {_others(best, findings)}".rstrip()
    if not findings.compared:
        return ""
    keep = f"keep {findings.control}"
    if len(findings.of(EQUIVALENT)) == len(findings.compared):
        return f"No difference that matters (all within {_size(findings)}): {keep}, or take the cheapest."
    if len(findings.of(WORSE)) == len(findings.compared):
        return f"Every candidate is worse: {keep}."
    if not findings.learns(findings.control):
        return "No candidate is shown to be better."
    found = [f"equivalent: {_listed(findings.of(EQUIVALENT))}"] if findings.of(EQUIVALENT) else []
    found += [f"proved, but perhaps too small to matter: {_listed(findings.of(MINOR))}"] if findings.of(MINOR) else []
    found += [f"worse: {_listed(findings.of(WORSE))}"] if findings.of(WORSE) else []
    return f"No candidate is shown to be better: {keep}{''.join(f'; {part}' for part in found)}."


def _others(best: str, findings: Findings) -> str:
    """Say which arms cannot be distinguished from the recommended one, and which others are better than the control."""
    equals = [arm for arm in findings.group if arm != best and not is_again(arm)]
    behind = [arm for arm in findings.of(BETTER) if arm not in findings.group and arm != best]
    parts = []
    if equals and best in findings.group:
        cheapest = ""
        costs = [findings.operations.get(arm, math.inf) for arm in equals]
        cost = findings.operations.get(best, math.inf)
        if math.isfinite(cost) and cost <= min(costs):
            cheapest = f"; {best} is the cheapest of them"
        parts.append(f"{_listed(equals)} cannot be distinguished from it{cheapest}.")
    if behind:
        parts.append(f"Better too, but behind: {_listed(behind)}.")
    return " ".join(parts)


def _undecided(findings: Findings) -> str:
    undecided = findings.of(UNDECIDED)
    if not undecided:
        return ""
    more = [findings.judgements[arm].more_seeds for arm in undecided]
    settle = [seeds for seeds in more if seeds is not None]
    most = None if len(settle) < len(more) else max(settle)
    needed = _seeds_to_settle(most, findings)
    return f"Undecided: {_listed(undecided)}. {needed[0].upper()}{needed[1:]}."


def _seeds_to_settle(more: int | None, findings: Findings) -> str:
    """Say how many seeds a comparison needs in all; `more` is None above the cap."""
    is_short = findings.seeds < findings.least
    least = f"at least {findings.least} seeds are needed"
    if more is None:
        probably = f"even {findings.seeds + CAP} seeds would probably not settle it"
        return f"{least}; {probably}" if is_short else probably
    total = findings.seeds + more
    if not is_short:
        return f"about {total} seeds should settle it"
    return f"{least}, and probably enough" if total <= findings.least else f"{least}; about {total} should settle it"


def _change(arm: str, findings: Findings) -> str:
    difference = findings.judgements[arm].difference
    return (
        f"{_amount(findings.means[arm], findings)}, {_number(difference.mean, findings, sign='+')} on average"
        f" (between {_ends(difference, findings, between=' and ')})"
    )


def _ends(difference: Difference, findings: Findings, *, between: str) -> str:
    return f"{_number(difference.low, findings)}{between}{_number(difference.high, findings)}"


def _if_not_learned(arm: str, findings: Findings) -> str:
    if findings.learns(arm):
        return ""
    return f"; it does not learn ({findings.learned[arm]} of {findings.seeds} seeds)"


def _baseline(findings: Findings) -> str:
    return f"{findings.baseline_name} has {_number(findings.baseline, findings)}"


def _amount(value: float, findings: Findings) -> str:
    metric = findings.metric
    unit = after_number(metric.unit) if metric.larger_is_better else ""
    return f"{metric.name} {_number(value, findings)}{unit}"


def _number(value: float, findings: Findings, *, sign: str = "") -> str:
    """Return a number with the decimal places of the tables."""
    if math.isinf(value):
        return "+∞" if value > 0 else "−∞"
    return f"{value:{sign}.{findings.metric.places(findings.region)}f}"


def _size(findings: Findings) -> str:
    return f"{findings.region:.3g}{after_number(findings.metric.unit)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
