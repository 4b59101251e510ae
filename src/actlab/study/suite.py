"""Compare the same activations on several tasks: a study on each, and one conclusion over all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from actlab.errors import BadStudy
from actlab.formula.activation import Activation
from actlab.study.compare import Progress, Study, run_study
from actlab.study.comparison import Comparison
from actlab.study.over_tasks import SCALE_SENTENCE, Overall, cannot_decide, conclude, level_of
from actlab.study.plan import Plan
from actlab.study.power import seeds_needed, smallest_p
from actlab.study.runner import Runner
from actlab.study.store import Store
from actlab.study.suite_store import begin_suite, keep_conclusion, resumed_suite
from actlab.theory.operations import operations
from actlab.train.task import Learnable


@final
@dataclass(frozen=True)
class Suite:
    """Studies of the same arms on several tasks, ready to run.

    Attributes:
        studies: one for each task.
        names: the name of each task among them.
    """

    studies: tuple[Study, ...]
    names: tuple[str, ...]

    @property
    def plan(self) -> Plan:
        """The plan of the first study, which has arms, seeds and looks in common with the others."""
        return self.studies[0].plan

    @property
    def trials(self) -> int:
        """The number of training runs, if no range of rates is extended."""
        return sum(study.plan.trials for study in self.studies)

    @property
    def alpha(self) -> float:
        """The error that the conclusion over all tasks may spend."""
        return level_of(self.plan)

    @property
    def smallest_p(self) -> float:
        """The smallest p-value that so many tasks can reach."""
        return smallest_p(len(self.studies))

    @property
    def tasks_needed(self) -> int:
        """The fewest tasks that can show a difference."""
        return seeds_needed(self.plan.comparisons, alpha=self.alpha)

    def warnings(self) -> tuple[str, ...]:
        """Return a warning if no conclusion over so many tasks is possible, and the plan's own ones."""
        plan = self.plan
        short = cannot_decide(len(self.studies), comparisons=plan.comparisons, alpha=self.alpha)
        return (*([short] if short else []), *plan.warnings())

    def sentences(self) -> tuple[str, ...]:
        """Say what will be run and what it can decide over all tasks."""
        plan, count = self.plan, len(self.studies)
        holm = f", with Holm's correction for {plan.comparisons} comparisons" if plan.comparisons > 1 else ""
        return (
            f"{count} tasks ({', '.join(self.names)}), each a study with {len(plan.arms)} arms and {len(plan.seeds)}"
            f" seeds; {plan.control} is the control: {self.trials:,} trials.",
            f"Over the tasks, an exact signed-rank test of {count} differences, one a task (the mean over its seeds)"
            f"{holm}; the significance level is {self.alpha:g}, and the smallest possible p-value of {count} tasks"
            f" is {self.smallest_p:.2g}.",
            SCALE_SENTENCE,
        )


@final
@dataclass(frozen=True)
class SuiteResult:
    """What a comparison on several tasks found.

    Attributes:
        overall: the conclusion over all tasks.
        comparisons: the comparison on each task.
        number: the number of the suite in the store.
    """

    overall: Overall
    comparisons: tuple[Comparison, ...]
    number: int


def suite_of(studies: Sequence[Study]) -> Suite:
    """Return the suite of these studies.

    Raises:
        BadStudy: there are fewer than two, a task stands there twice, or the arms or the seeds are not the same on all.
    """
    if len(studies) < 2:
        raise BadStudy(f"a comparison over tasks requires two tasks or more; got {len(studies)}.")
    first = studies[0].plan
    for study in studies[1:]:
        plan = study.plan
        if plan.control != first.control:
            raise BadStudy(
                f"the control must be the same on all tasks; got {first.control} on {first.task} and {plan.control} on"
                f" {plan.task}. Name one with --against."
            )
        for what, one, other in (
            ("arms", first.arms, plan.arms),
            ("seeds", first.seeds, plan.seeds),
            ("looks", first.looks, plan.looks),
        ):
            if one != other:
                raise BadStudy(
                    f"the {what} must be the same on all tasks; got {_listed(one)} on {first.task} and"
                    f" {_listed(other)} on {plan.task}."
                )
        if plan.measuring != first.measuring:
            raise BadStudy(
                f"what is measured must be the same on all tasks; it differs on {first.task} and {plan.task}. Let each"
                " plan file have the same [measuring]."
            )
    twice = [print_ for print_, count in Counter(study.plan.fingerprint for study in studies).items() if count > 1]
    if twice:
        name = next(study.plan.task for study in studies if study.plan.fingerprint == twice[0])
        raise BadStudy(f"every task must be named once; got {name} twice.")
    return Suite(tuple(studies), names_of([study.setting.task for study in studies]))


