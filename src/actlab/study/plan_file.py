"""A plan as a TOML file that people read, edit, run again and cite."""

from __future__ import annotations

import json
import math
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from textwrap import wrap
from typing import Any, final

from actlab.errors import BadInput, BadStudy
from actlab.study.arm_text import INITS
from actlab.study.compare import Study
from actlab.study.measuring import MEASURES, NOTHING_MORE, Measuring
from actlab.study.plan import EQUAL, OWN, SPLITS, TRIALS, Budget, Look, Plan
from actlab.study.typed_values import read_as
from actlab.train.adjusted import adjusted
from actlab.train.load import ORIGINS
from actlab.train.task import Learnable

FORMAT = 1
WIDTH = 100


@final
@dataclass(frozen=True)
class TaskOf:
    """The task of a plan.

    Attributes:
        name: its name.
        epochs: passes over the training rows, at least.
        built_in: the name of a built-in task.
        file: `file.py:name`.
        table: the path of a CSV file.
        target: the column of the table to predict.
        kind: the kind of the table's task, if it was named.
        header: whether the table's first row names its columns.
        without: the table's columns that are left out.
        text: the path of a text file.
        images: the path of a folder of images.
        side: the number of pixels along a side of the images; 0 for the usual one.
        arrays: the path of an .npz file.
    """

    name: str
    epochs: int
    built_in: str = ""
    file: str = ""
    table: str = ""
    target: str = ""
    kind: str = ""
    header: bool = True
    without: tuple[str, ...] = ()
    text: str = ""
    images: str = ""
    side: int = 0
    arrays: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """Everything that it could be built from; more than one is a mistake."""
        return tuple(filter(None, (self.built_in, self.file, self.table, self.text, self.images, self.arrays)))


@final
@dataclass(frozen=True)
class ArmsOf:
    """The arms of a plan: names, formulas or `file.py:name`, and values for the parameters of formulas."""

    control: str
    candidates: tuple[str, ...]
    parameters: Mapping[str, float] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class RatesOf:
    """The learning rates of a plan, evenly spaced in the logarithm."""

    lowest: float
    highest: float
    count: int


@final
@dataclass(frozen=True)
class ReplicatesOf:
    """How the replicates of a plan are drawn."""

    seed: int
    splits: str
    init: str
    equal: str = TRIALS


@final
@dataclass(frozen=True)
class PlanFile:
    """A plan as its file holds it.

    Attributes:
        format: the version of the file's format.
        task: the task.
        arms: the arms.
        rates: the learning rates.
        replicates: how the replicates are drawn.
        looks: when the test set is read, and the error that each look may spend.
        contents: digests of what the results depend on, apart from what the file says.
        budget: what the arms have the same of besides trials, if it was measured.
        measuring: what is measured beside the metric, and the share of wrong labels.
    """

    format: int
    task: TaskOf
    arms: ArmsOf
    rates: RatesOf
    replicates: ReplicatesOf
    looks: tuple[Look, ...]
    contents: Mapping[str, str]
    budget: Budget | None = None
    measuring: Measuring = NOTHING_MORE


def write_plan(
    study: Study, *, control: str, candidates: tuple[str, ...], parameters: Mapping[str, float], folder: Path
) -> str:
    """Return the text of a plan file.

    Args:
        study: the study.
        control: the control as it was typed.
        candidates: the candidates as they were typed.
        parameters: values for the parameters of formulas.
        folder: the folder of the file; paths in it are relative to this folder.
    """
    plan, task = study.plan, study.setting.task
    low, high = task.rates
    inherited = () if task.origin else ("Its task was built in Python: actlab.compare(task, plan=...) runs it.",)
    head = [
        f"The plan of a comparison, written by actlab {version('actlab')}.",
        *(inherited or ("Run it: actlab compare FILE. Before the first run it may be edited; afterwards, keep it.",)),
        "",
        *plan.sentences(),
    ]
    sections = [
        "\n".join(_comment(head)),
        f"format = {FORMAT}",
        _section("task", {"name": task.name, **_origin(task, folder=folder), "epochs": task.epochs}),
        _section(
            "arms",
            {"control": control, "candidates": list(candidates), **_if_any(parameters=dict(parameters))},
            about=["Names, formulas or file.py:name. All others are compared with the control."],
        ),
        _section(
            "rates",
            {"lowest": low, "highest": high, "count": len(plan.points)},
            about=["Learning rates, evenly spaced in the logarithm; the same for all arms."],
        ),
        _section(
            "replicates",
            {"seed": plan.seed, "splits": plan.splits, "init": plan.init, **_equal(plan)},
            about=[
                'The master random seed; splits = "per-seed" or "fixed"; init = "as-is" or "gain". The number of seeds'
                " is that of the last look."
            ],
        ),
        *_looks(plan.looks),
        *_budget(plan),
        *_measuring(plan.measuring),
        _section(
            "contents",
            _contents(study, task=task),
            about=["Digests of what the results depend on. The plan is refused for another task."],
        ),
    ]
    return "\n\n".join(sections) + "\n"


