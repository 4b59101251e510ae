"""What all trials of a study have in common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from actlab.study.arm import Arm
from actlab.study.places import Places
from actlab.study.plan import PER_SEED, Plan
from actlab.train.adjusted import adjusted
from actlab.train.own_training import OwnTraining
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
        """Return the task of a seed: with its split of the rows, its noise, and the epochs of an arm."""
        epochs = None if arm is None else self.plan.epochs_of(arm)
        task = self.task if epochs is None else self._with_epochs(epochs)
        if isinstance(task, OwnTraining):
            return task
        task = task.with_split(seed) if self.has_splits else task
        return self.plan.measuring.applied(task, seed=seed)

    def _with_epochs(self, epochs: int) -> Learnable:
        if epochs not in self._tasks:  # a task is checked anew when it is changed
            self._tasks[epochs] = adjusted(self.task, epochs=epochs)
        return self._tasks[epochs]

    @cached_property
    def _tasks(self) -> dict[int, Learnable]:
        """The task by other numbers of epochs, as far as they were asked for."""
        return {}

    @property
    def has_splits(self) -> bool:
        """Whether every seed has its own split of the rows."""
        return self.plan.splits == PER_SEED
