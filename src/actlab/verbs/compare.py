"""Compare activations on a task, or plan such a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, overload

from actlab.errors import BadInput, BadStudy
from actlab.formula.activation import Activation
from actlab.jsonable import plain
from actlab.report.forecast import forecast_lines, forecast_rows
from actlab.report.page import write_report
from actlab.report.written import check_place, write_whole
from actlab.study.advise import announce, carried_out, stored_budget, stored_budgets, study_of
from actlab.study.again import original_of
from actlab.study.arm_text import variant
from actlab.study.compare import Progress, Study
from actlab.study.earlier import earlier_in
from actlab.study.forecast import Forecast, forecast
from actlab.study.guide import guide
from actlab.study.options import AdviseOptions, lists_options, task_options
from actlab.study.plan import Budget
from actlab.study.plan_file import PlanFile, check_task, read_plans, settled, task_of, write_plan, write_plans
from actlab.study.runner import LocalRunner, Runner, start_early
from actlab.study.suite import Suite, suite_of
from actlab.train.builtin import TASKS
from actlab.train.options import TaskOptions
from actlab.train.subject import names_program
from actlab.train.task import Learnable, Task
from actlab.verbs.advise import Advice
from actlab.verbs.comparing import Choice, own_activations, provenance, with_activations
from actlab.verbs.runner_lookup import runner_named
from actlab.verbs.suites import PlannedSuite, SuiteAdvice, compare_tasks, listed_tasks, names_several, plan_tasks
from actlab.verbs.task_lookup import is_table, task_named


@dataclass(frozen=True)
class Planned:
    """What a comparison will take and what it can decide, before it is run.

    Attributes:
        forecast: the plan, and what was computed and measured about it.
        notes: choices that a reader should know, such as two names of one activation.
        file: the plan file, if one was written.
    """

    forecast: Forecast
    notes: tuple[str, ...] = ()
    file: Path | None = None

    @property
    def verdict(self) -> str:
        """Whether the plan can decide, and what would."""
        return self.forecast.verdict

    def to_json(self) -> dict[str, Any]:
        """Return the plan, what it will take and what it can decide, as numbers and as rows of text."""
        file = None if self.file is None else str(self.file)
        rows = [{"label": label, "text": text} for label, text in forecast_rows(self.forecast)]
        return {**self.forecast.to_json(), "rows": rows, "notes": list(self.notes), "file": file}

    def lines(self) -> list[str]:
        """Return the same as text."""
        lines = [*forecast_lines(self.forecast), *(f"Note: {note}" for note in self.notes)]
        return lines if self.file is None else [*lines, "", f"Plan: {self.file}"]


_OF_STUDY = ("activations", "diagnose")
_listed = partial(lists_options, without=_OF_STUDY)


TaskName = str | Path | Learnable


@overload
def compare(
    task: list[TaskName] | list[str] | tuple[TaskName, ...],
    activations: Sequence[Choice] | None = None,
    **options: Any,
) -> SuiteAdvice: ...
@overload
def compare(task: TaskName | None = None, activations: Sequence[Choice] | None = None, **options: Any) -> Advice: ...
@partial(_listed, before="plan")
def compare(
    task: TaskName | Sequence[TaskName] | None = None,
    activations: Sequence[Choice] | None = None,
    *,
    target: str | None = None,
    plan: str | Path | None = None,
    report: str | Path | None = None,
    command: str = "",
    params: Mapping[str, float] | None = None,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    runner: str | Runner | None = None,
    **options: Any,
) -> Advice | SuiteAdvice:
    """Compare activations on a task fairly, and judge every one of them against a control.

    A list of tasks, or a plan file with several, is compared on each of them, with one conclusion over all: the answer
    is then a `SuiteAdvice`.

    Args:
        task: A built-in task's name, a table's path, `data.csv:column`, `file.py:name`, a plan file (`.toml`), or a
            `Task`; or a list of these.
        activations: Candidates: names, formulas or `file.py:name`; by default eight common activations.
        target: The table column to predict.
        {options}
        plan: A plan file for a `Task`.
        report: Path of the HTML report; none is written by default.
        command: The command line, for the report.
        params: Values for the parameters of candidates that are typed as formulas, such as `{"beta": 1.0}`.
        say: Called with each sentence about the plan, before the run.
        warn: Called with each warning about the plan, before the run; `say` by default.
        progress: Called after every trial, and at times while several train together.
        runner: Where the trials run: local (the default), ray or ray://HOST:PORT for a Ray cluster, or a runner.

    Raises:
        BadTask, BadTable, BadStudy, UnknownActivation, BadFormula: the message says what to change.
    """
    where = runner_named(runner)
    if report is not None:
        check_place(Path(report))
    if where is None and options.get("jobs", 1) > 1:
        start_early()
    each = _asked_each(task, activations, target=target, plan=plan, params=params or {}, options=options)
    asked = each[0]
    if names_several(task) or len(each) > 1:
        return compare_tasks(
            _suite(each),
            asked.options,
            report=None if report is None else Path(report),
            command=command,
            say=say,
            warn=warn,
            progress=progress,
            runner=where,
        )
    announce(asked.study, say=say, warn=warn)
    chosen = asked.study.setting.task
    known = earlier_in(asked.options.store, chosen, resume=asked.options.resume)
    comparison = carried_out(asked.study, asked.options, progress=progress, runner=where)
    if report is None:
        return Advice(comparison, earlier=known)
    path = write_report(
        comparison,
        Path(report),
        provenance=provenance(command),
        own=own_activations(asked.options),
        guide=guide(chosen) if isinstance(chosen, Task) else (),
        earlier=known,
    )
    return Advice(comparison, path, earlier=known)


@overload
def planned(
    task: list[TaskName] | list[str] | tuple[TaskName, ...],
    activations: Sequence[Choice] | None = None,
    **options: Any,
) -> PlannedSuite: ...
@overload
def planned(task: TaskName | None = None, activations: Sequence[Choice] | None = None, **options: Any) -> Planned: ...
@partial(_listed, before="save")
def planned(
    task: TaskName | Sequence[TaskName] | None = None,
    activations: Sequence[Choice] | None = None,
    *,
    target: str | None = None,
    save: str | Path | None = None,
    params: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    runner: str | Runner | None = None,
    **options: Any,
) -> Planned | PlannedSuite:
    """Say before a comparison what it will take and what it can decide; run a small pilot only.

    For a list of tasks, or a plan file with several, the answer is a `PlannedSuite`.

    Args:
        task: A built-in task's name, a table's path, `data.csv:column`, `file.py:name`, a plan file (`.toml`), or a
            `Task`; or a list of these.
        activations: Candidates: names, formulas or `file.py:name`; by default eight common activations.
        target: The table column to predict.
        {options}
        save: Path of a plan file to write; none is written by default.
        params: Values for the parameters of candidates that are typed as formulas, such as `{"beta": 1.0}`.
        progress: Called after every trial of the pilot.
        runner: Where the pilot runs: local (the default), ray or ray://HOST:PORT for a Ray cluster, or a runner.

    Raises:
        BadTask, BadTable, BadStudy, UnknownActivation, BadFormula: the message says what to change.
    """
    where = runner_named(runner)
    if save is not None:
        check_place(Path(save))
    each = _asked_each(task, activations, target=target, plan=None, params=params or {}, options=options)
    asked = each[0]
    suite = _suite(each) if names_several(task) or len(each) > 1 else None
    text = None if save is None else _text(asked, suite=suite, folder=Path(save).resolve().parent)
    if suite is not None:
        answer = PlannedSuite(suite, plan_tasks(suite, asked.options, progress=progress, runner=where))
        return answer if save is None or text is None else replace(answer, file=write_whole(Path(save), text.encode()))
    found = forecast(asked.study, runner=where, jobs=asked.options.jobs, progress=progress)
    notes = tuple(note for note in asked.study.notes if note not in asked.study.plan.warnings())
    if save is None or text is None:
        return Planned(found, notes)
    return Planned(found, notes, write_whole(Path(save), text.encode()))


@dataclass(frozen=True)
class _Asked:
    """A study that is ready to run, how to run it, and the activations as they were typed."""

    study: Study
    options: AdviseOptions
    activations: tuple[Choice, ...]
    against: Choice | None
    params: Mapping[str, float]


def _asked_each(
    task: TaskName | Sequence[TaskName] | None,
    activations: Sequence[Choice] | None,
    *,
    target: str | None,
    plan: str | Path | None,
    params: Mapping[str, float],
    options: dict[str, Any],
) -> list[_Asked]:
    """Return the study of every task that is named, in a plan file or directly."""
    about_task = task_options(options)
    typed = AdviseOptions(**options, activations=activations, diagnose=False)
    LocalRunner(typed.jobs)  # refuses a number of jobs that is not possible, before anything is built
    tasks = listed_tasks(task)
    files = [one for one in tasks if isinstance(one, str | Path) and str(one).endswith(".toml")]
    if plan is not None and len(tasks) == 1 and not files:
        return _planned_before([Path(plan)], tasks[0], typed=typed, about_task=about_task, target=target, params=params)
    if plan is not None:
        raise BadInput(f"plan requires an actlab.Task beside it; got {len(tasks)} tasks. Pass the plan file alone.")
    if files and len(files) < len(tasks):
        raise BadInput(f"plan files and tasks cannot be named together; got {files[0]} beside others.")
    if files:
        paths = [Path(file) for file in files]
        return _planned_before(paths, None, typed=typed, about_task=about_task, target=target, params=params)
    if not tasks:
        raise BadInput("a comparison over tasks requires two tasks or more; got an empty list.")
    asked = with_activations(typed, params)
    found = [_task(one, target=own, options=each) for one, own, each in _each_with_options(tasks, target, about_task)]
    return [
        _Asked(study_of(one, asked, known=budget), asked, tuple(activations or ()), typed.against, params)
        for one, budget in zip(found, _known(found, asked), strict=True)
    ]


def _known(tasks: Sequence[Learnable], options: AdviseOptions) -> tuple[Budget | None, ...]:
    """Return the budget of every study that is continued; of several tasks, of the run that is continued."""
    return stored_budgets(tasks, options) if len(tasks) > 1 else (stored_budget(tasks[0], options),)


_OF_TABLES = ("kind", "header", "without")


def _each_with_options(
    tasks: Sequence[TaskName | None], target: str | None, options: TaskOptions
) -> list[tuple[TaskName | None, str | None, TaskOptions]]:
    """Return every task with its target and options: of several, those of tables are for the tables among them."""
    if len(tasks) == 1:
        return [(tasks[0], target, options)]
    targets = [target if _may_be_table(one) else None for one in tasks]
    tables = [is_table(one, own) for one, own in zip(tasks, targets, strict=True)]
    if target is not None and all(own is None or is_table(one, None) for one, own in zip(tasks, targets, strict=True)):
        raise BadInput(
            f"target requires a table that is named without one; got {', '.join(map(str, tasks))}. Leave out"
            f" --target {target}."
        )
    usual = TaskOptions()
    others = replace(options, **{name: getattr(usual, name) for name in _OF_TABLES}) if any(tables) else options
    return [
        (one, own, options if of_table else others) for one, own, of_table in zip(tasks, targets, tables, strict=True)
    ]


def _may_be_table(task: object) -> bool:
    return isinstance(task, str | Path) and str(task) not in TASKS and not names_program(str(task))


def _suite(each: Sequence[_Asked]) -> Suite:
    return suite_of([asked.study for asked in each])


def _task(task: str | Path | Learnable | None, *, target: str | None, options: TaskOptions) -> Learnable:
    if isinstance(task, str) and target is None and task in TASKS:
        return task_named(None, target=None, task=task, verb="compare", options=options)
    if isinstance(task, str) and target is None and task.replace("-", "").isidentifier() and not Path(task).exists():
        return task_named(None, target=None, task=task, verb="compare", options=options)  # names the nearest built-in
    return task_named(task, target=target, task=None, verb="compare", options=options)


def _planned_before(
    paths: Sequence[Path],
    task: Learnable | str | Path | None,
    *,
    typed: AdviseOptions,
    about_task: TaskOptions,
    target: str | None,
    params: Mapping[str, float],
) -> list[_Asked]:
    """Return the studies of plan files, one for each of their tasks; only how they are run can be chosen.

    Raises:
        BadStudy: something is asked for that a plan fixes, or it belongs to another task.
    """
    if task is not None and not isinstance(task, Learnable):
        raise BadInput(f"plan requires an actlab.Task beside it; got '{task}'. Pass the plan file alone.")
    for path in paths:
        _refuse_fixed(path, typed=typed, about_task=about_task, target=target, params=params)
    plans = [(plan, path) for path in paths for plan in read_plans(path)]
    if task is not None and len(plans) > 1:
        raise BadStudy(f"the plan '{paths[0]}' has {len(plans)} tasks of its own; got task '{task.name}' beside it.")
    tasks = [task_of(plan, path) if task is None else settled(plan, task) for plan, path in plans]
    options = [with_activations(_options(plan, typed), plan.arms.parameters) for plan, _ in plans]
    found = []
    for (plan, path), chosen, asked, known in zip(plans, tasks, options, _known(tasks, options[0]), strict=True):
        study = study_of(chosen, asked, looks=plan.looks, budget=plan.budget, known=known)
        check_task(plan, study, path)
        found.append(_Asked(study, asked, plan.arms.candidates, plan.arms.control, plan.arms.parameters))
    return found


def _options(plan: PlanFile, typed: AdviseOptions) -> AdviseOptions:
    return replace(
        typed,
        activations=plan.arms.candidates,
        against=plan.arms.control,
        budget=plan.rates.count,
        seed=plan.replicates.seed,
        init=plan.replicates.init,
        splits=plan.replicates.splits,
        equal=plan.replicates.equal,
        measure=plan.measuring.measures,
        noise_levels=plan.measuring.noise_levels or None,
        label_noise=plan.measuring.label_noise,
        target_metric=plan.measuring.target,
        watts=plan.measuring.watts,
    )


_FREE = ("jobs", "store", "resume", "diagnose")
"""The options that a plan leaves open."""


def _refuse_fixed(
    path: Path, *, typed: AdviseOptions, about_task: TaskOptions, target: str | None, params: Mapping[str, float]
) -> None:
    free = (*_FREE, "seeds") if typed.resume else _FREE
    usual: list[tuple[Any, Any]] = [(typed, AdviseOptions()), (about_task, TaskOptions())]
    named = [
        each.name
        for options, default in usual
        for each in fields(options)
        if each.name not in free and plain(getattr(options, each.name)) != plain(getattr(default, each.name))
    ]
    named += [name for name, value in (("target", target), ("param", params)) if value]
    if named:
        typed_as = " ".join(f"--{each.replace('_', '-')}" for each in named)
        raise BadStudy(
            f"the plan '{path}' fixes {', '.join(named)}: edit the file, or leave out {typed_as}."
            + (" With --resume, --seeds adds seeds." if "seeds" in named else "")
        )


def _text(asked: _Asked, *, suite: Suite | None, folder: Path) -> str:
    """Return the text of the plan file.

    Raises:
        BadInput: an activation is an object, which a file cannot hold.
    """
    typed = [variant(original_of(one)) for one in (*asked.activations, asked.against) if one is not None]
    for one in (act for arm in typed for act in (arm.activation, *arm.groups.values())):
        if isinstance(one, Activation):
            raise BadInput(f"a plan file holds names and formulas; got the object {one.name}. Name it as file.py:name.")
    plan = asked.study.plan
    arms: dict[str, Any] = {
        "control": plan.control if asked.against is None else str(asked.against),
        "candidates": tuple(map(str, asked.activations)) or plan.arms[1:],
        "parameters": asked.params,
        "folder": folder,
    }
    if suite is None:
        return write_plan(asked.study, **arms)
    return write_plans(suite.studies, names=suite.names, sentences=(*suite.warnings(), *suite.sentences()), **arms)