def write_plans(
    studies: Sequence[Study],
    *,
    names: Sequence[str],
    sentences: Sequence[str],
    control: str,
    candidates: tuple[str, ...],
    parameters: Mapping[str, float],
    folder: Path,
) -> str:
    """Return the text of a plan file with several tasks; the arms, the seeds and the looks are those of all.

    Args:
        studies: one for each task.
        names: the name of each task among them.
        sentences: what will be run and what it can decide over all tasks.
        control, candidates, parameters, folder: as for `write_plan`.

    Raises:
        BadStudy: a task was built in Python.
    """
    plan = studies[0].plan
    for study in studies:
        if not _origin(study.setting.task, folder=folder):
            raise BadStudy(
                f"a plan file with several tasks requires tasks from files or built-in ones; '{study.plan.task}' was"
                " built in Python. Save a plan for it alone."
            )
    head = [
        f"The plan of a comparison on several tasks, written by actlab {version('actlab')}.",
        "Run it: actlab compare FILE. Before the first run it may be edited; afterwards, keep it.",
        "",
        *sentences,
    ]
    sections = [
        "\n".join(_comment(head)),
        f"format = {FORMAT}",
        _section(
            "arms",
            {"control": control, "candidates": list(candidates), **_if_any(parameters=dict(parameters))},
            about=["Names, formulas or file.py:name. All others are compared with the control."],
        ),
        _section("rates", {"count": len(plan.points)}, about=["Learning rates, evenly spaced in the logarithm."]),
        _section(
            "replicates",
            {"seed": plan.seed, "init": plan.init, **_equal(plan)},
            about=["The master random seed; the number of seeds is that of the last look."],
        ),
        *_looks(plan.looks),
        *_measuring(plan.measuring),
        *(_of_one(study, name=name, folder=folder) for study, name in zip(studies, names, strict=True)),
    ]
    return "\n\n".join(sections) + "\n"


def _of_one(study: Study, *, name: str, folder: Path) -> str:
    task = study.setting.task
    low, high = task.rates
    values = {
        "name": task.name,
        **_origin(task, folder=folder),
        "epochs": task.epochs,
        "lowest": low,
        "highest": high,
        "splits": study.plan.splits,
    }
    about = [f"Task {name}; its lowest and highest learning rate; digests of what its results depend on."]
    contents = _section("tasks.contents", _contents(study, task=task))
    budget = _budget(study.plan, name="tasks.budget")
    return "\n\n".join([_section("[tasks]", values, about=about), *budget, contents])


