"""Gradient boosting as a yardstick: what a model for tables, with default settings, reaches on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actlab.train.kinds import OF_SHARES, after_number
from actlab.train.task import Task

MAX_ROWS = 10_000
"""It is fitted to at most so many training rows, so that it takes about a second."""

MAX_CLASSES = 10
"""Every class is fitted a tree per step, so more classes take longer."""

LEAST = 1e-12
"""The probability of a class that is not in the training part."""

FAR = 4
"""Multiples of the region that does not matter, from which on a network is far behind."""


def boosted(task: Task, *, splits: Sequence[int] | None = None) -> float | None:
    """Return the test metric of scikit-learn's gradient boosting with default settings, or None.

    It is fitted to the training part alone, to 10,000 of its rows at most. It is None unless inputs are rows of numbers
    and targets one number, or one of ten classes at most, a row.

    Args:
        task: the task.
        splits: the splits of the rows, over which the metric is averaged; by default the one that the task has.

    Example:
        >>> from actlab.train.builtin import builtin_task
        >>> 85 < boosted(builtin_task("breast-cancer")) <= 100
        True
    """
    if not _is_table(task):
        return None
    return mean(_score(task.with_split(number)) for number in ([task.split] if splits is None else splits))


def boosted_sentence(task: Task, score: float, *, network: float) -> str:
    """Say how the best network compares with gradient boosting.

    Args:
        task: the task.
        score: the test metric of gradient boosting.
        network: the test metric of the best arm.

    Example:
        >>> from actlab.train.builtin import builtin_task
        >>> task = builtin_task("diabetes")
        >>> boosted_sentence(task, 50.0, network=60.0).partition(". ")[2]
        'The network is far behind it, so its activation is not the question: change the network or its training first.'
    """
    metric = task.metric
    value = f"{score:.4g}{after_number(metric.unit)}"
    said = f"Gradient boosting (scikit-learn, default settings) has {value} on the same test rows"
    lead = metric.gain(score, over=network)
    if lead > FAR * task.region(network):
        return (
            f"{said}, the best network {network:.4g}. The network is far behind it, so its activation is not the"
            " question: change the network or its training first."
        )
    return f"{said}; the best network has {network:.4g}."


def _is_table(task: Task) -> bool:
    inputs, targets = task.train.inputs, task.train.targets
    if not (isinstance(inputs, Tensor) and isinstance(targets, Tensor) and task.is_plain):
        return False
    is_row = inputs.dim() == 2 and inputs.is_floating_point() and targets.numel() == len(targets)
    return is_row and (task.kind.name == "regression" or 2 <= _classes(task) <= MAX_CLASSES)


def _classes(task: Task) -> int:
    """Return the number of classes, also of 0 and 1 as floating-point numbers."""
    return 2 if task.kind.name == "binary" else task.classes


def _score(task: Task) -> float:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    is_regression = task.kind.name == "regression"
    model = (HistGradientBoostingRegressor if is_regression else HistGradientBoostingClassifier)(random_state=0)
    rows = np.sort(np.random.default_rng(0).permutation(len(task.train))[:MAX_ROWS])
    inputs = task.test.inputs.numpy()
    with threadpool_limits(1, "openmp"):  # several threads that wait for one another on a busy machine take minutes
        model.fit(task.train.inputs.numpy()[rows], task.train.targets.numpy().reshape(-1)[rows])
        found = model.predict(inputs) if is_regression else model.predict_proba(inputs)
    if is_regression:
        outputs = torch.from_numpy(found)
        return task.score(outputs.reshape(task.test.targets.shape), task.test)
    return task.score(_outputs(task, model.classes_, found), task.test)


def _outputs(task: Task, classes: Any, shares: np.ndarray) -> Tensor:
    """Return probabilities in the form of the network's outputs, by which the task's metric judges."""
    every = np.full((len(shares), _classes(task)), LEAST)
    every[:, classes.astype(int)] = shares.clip(LEAST, None)
    logits = torch.from_numpy(every).log()
    if task.kind.name == "classification":
        return logits
    logit = logits[:, 1] - logits[:, 0]
    return logit.sigmoid() if task.kind.reads is OF_SHARES.reads else logit
