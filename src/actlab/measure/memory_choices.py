"""A model as it is, and copies of it whose activations keep fewer bits for backward."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from actlab.catalog.index import get
from actlab.errors import BadInput, BadTask
from actlab.formula.activation import Activation
from actlab.kernels.steps import MOST_BITS
from actlab.nn.few_bit import few_bit
from actlab.nn.modules import ActivationModule, Elementwise, module
from actlab.train.replace import name_of, torch_module
from actlab.train.task import Task

AS_IS = "as it is"
EXACT = "exact bits"


@dataclass(frozen=True)
class Place:
    """A module of the model that is an activation.

    Attributes:
        path: where it stands.
        activation: its name, with what it sets otherwise than the catalog does.
        exact_bits: the bits an element that hold its gradient exactly; None where that takes more than four.
        stays: why few bits cannot take its place; empty where they can.
    """

    path: str
    activation: str
    exact_bits: int | None
    stays: str = ""


@dataclass(frozen=True)
class Choice:
    """One way for the activations of a model to keep what backward needs.

    Attributes:
        name: how the answer calls it.
        replaced: how many modules differ from the model as it is.
        build: gives a fresh model; the weights of all choices are the same.
    """

    name: str
    replaced: int
    build: Callable[[], nn.Module]


def model_of(task: Task) -> nn.Module:
    """A fresh model of the task with the activations that a user would run, drawn from a fixed seed.

    Raises:
        BadTask: the factory raised.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if not task.takes_activation:
            return task.build()
        act = get(task.activation)
        return task.build(torch_module(act) or partial(module, act))


def places_of(model: nn.Module, *, name: str) -> tuple[Place, ...]:
    """The activation modules of a model.

    Raises:
        BadTask: there are none.
    """
    found = [(path, name_of(each), each) for path, each in model.named_modules()]
    places = tuple(_place(path, called, each) for path, called, each in found if called is not None)
    if not places:
        raise BadTask(
            f"task '{name}': the model has no activation module; activations that are called as functions, such as"
            " F.relu, cannot be told apart or replaced. Write them as modules, such as nn.ReLU()."
        )
    return places


def choices(task: Task, places: tuple[Place, ...], *, gaining: frozenset[str]) -> tuple[Choice, ...]:
    """The model as it is, with packed bits where those are exact, and with 1 to 4 bits.

    Args:
        task: whose model it is.
        places: its activations.
        gaining: the paths of those where fewer bits free memory; the others stay as they are. Where there are none,
            all that can are replaced, to show that this gains nothing.
    """
    model = model_of(task)
    can = [place for place in places if not place.stays]
    few = [place for place in can if place.path in gaining] or can
    exact = [place for place in few if place.exact_bits is not None]
    rows = [Choice(AS_IS, 0, partial(copy.deepcopy, model))]
    if exact:
        rows.append(Choice(EXACT, len(exact), partial(_leaner, model, exact, MOST_BITS)))
    if len(exact) < len(few):
        rows += [
            Choice(f"few-bit, {bits} bit{'s' if bits > 1 else ''}", len(few), partial(_leaner, model, few, bits))
            for bits in range(1, MOST_BITS + 1)
        ]
    return tuple(rows)


def _leaner(model: nn.Module, places: list[Place], bits: int) -> nn.Module:
    """A copy of the model with few-bit modules at these places."""
    lean = copy.deepcopy(model)
    for place in places:
        parent, _, child = place.path.rpartition(".")
        new = module(get(place.activation), trainable=(), memory="few-bit", bits=bits)
        if not place.path:
            return new
        setattr(lean.get_submodule(parent), child, new)
    return lean


def _place(path: str, name: str, each: nn.Module) -> Place:
    # a module of ours may hold a formula or values of its own
    act = each.activation if isinstance(each, Elementwise) else get(name)
    assert isinstance(act, Activation)
    if _learns(each):
        return Place(path, act.label, None, "it learns a parameter, whose gradient needs the input itself")
    try:
        few = few_bit(act, bits=MOST_BITS)
    except BadInput as refused:
        return Place(path, act.label, None, str(refused).partition(": ")[0])
    return Place(path, act.label, few.bits if few.is_exact else None)


def _learns(each: nn.Module) -> bool:
    return isinstance(each, ActivationModule | nn.PReLU) and any(True for _ in each.parameters())
