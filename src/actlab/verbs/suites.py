"""What `compare`, `runs` and `report` share about comparisons on several tasks: their answers and their pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any, final

from actlab.jsonable import plain
from actlab.report.suite_forecast import suite_forecast_lines
from actlab.report.suite_page import suite_page
from actlab.report.suite_terminal import suite_lines
from actlab.report.written import write_whole
from actlab.study.compare import Progress
from actlab.study.comparison import Comparison
from actlab.study.forecast import Forecast, forecast
from actlab.study.options import AdviseOptions
from actlab.study.over_tasks import SCALE_SENTENCE, Overall
from actlab.study.runner import LocalRunner, Runner
from actlab.study.store import Store
from actlab.study.suite import Suite, run_suite
from actlab.study.suite_store import SIGN
from actlab.verbs.advise import Advice
from actlab.verbs.comparing import provenance


@final
@dataclass(frozen=True)
class SuiteAdvice:
    """The recommended activation over several tasks, and the evidence for it.

    Attributes:
        overall: the conclusion over all tasks.
        comparisons: the comparison on each task.
        number: the number of the run in the store, such as "S1"; None if it is not stored.
        report: the path of the HTML report, if one was written.
    """

    overall: Overall
    comparisons: tuple[Comparison, ...]
    number: str | None = None
    report: Path | None = None

    @property
    def verdict(self) -> str:
        """The recommendation over all tasks, in words."""
        return self.overall.verdict

    @property
    def seeds_to_settle(self) -> None:
        """None: more tasks may settle what is undecided, and more seeds may not."""
        return

    def to_json(self) -> dict[str, Any]:
        """Return the conclusion over all tasks, the matrix of all pairs, and the answer for each task."""
        found = self.overall
        return {
            "run": self.number,
            "control": found.control,
            "arms": [_arm(arm) for arm in plain(found.arms)],
            "verdict": found.verdict,
            "recommended": found.recommended,
            "group": list(found.group),
            "scale": SCALE_SENTENCE,
            "alpha": found.alpha,
            "smallest_p": found.smallest_p,
            "tasks_needed": found.tasks_needed,
            "can_decide": found.can_decide,
            "matrix": [plain(each) for pair in found.pairs for each in (pair, pair.turned())],
            "tasks": [
                {
                    "name": task.task,
                    "study": None if self.number is None else task.study,
                    "region": task.region,
                    "gains": dict(zip((arm.activation for arm in found.arms), task.gains, strict=True)),
                    "comparison": Advice(each).to_json(),
                }
                for task, each in zip(found.tasks, self.comparisons, strict=True)
            ],
            "notes": list(found.notes),
            "seconds": found.seconds,
            "report": None if self.report is None else str(self.report),
        }

    def lines(self) -> list[str]:
        """Return the tables of tasks, arms and pairs, the verdict, and the path of the report."""
        lines = suite_lines(self.overall, self.comparisons)
        return lines if self.report is None else [*lines, "", f"Report: {self.report}"]


def _arm(row: dict[str, Any]) -> dict[str, Any]:
    """Return an arm as JSON, with the p after Holm's correction, which the verdict uses, as `p`."""
    difference = row["difference"]
    if difference is None:
        return row
    adjusted, raw = difference.pop("adjusted_p"), difference["p"]
    return {**row, "difference": {**difference, "p": adjusted, "unadjusted_p": raw}}


@final
@dataclass(frozen=True)
class PlannedSuite:
    """What a comparison on several tasks will take and what it can decide, before it is run.

    Attributes:
        suite: the studies.
        forecasts: what was computed and measured about each.
        file: the plan file, if one was written.
    """

    suite: Suite
    forecasts: tuple[Forecast, ...]
    file: Path | None = None

    @property
    def verdict(self) -> str:
        """Whether so many tasks can decide, and how many would."""
        return " ".join(self.suite.warnings()) or (
            f"{len(self.forecasts)} tasks can decide; what each can decide alone stands in its row."
        )

    def to_json(self) -> dict[str, Any]:
        """Return what all tasks have in common, and the forecast of each."""
        plan, suite = self.suite.plan, self.suite
        return {
            "control": plan.control,
            "arms": list(plan.arms),
            "seeds": len(plan.seeds),
            "trials": suite.trials,
            "expected_seconds": sum(each.expected_seconds for each in self.forecasts),
            "smallest_p": suite.smallest_p,
            "alpha": suite.alpha,
            "tasks_needed": suite.tasks_needed,
            "can_decide": len(self.forecasts) >= suite.tasks_needed,
            "verdict": self.verdict,
            "tasks": [
                {"name": name, **each.to_json(), "notes": list(study.notes)}
                for name, each, study in zip(suite.names, self.forecasts, suite.studies, strict=True)
            ],
            "file": None if self.file is None else str(self.file),
        }

    def lines(self) -> list[str]:
        """Return the same as text."""
        lines = suite_forecast_lines(self.suite, self.forecasts)
        lines += wrap(self.verdict, get_terminal_size().columns)
        return lines if self.file is None else [*lines, "", f"Plan: {self.file}"]


def compare_tasks(
    suite: Suite,
    options: AdviseOptions,
    *,
    report: Path | None,
    command: str,
    say: Callable[[str], None],
    warn: Callable[[str], None] | None,
    progress: Progress | None,
    runner: Runner | None,
) -> SuiteAdvice:
    """Run a suite, or continue the stored one; write the report if its path is named.

    Raises:
        BadStudy: the store cannot be used, or the stored suite has other plans.
    """
    for line in suite.warnings():
        (warn or say)(line)
    for line in suite.sentences():
        say(line)
    for name, study in zip(suite.names, suite.studies, strict=True):
        for line in (study.setting.task.sentence, *study.notes):
            if line not in study.plan.warnings():
                say(f"{name}: {line}")
    with Store(options.store) as trials:
        found = run_suite(
            suite,
            store=trials,
            resume=options.resume,
            seeds=options.seeds,
            progress=progress,
            runner=runner or LocalRunner(options.jobs),
        )
    number = None if options.store is None else f"{SIGN}{found.number}"
    if report is not None:
        text = suite_page(found.overall, found.comparisons, provenance=provenance(command))
        write_whole(report, text.encode())
    return SuiteAdvice(found.overall, found.comparisons, number, report)


def plan_tasks(
    suite: Suite, options: AdviseOptions, *, progress: Progress | None, runner: Runner | None
) -> tuple[Forecast, ...]:
    """Run a small pilot for each task of a suite, one after another."""
    count, forecasts = len(suite.studies), []
    for place, study in enumerate(suite.studies):

        def advance(done: float, total: int, left: float | None, label: str, place: int = place) -> None:
            assert progress is not None
            progress(place * total + done, count * total, None, f"{suite.names[place]}, {label}")

        shown = None if progress is None else advance
        forecasts.append(forecast(study, runner=runner, jobs=options.jobs, progress=shown))
    return tuple(forecasts)


def names_several(task: object) -> bool:
    """Return whether several tasks are named, in a list or a tuple."""
    return isinstance(task, list | tuple)


def listed_tasks(task: object) -> Sequence[Any]:
    """Return the tasks that are named, one or several."""
    return list(task) if isinstance(task, list | tuple) else [task]
