"""A comparison that a page asks for, checked, and its command line."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from actlab.catalog.own_file import names_own_file
from actlab.errors import BadFormula, BadInput, BadStudy, BadTask, shortened
from actlab.study.again import check_control, is_again, original
from actlab.study.arm import named_arm
from actlab.study.arm_text import OWN, variant
from actlab.study.plan import SPLITS, Plan
from actlab.study.secrets import without_secrets
from actlab.train.builtin import DEFAULT, TASKS
from actlab.web.workbench import Workbench

NAMED = ""
"""Stands for the task that was named on the command line of `actlab serve`."""

MOST_ARMS = 30
# The least and the largest value of each number in the form.
NUMBERS: Mapping[str, tuple[int, int]] = {
    "seeds": (2, 500),
    "budget": (1, 100),
    "epochs": (1, 100_000),
    "jobs": (1, 64),
}


# How the process of a page says how far it is.
_FOR_PAGES = ("--quiet", "--progress-json")


@final
@dataclass(frozen=True)
class Order:
    """A comparison that a page asks for.

    Attributes:
        task: the name of a built-in task, or `NAMED`.
        more: the names of further built-in tasks; all are then compared with one conclusion.
        activations: the candidates: names or formulas, with or without factors; by default eight common ones.
        against: the control; by default the model's own activation.
        seeds: the number of seeds; by default the fewest that can reach significance.
        budget: the number of learning rates to try.
        epochs: passes over the training rows.
        jobs: processes that train at once.
        fixed: further options, which a stored plan fixes.
    """

    task: str
    more: tuple[str, ...] = ()
    activations: tuple[str, ...] = ()
    against: str = ""
    seeds: int | None = None
    budget: int | None = None
    epochs: int | None = None
    jobs: int | None = None
    fixed: tuple[str, ...] = ()

    def arguments(self, bench: Workbench, *, plan: bool = False, resume: bool = False) -> list[str]:
        """Return what follows `actlab`: `--plan` only says what the comparison will take and can decide."""
        words = ["compare", *_task_words(self.task, bench, is_alone=not self.more), *self.more]
        if self.activations:
            words.append(f"--activations={','.join(self.activations)}")
        if self.against:
            words.append(f"--against={self.against}")
        words += [f"--{name}={value}" for name in NUMBERS if (value := getattr(self, name)) is not None]
        words += [*self.fixed, f"--store={bench.store}", *(["--resume"] if resume else [])]
        return [*words, *(["--plan", "--json"] if plan else ["--no-report"]), *_FOR_PAGES]

    def names(self, bench: Workbench) -> tuple[str, ...]:
        """Return the names of the tasks."""
        return (self.task or str(bench.data), *self.more)

    def command(self, bench: Workbench, *, resume: bool = False) -> str:
        """Return the command line to type into a terminal, without passwords."""
        words = [word for word in self.arguments(bench, resume=resume) if word not in _FOR_PAGES]
        return shlex.join(["actlab", *map(without_secrets, words)])


def program(arguments: list[str]) -> list[str]:
    """Return the command line of a process of this very program; files of the current folder are not imported."""
    return [sys.executable, "-P", "-m", "actlab", *arguments]


def order_of(values: Any, bench: Workbench) -> Order:
    """Return the comparison that a form describes.

    Args:
        values: the form as JSON.
        bench: what was named on the command line.

    Raises:
        BadInput, BadTask, BadFormula, UnknownActivation, BadStudy: the message says what to change.
    """
    if not isinstance(values, Mapping):
        raise BadInput(f"a comparison must be an object; got {shortened(str(values))}.")
    task, arms = values.get("task", NAMED), values.get("activations", [])
    if task == NAMED:
        task = NAMED if bench.data is not None else bench.task or DEFAULT
    elif task not in TASKS:
        raise BadTask(
            f"a page starts a built-in task, or what was named on the command line; got '{shortened(str(task))}'."
        )
    more = values.get("more", [])
    if not isinstance(more, list) or not all(isinstance(each, str) and each in TASKS for each in more):
        raise BadTask(f"further tasks must be built-in ones; got {shortened(str(more))}.")
    if not isinstance(arms, list) or not all(isinstance(arm, str) for arm in arms):
        raise BadInput(f"activations must be a list of texts; got {shortened(str(arms))}.")
    arms = [arm.strip() for arm in arms if arm.strip()]
    if len(arms) > MOST_ARMS:
        raise BadInput(f"a comparison from a page has at most {MOST_ARMS} activations; got {len(arms)}.")
    against = str(values.get("against") or "").strip()
    check_control(against or None)
    for arm in (*arms, *([against] if against else [])):
        check_arm(arm)
    seeds, budget, epochs, jobs = (_number(name, values.get(name)) for name in ("seeds", "budget", "epochs", "jobs"))
    others = tuple(each for each in dict.fromkeys(more) if each != task)
    return Order(task, others, tuple(arms), against, seeds=seeds, budget=budget, epochs=epochs, jobs=jobs)


def check_arm(text: str) -> None:
    """Raise an error unless a text names an activation that can be compared; it may not name a file.

    Raises:
        BadFormula, UnknownActivation, BadStudy: the message says what to change.
    """
    arm = variant(original(text) if is_again(text) else text)
    for one in (text, arm.activation, *arm.groups.values()):
        if names_own_file(one):
            raise BadFormula(f"a page runs no file; got '{shortened(str(one))}'. Type the formula itself.")
    for one in (arm.activation, *arm.groups.values()):
        if one != OWN:
            named_arm(one)


def order_of_plans(plans: Sequence[Plan], bench: Workbench) -> Order:
    """Return the comparison that stored plans describe, one for each task, as far as a page can start it.

    Raises:
        BadStudy: a task is not built in, and is not what was named on the command line.
        BadFormula, UnknownActivation: an arm is an activation from a file.
    """
    plan, *others = plans
    unknown = [each.task for each in plans if each.task not in TASKS]
    if len(unknown) > (bench.data is not None) or (unknown and plan.task in TASKS):
        raise BadStudy(
            f"task '{shortened(unknown[-1])}' is not built in: name its file after `actlab serve`, or continue the"
            " comparison in a terminal, by its command with --resume."
        )
    for arm in plan.arms:
        check_arm(arm)
    fixed = [f"--seed={plan.seed}", f"--init={plan.init}"]
    fixed += [f"--splits={plan.splits}"] if plan.splits in SPLITS and not others else []
    fixed += [f"--equal={plan.budget.equal}"] if plan.budget is not None else []
    control, *candidates = plan.arms
    return Order(
        task=plan.task if plan.task in TASKS else NAMED,
        more=tuple(each.task for each in others),
        activations=tuple(candidates),
        against=control,
        seeds=len(plan.seeds),
        budget=len(plan.points),
        fixed=tuple(fixed),
    )


def with_seeds(order: Order, seeds: Any) -> Order:
    """Return the same comparison with so many seeds in all; None leaves their number."""
    return order if seeds is None else replace(order, seeds=_number("seeds", seeds))


def _task_words(task: str, bench: Workbench, *, is_alone: bool) -> list[str]:
    if task != NAMED:
        return [task]
    if bench.target is None:
        return [str(bench.data)]
    return [str(bench.data), f"--target={bench.target}"] if is_alone else [f"{bench.data}:{bench.target}"]


def _number(name: str, value: Any) -> int | None:
    if value is None or value == "":
        return None
    least, most = NUMBERS[name]
    try:
        number = int(str(value))
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise BadInput(f"{name} must be an integer from {least} to {most}; got '{shortened(str(value))}'.")
    return number