def _listed(values: Sequence[object]) -> str:
    return f"{len(values)} ({', '.join(map(str, values[:6]))}{', …' if len(values) > 6 else ''})"


def names_of(tasks: Sequence[Learnable]) -> tuple[str, ...]:
    """Return a name for each task: its own, with its target if another has the same, and a number if need be."""
    names = [task.name for task in tasks]
    doubled = {name for name, count in Counter(names).items() if count > 1}
    for place, task in enumerate(tasks):
        if names[place] in doubled and task.origin[:1] == ("table",):
            names[place] = f"{names[place]}:{task.origin[2]}"
    counts: Counter[str] = Counter()
    unique = []
    for name in names:
        counts[name] += 1
        unique.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return tuple(unique)


def run_suite(
    suite: Suite,
    *,
    store: Store,
    resume: bool = False,
    seeds: int | None = None,
    progress: Progress | None = None,
    runner: Runner | None = None,
) -> SuiteResult:
    """Run the studies of a suite one after another, and conclude over all.

    Args:
        suite: what to run.
        store: where its trials are stored.
        resume: continue the newest stored suite of these tasks.
        seeds: the number of seeds to go on to when it is resumed; by default those that it has.
        progress: called as for one study, with the numbers of all.
        runner: runs the trials; by default this machine.

    Raises:
        BadStudy: the stored suite has other plans, or the store cannot be written.
    """
    plans = [study.plan for study in suite.studies]
    number, members = (
        resumed_suite(store, suite.names, plans, seeds=seeds) if resume else begin_suite(store, suite.names, plans)
    )
    whole = _Whole(suite, progress)
    comparisons = []
    for place, (study, member) in enumerate(zip(suite.studies, members, strict=True)):
        found = run_study(
            study,
            store=store,
            name=study.plan.task,
            number=member,
            progress=None if progress is None else whole.of(place),
            runner=runner,
        )
        comparisons.append(found)
    arms = suite.studies[0].setting.arms
    overall = conclude(
        comparisons,
        names=suite.names,
        studies=members,
        operations={
            name: operations(arm.means)
            for name, arm in arms.items()
            if isinstance(arm.means, Activation) and arm.is_activation_alone
        },
    )
    keep_conclusion(store, number, overall)
    return SuiteResult(overall, tuple(comparisons), number)


@final
class _Whole:
    """Turns the progress of each study into that of the suite."""

    def __init__(self, suite: Suite, progress: Progress | None) -> None:
        self.names, self.progress = suite.names, progress
        self.done = [0.0] * len(suite.studies)
        self.totals = [study.plan.trials for study in suite.studies]
        self.before: dict[int, float] = {}
        self.started = time.perf_counter()

    def of(self, place: int) -> Progress:
        """Return the progress of one study, for `run_study`."""

        def advance(done: float, total: int, seconds_left: float | None, label: str) -> None:
            self.done[place], self.totals[place] = done, total
            self.before.setdefault(place, done)  # what the store had says nothing about the speed
            fresh = sum(self.done) - sum(self.before.values())
            left = sum(self.totals) - sum(self.done)
            seconds = (time.perf_counter() - self.started) / fresh * left if fresh else None
            assert self.progress is not None
            self.progress(sum(self.done), sum(self.totals), seconds, f"{self.names[place]}, {label}")

        return advance
