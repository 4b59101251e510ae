"""What is diagnosed: a model, one batch, the loss; from the user's own file or module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, final

from torch import nn
from torch.optim import Optimizer

from actlab.errors import BadTask
from actlab.foreign import imported, imported_module, their_code
from actlab.train.examples import article
from actlab.train.task import Task
from actlab.train.taskfile import parts

EXPECTED = "an actlab.Task, or a model, a batch (inputs, targets) and a loss, as a tuple or as a dict with these keys"


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """A model with what it takes to run it once.

    Attributes:
        name: what the user called it.
        model: as it is; whoever trains it trains a copy.
        inputs: one batch, as the model takes it: a tensor, or several as a tuple or by name.
        targets: what the loss compares the output with; None where it takes the output alone.
        loss: a function of outputs and targets; None where the user gave none.
        optimiser: the user's own, for what it does with the parameters; None where he gave none.
    """

    name: str
    model: nn.Module
    inputs: Any
    targets: Any
    loss: Callable[..., Any] | None
    optimiser: Optimizer | None = None


def names_program(where: str) -> bool:
    """Whether a text names something in a file or a module, and not a table.

    Example:
        >>> [names_program(text) for text in ("net.py", "net.py:make", "pkg.net:make", "data.csv", "C:/data.csv")]
        [True, True, True, False, False]
    """
    path, separator, name = where.rpartition(":")
    if where.endswith(".py") or path.endswith(".py"):
        return True
    return bool(separator) and name.isidentifier() and all(part.isidentifier() for part in path.split("."))


def named_subject(where: str) -> Task | Subject:
    """What stands under a name in the user's file or module, called if it is a function.

    Args:
        where: `file.py:name`, `file.py` (for `make_task`), or `package.module:name`.

    Raises:
        BadTask: there is no such file, module or name, it raises, or it gives something else.
    """
    path, name = parts(where)
    module = imported(path) if path.suffix == ".py" else imported_module(str(path))
    if not hasattr(module, name):
        near = get_close_matches(name, [known for known in vars(module) if not known.startswith("_")], n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise BadTask(f"'{path}' has no '{name}'.{hint} It must give {EXPECTED}.")
    found = getattr(module, name)
    label = f"{path.name}:{name}"
    if callable(found) and not isinstance(found, nn.Module):
        with their_code(f"'{label}'"):
            found = found()
    return found if isinstance(found, Task) else subject(found, name=label)


def subject(given: object, *, name: str) -> Subject:
    """A tuple or a dict of model, batch and loss, as a `Subject`.

    Raises:
        BadTask: it is something else.
    """
    match given:
        case Subject():
            return given
        case Mapping():
            unknown = set(given) - {"model", "batch", "loss", "optimiser"}
            if unknown or not {"model", "batch"} <= set(given):
                raise BadTask(f"'{name}' gave a dict with the keys {', '.join(map(str, given))}; expected {EXPECTED}.")
            return _made(name, given["model"], given["batch"], given.get("loss"), given.get("optimiser"))
        case (model, batch) | (model, batch, _):
            return _made(name, model, batch, given[2] if len(given) == 3 else None, None)
        case _:
            raise BadTask(f"'{name}' gave {article(given)}; expected {EXPECTED}.")


def _made(name: str, model: object, batch: object, loss: object, optimiser: object) -> Subject:
    def refuse(what: str, found: object, wanted: str) -> BadTask:
        return BadTask(f"'{name}': the {what} is {article(found)}; it must be {wanted}.")

    if not isinstance(model, nn.Module):
        raise refuse("model", model, "a torch.nn.Module")
    if not (isinstance(batch, tuple | list) and len(batch) == 2):
        raise refuse("batch", batch, "a pair of inputs and targets")
    if loss is not None and not callable(loss):
        raise refuse("loss", loss, "a function of outputs and targets")
    if optimiser is not None and not isinstance(optimiser, Optimizer):
        raise refuse("optimiser", optimiser, "a torch.optim.Optimizer")
    return Subject(name, model, batch[0], batch[1], loss, optimiser)
