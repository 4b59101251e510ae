"""The built-in tasks: real data that ships with scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial

from torch import nn

from actlab.errors import BadTask, shortened
from actlab.train.examples import examples
from actlab.train.mlp import mlp
from actlab.train.split import Division, Standardized, divided
from actlab.train.task import Task

DEFAULT = "digits"


@dataclass(frozen=True)
class Builtin:
    """One row of the table of built-in tasks."""

    name: str
    sentence: str
    make: Callable[[], Task]


def builtin_task(name: str = DEFAULT) -> Task:
    """Return the built-in task of this name.

    Raises:
        BadTask: no built-in task has this name.

    Example:
        >>> builtin_task("diabetes").kind.name
        'regression'
    """
    if name not in TASKS:
        near = get_close_matches(name, TASKS, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise BadTask(
            f"no built-in task is named '{shortened(name)}'.{hint} The built-in tasks are {', '.join(TASKS)}."
        )
    row = TASKS[name]
    return replace(row.make(), sentence=row.sentence, origin=("builtin", name))


def _digits(
    name: str,
    *,
    activation: type[nn.Module],
    sizes: tuple[int, ...],
    epochs: int,
    rates: tuple[float, float],
    optimizer: str = "adam",
) -> Task:
    from sklearn.datasets import load_digits

    inputs, targets = load_digits(return_X_y=True)
    model = partial(mlp, activation, sizes=sizes)
    # Brightness from 0 to 1: all pixels have one scale, and some are always dark.
    rows = (inputs / 16, targets)
    return Task(name, model, train=rows, epochs=epochs, batch_size=96, optimizer=optimizer, rates=rates)


def _breast_cancer() -> Task:
    from sklearn.datasets import load_breast_cancer

    rows = examples(load_breast_cancer(return_X_y=True), part="train")
    model = partial(mlp, nn.ReLU, sizes=(30, 32, 32, 2))
    data = divided(Standardized(Division(rows)), 0)
    return Task("breast-cancer", model, **data, epochs=20, batch_size=32, rates=(3e-4, 1e-2))


def _diabetes() -> Task:
    from sklearn.datasets import load_diabetes

    rows = examples(load_diabetes(return_X_y=True), part="train")
    model = partial(mlp, nn.ReLU, sizes=(10, 32, 32, 1))
    data = divided(Standardized(Division(rows), targets=True), 0)
    return Task("diabetes", model, **data, epochs=20, batch_size=32, rates=(1e-4, 1e-2))


TASKS = {
    row.name: row
    for row in (
        Builtin(
            "digits",
            "Handwritten digits (1,797 images of 8 x 8 pixels) on a sigmoid network of five hidden layers.",
            partial(
                _digits,
                "digits",
                activation=nn.Sigmoid,
                sizes=(64, *[32] * 5, 10),
                epochs=24,
                rates=(0.03, 0.25),
                optimizer="momentum",
            ),
        ),
        Builtin(
            "digits-relu",
            "Handwritten digits (1,797 images of 8 x 8 pixels) on a small ReLU network.",
            partial(_digits, "digits-relu", activation=nn.ReLU, sizes=(64, 64, 64, 10), epochs=20, rates=(5e-4, 1e-2)),
        ),
        Builtin(
            "breast-cancer",
            "Benign or malignant (569 tumours, 30 measurements) on a small ReLU network.",
            _breast_cancer,
        ),
        Builtin(
            "diabetes",
            "Progress of diabetes after a year (442 patients, 10 measurements) on a small ReLU network.",
            _diabetes,
        ),
    )
}
