"""Give all arms the same seconds of training, parameters, or floating-point operations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import inf
from typing import final

from actlab.errors import BadStudy
from actlab.study.again import original
from actlab.study.arm import Arm, model_of, placed
from actlab.study.cost import measured_cost
from actlab.study.places import Places
from actlab.study.plan import EQUAL, TRIALS, Budget, Plan
from actlab.study.setting import Setting
from actlab.train.factory_options import offered
from actlab.train.own_training import OwnTraining
from actlab.train.task import Learnable, Task

WIDTH = "width"

WIDEST = 64
"""A model is made at most so many times as wide as it is by default."""


def check_equal(equal: str, task: Learnable) -> None:
    """Check that the arms of a task can be made equal.

    Raises:
        BadStudy: they cannot.
    """
    if equal not in EQUAL:
        raise BadStudy(f"equal must be one of {', '.join(EQUAL)}; got '{equal}'.")
    if equal == TRIALS:
        return
    if isinstance(task, OwnTraining):
        raise BadStudy(f"equal must be trials: task '{task.name}' builds and trains its models itself; got {equal}.")
    if equal != "seconds" and not isinstance(offered(task.model).get(WIDTH), int):
        raise BadStudy(
            f"equal must be trials or seconds: the model of task '{task.name}' does not offer a width; got {equal}."
            " Give its factory one with a default, such as def model(activation, width=64)."
        )


def equally_large(
    arms: Sequence[Arm], *, task: Task, where: Places | None, equal: str
) -> tuple[tuple[Arm, ...], Budget]:
    """Return the arms with the widths at which their models are nearest to the control's in size, and the sizes.

    Args:
        arms: the arms, the control first; only the control, and what repeats it, may name a width.
        task: the task, whose factory offers a width.
        where: the activations of its model, unless the factory takes the activation.
        equal: "parameters", or "flops".

    Raises:
        BadStudy: an arm names a width, or a model cannot be built.
    """
    size = _parameters if equal == "parameters" else _operations
    usual = offered(task.model)[WIDTH]
    assert isinstance(usual, int)
    control, *others = arms
    named = next((arm.name for arm in others if WIDTH in arm.factors.options and not _repeats(arm, control)), None)
    if named is not None:
        raise BadStudy(f"the arm {named} must have no width where {equal} are equal: it follows. Leave out @width=.")

    own_width = int(control.factors.options.get(WIDTH, usual))
    goal = size(control, task, where)
    found, widths, sizes = [control], {control.name: own_width}, {control.name: float(goal)}
    for arm in others:
        sizer = _Sizer(arm, task, where, usual, size)
        sized = cache(sizer)
        widths[arm.name] = _nearest(sized, goal=goal, start=own_width)
        sizes[arm.name] = float(sized(widths[arm.name]))
        found.append(sizer.at(widths[arm.name]))
    return tuple(found), Budget(equal, sizes, widths)


def _repeats(arm: Arm, other: Arm) -> bool:
    """Return whether the arm repeats the other one."""
    return original(arm.name) == other.name


@final
@dataclass(frozen=True)
class _Sizer:
    """The size of the models of an arm, as a function of their width.

    Attributes:
        arm: the arm.
        task, where: as in `equally_large`.
        usual: the width by default.
        size: measures the model of an arm.
    """

    arm: Arm
    task: Task
    where: Places | None
    usual: int
    size: Callable[[Arm, Task, Places | None], int]

    def at(self, width: int) -> Arm:
        """Return the arm with another width."""
        factors = self.arm.factors
        options = {**factors.options, **({} if width == self.usual else {WIDTH: width})}
        return placed(replace(self.arm, factors=replace(factors, options=options, changes=None)), self.task)

    def __call__(self, width: int) -> int:
        """Return the size at a width."""
        return self.size(self.at(width), self.task, self.where)


def _nearest(size: Callable[[int], int], *, goal: int, start: int) -> int:
    """Return the width whose size, which grows with it, is nearest to the goal; of two, `start` or the lower one.

    Example:
        >>> _nearest(lambda width: width * width, goal=110, start=16)
        10
    """
    if size(start) == goal:
        return start
    low, high = 0, start
    while size(high) < goal and high < WIDEST * start:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < goal else (low, middle)
    return high if low == 0 or size(high) - goal < goal - size(low) else low


def _parameters(arm: Arm, task: Task, where: Places | None) -> int:
    return sum(each.numel() for each in model_of(task, arm, where=where, seed=0).parameters())


def _operations(arm: Arm, task: Task, where: Places | None) -> int:
    from actlab.study.detailed_cost import product_flops  # 0.3 s that only who asks for it pays

    return product_flops(model_of(task, arm, where=where, seed=0), task)


def equally_long(setting: Setting) -> Budget:
    """Return the epochs with which all arms train for as long as the control, from the times of their steps."""
    plan = setting.plan
    rate = plan.points[len(plan.points) // 2]
    cost = measured_cost(setting, dict.fromkeys(plan.arms, rate), since=time.perf_counter())
    # An arm that repeats another one differs from it by noise alone, which the time of its step would not be.
    ratios = {arm: float(f"{cost.relative_step[original(arm)]:.4g}") for arm in plan.arms}
    return Budget("seconds", ratios, epochs_of(ratios, epochs=setting.task.epochs))


def fits_plan(budget: Budget, plan: Plan, *, epochs: int) -> bool:
    """Return whether a budget of seconds is one of these arms, with these epochs of the control."""
    return (
        budget.equal == "seconds" and set(budget.settings) == set(plan.arms) and budget.settings[plan.control] == epochs
    )


def epochs_of(ratios: Mapping[str, float], *, epochs: int) -> dict[str, int]:
    """Return the epochs of each arm that take as long as those of the control.

    Example:
        >>> epochs_of({"relu": 1.0, "mish": 1.6, "slow": 500.0}, epochs=20)
        {'relu': 20, 'mish': 12, 'slow': 1}
    """
    return {arm: max(1, round(epochs / ratio)) if 0 < ratio < inf else epochs for arm, ratio in ratios.items()}
