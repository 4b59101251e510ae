"""Repair a training: diagnose, propose, apply to a copy, measure, keep or drop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import mean
from typing import final

from actlab.diagnosis.report import Report, ordered
from actlab.errors import ActlabError
from actlab.remedy.apply import Applied, applied
from actlab.remedy.change import Change, Refusal
from actlab.remedy.evidence import BETTER, EQUIVALENT, Difference, judge, level_of, pairs_needed
from actlab.remedy.facts import Facts
from actlab.remedy.measured import Budget, OutOfBudget, Progress, Runs
from actlab.remedy.outcome import (
    NO_REMEDY,
    NOT_REPAIRED,
    NOTHING,
    PARTLY,
    REPAIRED,
    UNDECIDED,
    Outcome,
    State,
    Tried,
    alarms,
)
from actlab.remedy.registry import proposals, remedies
from actlab.remedy.symptoms import symptoms
from actlab.remedy.training import Training, diagnose, run
from actlab.rules.finding import SEVERITIES, Finding
from actlab.telemetry.settings import Settings

SCREENING = 0
"""The seed of the first run of each change; confirmations use the seeds after it."""

MOST_CONFIRMED = 2
"""Changes that are confirmed together: each costs as many runs as there are seeds."""

MOST_COMBINED = 4
"""Combinations that are tried for one kind of finding."""

COMPANION = "initialize"
"""The remedy that is combined with a change that removes a finding and makes the training worse."""

CONFIRMATION = 10
"""The runs that a confirmation of one change takes in the first round: five pairs."""


def fix(
    start: Training, *, budget: Budget | None = None, settings: Settings | None = None, progress: Progress | None = None
) -> Outcome:
    """Repair a training, and say what was tried; the training itself is a value and stays.

    Errors are repaired first, then warnings. For each kind of finding the changes of tier 0 are tried, then all others:
    each is trained once and diagnosed; the best are trained with further seeds, each paired with the unrepaired
    training. A change is kept if the finding is gone, none of the same or a higher severity has come, and the metric is
    better or at least equivalent.

    Args:
        start: what is repaired.
        budget: training runs or seconds; by default 40 runs.
        settings: the thresholds of the findings.
        progress: called before and after each run.
    """
    session = _Session(start, Runs(budget or Budget(), progress), settings)
    try:
        session.repair()
    except KeyboardInterrupt:
        session.was_stopped = True
    except OutOfBudget:
        session.is_exhausted = True
    return session.outcome()


@final
@dataclass(frozen=True, eq=False)
class _Screened:
    """A change that was diagnosed and trained once."""

    changes: tuple[Change, ...]
    state: Applied
    report: Report
    gain: float | None
    reason: str

    @property
    def is_promising(self) -> bool:
        return not self.reason

    @property
    def tier(self) -> int:
        return max(each.tier for each in self.changes)


@final
class _Session:
    """One repair, from the diagnosis to the last confirmation."""

    def __init__(self, start: Training, runs: Runs, settings: Settings | None) -> None:
        self.start, self.runs, self.settings = start, runs, settings
        self.now = Applied(start)
        self.kept: tuple[Change, ...] = ()
        self.tried: list[Tried] = []
        self.not_tried: list[str] = []
        self.refused: dict[str, Refusal] = {}
        self.promising: list[_Screened] = []
        self.notes: list[str] = []
        self.rounds = 0
        self.was_stopped = self.is_exhausted = self.with_symptoms = False
        self.before: Report | None = None
        self.report: Report | None = None
        self.given_up: set[str] = set()

    # the loop

    def repair(self) -> None:
        """Diagnose, and repair one kind of finding after another."""
        self.runs.report("diagnosis")
        self.before = self.report = self._examined(self.start)
        if self.before.raised is None and not alarms(self.before):
            self.with_symptoms = True
            self.before = self.report = self._examined(self.start)
        if not alarms(self.before):
            return
        self._check_repeatable()
        self._metric((), SCREENING, self.start, "unrepaired")
        while (finding := self._next()) is not None:
            self._repair_kind(finding)

    def _examined(self, training: Training) -> Report:
        """Return the findings about a training, with those of short trials if the unrepaired one has no others."""
        report = diagnose(training, seed=SCREENING, settings=self.settings)
        if not self.with_symptoms or report.raised is not None:
            return report
        return replace(report, findings=ordered([*report.findings, *symptoms(training)]))

    def _next(self) -> tuple[Finding, ...] | None:
        """Return the findings of the most severe kind that is left."""
        assert self.report is not None
        for first in alarms(self.report):
            if first.id not in self.given_up:
                return tuple(each for each in alarms(self.report) if each.id == first.id)
        return None

    def _repair_kind(self, findings: tuple[Finding, ...]) -> None:
        """Try to remove one kind of finding."""
        assert self.report is not None
        kind = findings[0].id
        facts = Facts(self.now.training, self.report, self.now.line)
        changes, refusals = proposals(findings, facts)
        self.refused.update({f"{kind} {each.remedy} {each.reason}": each for each in refusals})
        known = {each.name for each in self.kept}
        changes = tuple(each for each in changes if each.name not in known)
        cheap = [each for each in changes if each.tier == 0]
        others = _in_turn([each for each in changes if each.tier > 0], findings)
        singles: list[_Screened] = []
        for stage in (cheap, others):
            screened = self._screen_all([(each,) for each in stage], findings)
            singles += screened
            if self._confirm_best(screened, findings):
                return
        pairs = [(one.changes[0], other.changes[0]) for one, other in _pairs(singles)]
        pairs += [(one.changes[0], start) for one in singles if _is_cure_alone(one) for start in self._starts(findings)]
        screened = self._screen_all(pairs[:MOST_COMBINED], findings)
        if not self._confirm_best(screened, findings):
            self.given_up.add(kind)

    def _starts(self, findings: tuple[Finding, ...]) -> tuple[Change, ...]:
        """Return a start that suits what a change leaves: weights drawn anew."""
        assert self.report is not None
        facts = Facts(self.now.training, self.report, self.now.line)
        starts = next(each for each in remedies() if each.id == COMPANION)
        found = (each for each in starts.propose(findings, facts) if isinstance(each, Change))
        return tuple(replace(each, remedy=starts.id, tier=starts.tier) for each in found)[:1]

    # screening

    def _screen_all(self, stage: Iterable[tuple[Change, ...]], findings: tuple[Finding, ...]) -> list[_Screened]:
        """Diagnose and train each change once, as long as the budget allows to confirm one of them."""
        found: list[_Screened] = []
        waiting = list(stage)
        while waiting:
            reserve = CONFIRMATION if self._can_confirm() else 0
            has_promising = any(each.is_promising for each in found)
            if self.runs.left < 1 or (has_promising and self.runs.left <= reserve):
                self.not_tried += [" + ".join(each.name for each in changes) for changes in waiting]
                break
            changes = waiting.pop(0)
            screened = self._screen(changes, findings)
            found.append(screened)
            if screened.is_promising:
                self.promising.append(screened)
            else:
                self._note(screened, findings[0].id, kept=False, reason=screened.reason)
        return found

    def _can_confirm(self) -> bool:
        """Return whether the whole budget allows a confirmation at all."""
        most = self.runs.budget.runs
        return most is None or most >= CONFIRMATION + 2

    def _screen(self, changes: tuple[Change, ...], findings: tuple[Finding, ...]) -> _Screened:
        label = " + ".join(each.name for each in changes)
        self.runs.report(label)
        try:
            state = applied(self.start, (*self.kept, *changes))
            report = self._examined(state.training)
        except ActlabError as error:
            return _Screened(changes, self.now, Report(()), None, f"it cannot be applied: {error}")
        except Exception as error:  # a remedy is at fault: the repair goes on without it, and says so
            return _Screened(changes, self.now, Report(()), None, f"it raised {type(error).__name__}: {error}")
        if report.raised is not None:
            return _Screened(changes, state, report, None, f"the changed training raised: {report.raised}")
        if fault := self._fault(report, findings):
            return _Screened(changes, state, report, None, fault)
        now = self._metric(self._key(), SCREENING, self.now.training, "so far")
        metric = self.start.task.metric
        value = self._metric(self._key(changes), SCREENING, state.training, label)
        gain = metric.gain(value, over=now)
        reason = "" if gain > -self._region(now) else f"the metric fell by {-gain:.4g} with the first seed"
        return _Screened(changes, state, report, gain, reason)

    def _fault(self, report: Report, findings: tuple[Finding, ...]) -> str:
        """Return which finding is still there or has come; empty if all is well."""
        assert self.report is not None
        kind, worst = findings[0].id, min(SEVERITIES.index(each.severity) for each in findings)
        before, after = (Counter(each.id for each in alarms(of)) for of in (self.report, report))
        if after[kind]:
            return f"{kind} ({findings[0].title}) is still found"
        for each in alarms(report):
            if after[each.id] > before[each.id] and SEVERITIES.index(each.severity) <= worst:
                return f"{each.id} ({each.title}) has come"
        return ""

    # confirmation

    def _confirm_best(self, screened: Sequence[_Screened], findings: tuple[Finding, ...]) -> bool:
        """Train the best changes with fresh seeds; keep the best of those that are shown to help."""
        metric = self.start.task.metric
        promising = _ordered([each for each in screened if each.is_promising], self._region_now())
        if not promising:
            return False
        chosen = promising[: self._how_many(promising)]
        level = level_of(self.rounds)
        pairs = pairs_needed(level, len(chosen))
        if pairs * len(chosen) + self._missing(pairs) > self.runs.left:
            chosen = chosen[:1]
            pairs = pairs_needed(level, 1)
        if pairs + self._missing(pairs) > self.runs.left:
            for each in promising:
                self._note(each, findings[0].id, kept=False, reason=_too_small(pairs))
            self.is_exhausted = True
            return False
        self.rounds += 1
        gains = [self._gains(each, pairs) for each in chosen]
        judged = judge(gains, level=level, region=self._region_now())
        verdicts = list(zip(chosen, judged, strict=True))
        good = [(each, of) for each, of in verdicts if of.verdict in (BETTER, EQUIVALENT)]
        good = [(each, of) for each, of in good if self._stays_gone(each, findings)]
        best = max(good, key=lambda pair: pair[1].difference.mean, default=None)
        for each, of in verdicts:
            if best is not None and each is best[0]:
                continue
            reason = f"the metric is {of.verdict}" if best is None else f"{best[0].changes[0].name} is better"
            self._note(each, findings[0].id, kept=False, reason=reason, difference=of.difference)
        for each in promising[len(chosen) :]:
            self._note(each, findings[0].id, kept=False, reason="others gained more with the first seed")
        if best is None:
            return False
        winner, of = best
        self._note(winner, findings[0].id, kept=True, reason=_why(of.verdict, metric.name), difference=of.difference)
        self.kept = (*self.kept, *winner.changes)
        self.now, self.report = winner.state, winner.report
        return True

    def _how_many(self, promising: Sequence[_Screened]) -> int:
        """Return how many are worth confirming: one, unless the next are about as good and nothing is clear."""
        best = promising[0].gain or 0.0
        if best > 4 * self._region_now():
            return 1
        return min(MOST_CONFIRMED, len(promising))

    def _missing(self, pairs: int) -> int:
        """Return how many runs of the training so far are not known yet."""
        return sum(not self.runs.knows(self._key(), SCREENING + number) for number in range(1, pairs + 1))

    def _gains(self, each: _Screened, pairs: int) -> list[float]:
        metric, gains = self.start.task.metric, []
        label = " + ".join(change.name for change in each.changes)
        for seed in range(SCREENING + 1, SCREENING + 1 + pairs):
            now = self._metric(self._key(), seed, self.now.training, "so far")
            value = self._metric(self._key(each.changes), seed, each.state.training, label)
            gains.append(metric.gain(value, over=now))
        return gains

    def _stays_gone(self, each: _Screened, findings: tuple[Finding, ...]) -> bool:
        """Return whether the finding is gone with another seed too."""
        report = diagnose(each.state.training, seed=SCREENING + 1, settings=self.settings)
        return report.raised is None and findings[0].id not in {one.id for one in alarms(report)}

    # values

    def _key(self, more: tuple[Change, ...] = ()) -> tuple[str, ...]:
        return tuple(each.name for each in (*self.kept, *more))

    def _metric(self, key: tuple[str, ...], seed: int, training: Training, label: str) -> float:
        return self.runs.of(training, key, seed, label=label).metric

    def _region(self, value: float) -> float:
        task = self.start.task
        return task.region(value, task.valid)

    def _region_now(self) -> float:
        return self._region(self._metric(self._key(), SCREENING, self.now.training, "so far"))

    def _check_repeatable(self) -> None:
        """Note if the first epoch has other numbers when repeated; a metric of few rows may be equal by chance."""
        first, again = (run(self.start, SCREENING, epochs=1) for _ in range(2))
        if (first.curve, repr(first.last_loss)) != (again.curve, repr(again.last_loss)):
            spread = abs(first.metric - again.metric)
            self.notes.append(
                f"The training is not repeatable: with the same seed, {self.start.task.metric.name} after an epoch"
                f" differs by {spread:.3g}. The intervals hold this noise too, but the diff cannot be checked exactly."
            )

    def _note(
        self, each: _Screened, finding: str, *, kept: bool, reason: str, difference: Difference | None = None
    ) -> None:
        if difference is None and each.gain is not None:
            difference = Difference(each.gain)
        self.tried.append(Tried(each.changes, finding, kept, reason, difference))

    # the result

    def outcome(self) -> Outcome:
        """Return what was found so far."""
        before = () if self.before is None else self.before.findings
        after = () if self.report is None else self.report.findings
        listed = {id(change) for each in self.tried for change in each.changes}
        for each in self.promising:  # screened, but interrupted before a confirmation ended
            if not all(id(change) in listed for change in each.changes):
                self._note(each, "", kept=False, reason="it was not confirmed: the repair ended before")
        unconfirmed = [each for each in self.promising if each.changes[-1] not in self.kept]
        best = max(unconfirmed, key=lambda each: each.gain or 0.0, default=None)
        return Outcome(
            before=self._state(before, ()),
            after=self._state(after, self._key()),
            metric=self.start.task.metric,
            tried=tuple(self.tried),
            not_tried=tuple(dict.fromkeys(self.not_tried)),
            refused=tuple(self.refused.values()),
            kept=self.kept,
            best=() if best is None or self.kept else best.changes,
            training=self.now.training,
            start=self.start,
            verdict=self._verdict(),
            notes=tuple(self.notes),
            runs=self.runs.done,
            seconds=self.runs.seconds,
            was_stopped=self.was_stopped,
        )

    def _state(self, findings: tuple[Finding, ...], key: tuple[str, ...]) -> State:
        values = self.runs.metrics(key)
        return State(findings, mean(values) if values else None, len(values), self.runs.curve(key))

    def _verdict(self) -> str:
        if self.before is None:
            return UNDECIDED
        if self.before.raised is not None and not alarms(self.before):
            return NOT_REPAIRED
        if not alarms(self.before):
            return NOTHING
        assert self.report is not None
        if not alarms(self.report):
            return REPAIRED
        if self.kept:
            return PARTLY
        if self.is_exhausted or self.was_stopped:
            return UNDECIDED
        return NOT_REPAIRED if self.tried else NO_REMEDY


def _ordered(promising: Sequence[_Screened], region: float) -> list[_Screened]:
    """Sort by gain, the best first; of those that differ by less than the region, the cheapest first."""
    best = max((each.gain or 0.0 for each in promising), default=0.0)
    width = max(region, 1e-12)
    return sorted(promising, key=lambda each: (int((best - (each.gain or 0.0)) / width), each.tier))


def _too_small(pairs: int) -> str:
    return f"it was not confirmed: {pairs} pairs of runs are needed to decide, and the budget is too small"


def _why(verdict: str, metric: str) -> str:
    return f"the finding is gone, and the {metric} is {verdict}"


def _in_turn(changes: Sequence[Change], findings: tuple[Finding, ...]) -> list[Change]:
    """Sort changes as the finding's remedies are: the first change of every remedy before any second one."""
    asked = [name for each in findings for name in each.remedies]
    answers = {each.id: each.answers for each in remedies()}
    turns: Counter[str] = Counter()
    keyed = []
    for change in changes:
        place = min((at for at, name in enumerate(asked) if name in answers[change.remedy]), default=len(asked))
        keyed.append(((turns[change.remedy], place, change.tier), change))
        turns[change.remedy] += 1
    return [change for _, change in sorted(keyed, key=lambda each: each[0])]


def _is_cure_alone(of: _Screened) -> bool:
    """Return whether a change without training removes the finding, but the training is worse with it alone."""
    return of.tier == 0 and of.gain is not None and not of.is_promising


def _pairs(singles: Sequence[_Screened]) -> list[tuple[_Screened, _Screened]]:
    """Return which changes are worth combining: of different tiers, and such as could be trained."""
    usable = [each for each in singles if each.is_promising or "is still found" in each.reason]
    return [(one, other) for one, other in combinations(usable, 2) if one.tier != other.tier and other.tier > 0]