def read_plans(path: Path) -> tuple[PlanFile, ...]:
    """Read a plan file: one plan, or one for each of its tasks.

    Raises:
        BadStudy: the file cannot be read, or a field is unknown, missing or of another type.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadStudy(f"the plan '{path}' cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadStudy(f"the plan '{path}' must be a TOML file: {error}.") from error
    if values.get("format", FORMAT) != FORMAT:
        raise BadStudy(
            f"the plan '{path}' has format {values['format']!r}; this actlab reads {FORMAT}. Write a new one with"
            " --plan --save."
        )
    return tuple(_read(each, path=path) for each in _of_tasks(values, path=path))


def read_plan(path: Path) -> PlanFile:
    """Read a plan file with a single task.

    Raises:
        BadStudy: as `read_plans`, or the file has several tasks.
    """
    plans = read_plans(path)
    if len(plans) > 1:
        raise BadStudy(f"the plan '{path}' must have a single task; got {len(plans)}.")
    return plans[0]


OF_EACH: Mapping[str, str] = {"lowest": "rates", "highest": "rates", "splits": "replicates"}
"""What each of several tasks says itself, and the section where a plan of a single task has it."""


def _of_tasks(values: Mapping[str, Any], *, path: Path) -> list[Mapping[str, Any]]:
    """Return the values of a plan for each of the tasks."""
    if "tasks" not in values:
        return [values]
    tasks = values["tasks"]
    if "task" in values or not isinstance(tasks, list) or not tasks or not all(isinstance(one, dict) for one in tasks):
        raise BadStudy(f"the plan '{path}' must have one [task], or several [[tasks]]; got another form.")
    plans: list[Mapping[str, Any]] = []
    for task in tasks:
        plan = {name: each for name, each in values.items() if name != "tasks"}
        for name, section in OF_EACH.items():
            if name in task:
                shared = plan.get(section, {})
                plan[section] = {**shared, name: task[name]} if isinstance(shared, dict) else shared
        plan["task"] = {name: each for name, each in task.items() if name not in (*OF_EACH, "contents", "budget")}
        if "budget" in task:
            plan["budget"] = task["budget"]
        plan["contents"] = task.get("contents", {})
        plans.append(plan)
    return plans


def _read(values: Mapping[str, Any], *, path: Path) -> PlanFile:
    _refuse_unknown(values, path=path)
    try:
        found: PlanFile = read_as(PlanFile, values, at="the plan")
    except BadInput as error:
        raise BadStudy(f"'{path}': {error}") from error
    _check(found, path=path)
    return found


def task_of(plan: PlanFile, path: Path) -> Learnable:
    """Build the task of a plan; paths in it are relative to its file.

    Raises:
        BadStudy: the task was built in Python.
        BadTask: it cannot be built.
    """
    where, folder = plan.task, path.parent
    if where.built_in:
        task = ORIGINS["builtin"](where.built_in)
    elif where.file:
        task = ORIGINS["file"](str(folder / where.file))
    elif where.table:
        header = "header" if where.header else ""
        task = ORIGINS["table"](str(folder / where.table), where.target, where.kind, header, *where.without)
    elif where.text or where.arrays:
        kind = "text" if where.text else "arrays"
        task = ORIGINS[kind](str(folder / (where.text or where.arrays)))
    elif where.images:
        task = ORIGINS["images"](str(folder / where.images), *([str(where.side)] if where.side else []))
    else:
        raise BadStudy(
            f"the task '{where.name}' of the plan '{path}' was built in Python. Run the plan there:"
            f" actlab.compare(task, plan='{path}')."
        )
    return settled(plan, task)


def settled(plan: PlanFile, task: Learnable) -> Learnable:
    """Return the task with the epochs and learning rates of the plan."""
    return adjusted(task, epochs=plan.task.epochs, rates=(plan.rates.lowest, plan.rates.highest))


def check_task(plan: PlanFile, study: Study, path: Path) -> None:
    """Check that the plan belongs to the task of this study.

    Raises:
        BadStudy: it belongs to another one; the message says what differs.
    """
    now = _contents(study, task=study.setting.task)
    before = plan.contents
    own = {name for name in (*now, *before) if not name.startswith(_ARM)} | (set(now) & set(before))
    changed = [name for name in {**before, **now} if name in own and before.get(name) != now.get(name)]
    if changed:
        raise BadStudy(
            f"the plan '{path}' belongs to another task, '{plan.task.name}': {', '.join(changed)} differ."
            " Plan this one anew with --plan --save FILE."
        )


_ARM = "the activation "


def _contents(study: Study, *, task: Learnable) -> dict[str, str]:
    """Return the digests of the task, without the epochs and rates that the file says itself, and of the arms."""
    arms = {f"{_ARM}{name}": arm.digest() for name, arm in study.setting.arms.items()}
    return {**adjusted(task, epochs=1, rates=(1e-3, 1e-3)).contents(), **arms}


def _origin(task: Learnable, *, folder: Path) -> dict[str, Any]:
    """Return how the task is built; nothing if it was built in Python."""
    match task.origin:
        case ("builtin", name):
            return {"built_in": name}
        case ("file", where):
            return {"file": _relative(where, folder)}
        case ("table", path, target, *rest):
            kind, header, *without = rest or ("", "header")
            named = _if_any(kind=kind, without=without) | ({} if header else {"header": False})
            return {"table": _relative(path, folder), "target": target, **named}
        case ("text" | "arrays" as kind, path):
            return {kind: _relative(path, folder)}
        case ("images", path, side):
            return {"images": _relative(path, folder), "side": int(side)}
        case _:
            return {}


def _relative(path: str, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive of Windows
        return path


def _if_any(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _looks(looks: tuple[Look, ...]) -> list[str]:
    about = "When the test set is read: after how many seeds, and the error that this look may spend (.05 in all)."
    return [
        _section("[looks]", {"seeds": look.seeds, "alpha": look.alpha}, about=[about] if number == 0 else [])
        for number, look in enumerate(looks)
    ]


def _equal(plan: Plan) -> dict[str, str]:
    return {} if plan.budget is None else {"equal": plan.budget.equal}


def _budget(plan: Plan, *, name: str = "budget") -> list[str]:
    """Return the section of the measured budget; sizes of models are computed anew."""
    budget = plan.budget
    if budget is None or budget.equal != "seconds":
        return []
    values = {"equal": budget.equal, "amounts": dict(budget.amounts), "settings": dict(budget.settings)}
    about = "The time of a step of each arm, relative to the control's, and the epochs that follow, as measured."
    return [_section(name, values, about=[about])]


def _measuring(measuring: Measuring) -> list[str]:
    values = {name: list(each) if isinstance(each, tuple) else each for name, each in measuring.to_json().items()}
    about = [f"What is measured beside the metric: {', '.join(MEASURES)}."]
    return [_section("measuring", values, about=about)] if values else []


def _section(name: str, values: Mapping[str, Any], *, about: list[str] | None = None) -> str:
    rows = [f"{_key(key)} = {_value(value)}" for key, value in values.items()]
    return "\n".join([*_comment(about or []), f"[{name}]", *rows])


def _comment(sentences: list[str]) -> list[str]:
    wrapped = [wrap(" ".join(each.split()), WIDTH, break_on_hyphens=False) or [""] for each in sentences]
    return [f"# {line}".rstrip() for lines in wrapped for line in lines]


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A string of JSON is one of TOML, but for the character that only TOML escapes, and for half a character.
        text = value.encode("utf-8", "replace").decode("utf-8")
        return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_value(each)}' for key, each in value.items())} }}"
    return repr(value)


_SECTIONS: Mapping[str, type] = {
    "task": TaskOf,
    "arms": ArmsOf,
    "rates": RatesOf,
    "replicates": ReplicatesOf,
    "budget": Budget,
    "measuring": Measuring,
}


def _refuse_unknown(values: Mapping[str, Any], *, path: Path) -> None:
    tables: dict[str, tuple[Any, Any]] = {"": (values, PlanFile)}
    tables |= {f"{name}.": (values.get(name), kind) for name, kind in _SECTIONS.items()}
    looks = values.get("looks")
    tables |= {f"looks.{number}.": (look, Look) for number, look in enumerate(looks if isinstance(looks, list) else ())}
    for start, (table, kind) in tables.items():
        known = [each.name for each in fields(kind) if (kind, each.name) != (Look, "added")]
        for key in table if isinstance(table, dict) else ():
            if key not in known:
                raise BadStudy(
                    f"the plan '{path}' has an unknown field '{start}{key}'; choose from {', '.join(known)}."
                )


def _check(plan: PlanFile, *, path: Path) -> None:
    def require(fits: bool, field: str, requirement: str, value: Any) -> None:
        if not fits:
            raise BadStudy(f"the plan '{path}': {field} must be {requirement}; got {value!r}.")

    task, arms, rates, drawn = plan.task, plan.arms, plan.rates, plan.replicates
    one = "one of built_in, file, table, text, images and arrays"
    require(len(task.sources) <= 1, "task", one, list(task.sources))
    require(task.side >= 0, "task.side", "at least 1", task.side)
    require(not task.table or bool(task.target), "task.target", "a column of the table", task.target)
    require(task.epochs >= 1, "task.epochs", "at least 1", task.epochs)
    require(bool(arms.control), "arms.control", "an activation", arms.control)
    require(bool(arms.candidates), "arms.candidates", "one activation or more", [])
    require(0 < rates.lowest < math.inf, "rates.lowest", "above 0", rates.lowest)
    require(rates.lowest <= rates.highest < math.inf, "rates.highest", "at least rates.lowest", rates.highest)
    require(rates.count >= 1, "rates.count", "at least 1", rates.count)
    require(drawn.seed >= 0, "replicates.seed", "at least 0", drawn.seed)
    # OWN is of a training of the user's; for another task, `prepare` refuses it.
    require(drawn.splits in (*SPLITS, OWN), "replicates.splits", " or ".join(SPLITS), drawn.splits)
    require(drawn.init in INITS, "replicates.init", " or ".join(INITS), drawn.init)
    require(drawn.equal in EQUAL, "replicates.equal", " or ".join(EQUAL), drawn.equal)
    if plan.budget is not None:
        require(
            plan.budget.equal == drawn.equal, "budget.equal", f"that of replicates, {drawn.equal}", plan.budget.equal
        )
    seeds, errors = [look.seeds for look in plan.looks], [look.alpha for look in plan.looks]
    increasing = bool(seeds) and seeds[0] >= 2 and sorted(set(seeds)) == seeds
    require(increasing, "looks.seeds", "increasing numbers from 2", seeds)
    require(min(errors) > 0 and sum(errors) < 0.5, "looks.alpha", "above 0, and below 0.5 in total", errors)
