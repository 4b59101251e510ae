"""A model as it is, and copies of it whose activations save fewer bits for backward."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from actlab.catalog.index import get
from actlab.errors import BadInput, BadTask
from actlab.formula.activation import Activation
from actlab.kernels.fewbit.quantizer import MOST_BITS
from actlab.nn.few_bit import few_bit
from actlab.nn.modules import FewBit, module
from actlab.sites.find import Sites, sites
from actlab.sites.site import Site
from actlab.sites.swap.swap import swap
from actlab.sites.trace.calls import tensors_in
from actlab.train.replace import torch_module
from actlab.train.subject import Subject
from actlab.train.task import Task
from actlab.train.tree import called_with
from actlab.user_code import their_code

AS_IS = "as it is"
EXACT = "exact bits"


@dataclass(frozen=True)
class Measured:
    """A model with the batch of one training step.

    Attributes:
        name: what the user called it.
        model: as it is; only copies of it run.
        args, kwargs: its arguments.
        loss: of its output; a tensor or several.
        there_anyway: the tensors of the batch, which are not counted.
        rows: the number of examples in the batch.
    """

    name: str
    model: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    loss: Callable[[Any], Any]
    there_anyway: tuple[Tensor, ...]
    rows: int

    def output(self, model: nn.Module) -> Any:
        """Compute the loss of the model's output."""
        return self.loss(model(*self.args, **self.kwargs))


@dataclass(frozen=True)
class Place:
    """A place where the model applies an activation.

    Attributes:
        name: the path of its module, with a number if that applies several.
        activation: its name, with the parameters that differ from the catalog's.
        spelling: its form in the code.
        exact_bits: the bits an element that hold its gradient exactly; None if that takes more than four.
        site: the site itself.
        stays: why few bits cannot replace it; empty if they can.
    """

    name: str
    activation: str
    spelling: str
    exact_bits: int | None
    site: Site
    stays: str = ""


@dataclass(frozen=True)
class Choice:
    """One way for the activations of a model to save what backward needs.

    Attributes:
        name: its name in the report.
        replaced: the number of places at which it differs from the model as it is.
        build: makes a fresh model; all choices have the same weights.
    """

    name: str
    replaced: int
    build: Callable[[], nn.Module]


def measured(subject: Task | Subject) -> Measured:
    """Build the task's model from a fixed seed with a batch of its training data; or take the user's own.

    Raises:
        BadTask: the task's factory raised.
    """
    if isinstance(subject, Subject):
        return _measured(subject.name, subject.model, subject.inputs, subject.targets, subject.loss)
    batch = subject.train.first(subject.batch_size)
    return _measured(subject.name, _model_of(subject), batch.inputs, batch.targets, subject.loss)


def _measured(name: str, model: nn.Module, inputs: Any, targets: Any, loss: Callable[..., Any] | None) -> Measured:
    given = tensors_in([inputs, targets])
    rows = next((len(each) for each in given if each.dim()), 1)

    def of(output: Any) -> Any:
        if loss is None:
            return output
        return loss(output) if targets is None else loss(output, targets)

    args, kwargs = called_with(inputs)
    return Measured(name, model, args, kwargs, of, tuple(given), rows)


def _model_of(task: Task) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if not task.takes_activation:
            return task.build()
        act = get(task.activation)
        return task.build(torch_module(act) or partial(module, act))


def fresh(of: Measured) -> nn.Module:
    """Copy the model, in training mode.

    Raises:
        BadTask: it cannot be copied.
    """
    with their_code(f"task '{of.name}': copying the model"):
        return copy.deepcopy(of.model).train()


def places_of(of: Measured) -> tuple[Place, ...]:
    """Find where the model applies activations: modules, functions and formulas.

    Raises:
        BadTask: no place was found, or the model raised an error.
    """
    model = fresh(of)
    with torch.random.fork_rng(devices=[]), their_code(f"task '{of.name}': the model"):
        found = sites(model, *of.args, **of.kwargs)
    if not found:
        unseen = [f"{each.what} at {each.path or 'the top'}" for each in found.unseen]
        said = f" Not analyzed: {', '.join(unseen)}." if unseen else ""
        raise BadTask(f"'{of.name}': no known activation was found in the model.{said}")
    places = [_place(site, found) for site in found]
    why = _refused(model, places)
    return tuple(replace(place, stays=place.stays or why.get(place.site.name, "")) for place in places)


def choices(of: Measured, places: tuple[Place, ...], *, gaining: frozenset[str]) -> tuple[Choice, ...]:
    """List the choices: the model as it is, with exact bits if there are any, and with 1 to 4 bits.

    Args:
        of: the model with its batch.
        places: its activations.
        gaining: the names of those where fewer bits free memory; the others stay as they are. If there are none, all
            that can be replaced are, to show that this gains nothing.
    """
    can = [place for place in places if not place.stays]
    few = [place for place in can if place.name in gaining] or can
    exact = [place for place in few if place.exact_bits is not None]
    rows = [Choice(AS_IS, 0, partial(fresh, of))]
    if exact:
        rows.append(Choice(EXACT, len(exact), partial(_leaner, of, exact, MOST_BITS)))
    if len(exact) < len(few):
        rows += [
            Choice(f"few-bit, {bits} bit{'s' if bits > 1 else ''}", len(few), partial(_leaner, of, few, bits))
            for bits in range(1, MOST_BITS + 1)
        ]
    return tuple(rows)


def _leaner(of: Measured, places: list[Place], bits: int) -> nn.Module:
    """Copy the model with few-bit memory at these places."""
    model = fresh(of)
    swap(model, {place.site: _lean(place.site, bits) for place in places})
    return model


def _lean(site: Site, bits: int) -> nn.Module:
    act = site.measured
    assert isinstance(act, Activation)
    return FewBit(module(act, trainable=()), bits=bits)


def _refused(model: nn.Module, places: list[Place]) -> dict[str, str]:
    """Return why, for the sites where the activation cannot be replaced."""
    done = swap(model, {place.site: _lean(place.site, MOST_BITS) for place in places if not place.stays})
    done.undo()
    return {each.place: each.why for each in done.unchanged}


def _place(site: Site, found: Sites) -> Place:
    alone = sum(each.path == site.path for each in found) == 1
    name = (site.path or "(the model)") if alone else site.name
    act = site.measured
    label, spelling = site.formula.label, site.spelling
    if site.trainable:
        learned = "it learns a parameter, whose gradient needs the input itself"
        return Place(name, label, spelling, None, site, learned)
    try:
        few = few_bit(act, bits=MOST_BITS)
    except BadInput as refused:
        return Place(name, label, spelling, None, site, str(refused).partition(": ")[0])
    return Place(name, label, spelling, few.bits if few.is_exact else None, site)
