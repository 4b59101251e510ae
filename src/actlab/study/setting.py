"""What all trials of a study have in common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from actlab.study.arm import Arm
from actlab.study.places import Places
from actlab.study.plan import PER_SEED, Plan
from actlab.train.adjusted import adjusted
from actlab.train.task import Learnable


@dataclass(frozen=True)
class Setting:
    """What all trials of a study have in common.

    Attributes:
        task: the task to learn.
        arms: the arms, by name.
        where: the activations of the model; None if its factory takes the activation.
        plan: the plan, which says the learning rate of a point, and whether every seed has its own split of the rows.
    """

    task: Learnable
    arms: dict[str, Arm]
    where: Places | None
    plan: Plan

    def task_of(self, seed: int, *, arm: str | None = None) -> Learnable:
        """Return the task with the split of the rows that a seed has, and the number of epochs that an arm has."""
        task = self.task if arm is None else self._task_of_arm(arm)
        return task.with_split(seed) if self.has_splits else task

    def _task_of_arm(self, arm: str) -> Learnable:
        epochs = self.plan.epochs_of(arm)
        return self.task if epochs is None else _with_epochs(self.task, epochs)

    @property
    def has_splits(self) -> bool:
        """Whether every seed has its own split of the rows."""
        return self.plan.splits == PER_SEED


@lru_cache(maxsize=64)
def _with_epochs(task: Learnable, epochs: int) -> Learnable:
    """Return the task with another number of epochs; it is checked anew only once."""
    return adjusted(task, epochs=epochs)
