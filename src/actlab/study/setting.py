"""What all trials of a study have in common."""

from __future__ import annotations

from dataclasses import dataclass

from actlab.study.arm import Arm
from actlab.study.places import Places
from actlab.study.plan import PER_SEED, Plan
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

    def task_of(self, seed: int) -> Learnable:
        """Return the task of a seed: with its split of the rows and its noise."""
        if isinstance(self.task, OwnTraining):
            return self.task
        task = self.task.with_split(seed) if self.has_splits else self.task
        return self.plan.measuring.applied(task, seed=seed)

    @property
    def has_splits(self) -> bool:
        """Whether every seed has its own split of the rows."""
        return self.plan.splits == PER_SEED
