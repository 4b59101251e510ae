"""Judge a model on a part of a task's data."""

from __future__ import annotations

import math

from torch import nn

from actlab.train.evaluate import outputs_on
from actlab.train.examples import Examples
from actlab.train.task import Task
from actlab.train.tree import is_finite


def judged(model: nn.Module, task: Task, part: Examples, *, beside: bool = True) -> tuple[dict[str, float], bool]:
    """Return the scores on a part, that of the task's metric first, and whether all outputs and scores are finite.

    If they are not, the only score is the baseline. The model is left in evaluation mode.

    Args:
        model: the model.
        task: the task, which judges.
        part: the rows.
        beside: whether to compute the metrics beside that of the task too.

    Example:
        >>> from actlab.train.builtin import builtin_task
        >>> task = builtin_task("diabetes")
        >>> scores, is_finite = judged(task.build(), task, task.test)
        >>> list(scores), is_finite
        (['root mean square error'], True)
    """
    outputs = outputs_on(model, part, task=task.name)
    scores = {}
    if is_finite(outputs):
        scores = task.scores(outputs, part) if beside else {task.metric.name: task.score(outputs, part)}
    if scores and all(map(math.isfinite, scores.values())):
        return scores, True
    return {task.metric.name: task.baseline(part)}, False


def judged_on_test(model: nn.Module, task: Task) -> tuple[dict[str, float], bool]:
    """Return the scores on the test part as `judged`, and the task's metric with each size of noise in its inputs."""
    scores, is_finite = judged(model, task, task.test)
    if is_finite and task.noise is not None:
        for name, part in task.noise.parts(task.test, task.train):
            scores[name] = judged(model, task, part, beside=False)[0][task.metric.name]
    return scores, is_finite
