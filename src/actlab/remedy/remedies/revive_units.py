"""Initialize dead units again while the model trains, with their moments in the optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from actlab.formula.activation import Activation
from actlab.nn import module
from actlab.remedy.change import Change, Refusal, Remedy
from actlab.remedy.facts import Facts
from actlab.remedy.training import Training
from actlab.rules.dataflow import is_layer
from actlab.rules.finding import Finding
from actlab.train.task import Task

EVERY = 25
"""Steps between two looks; a unit is dead if it was inactive on every example in between."""

SILENT = 1e-3
"""A derivative below this share of the largest counts as zero, as for AL101."""


@final
class Track:
    """A forward hook on a layer that notes the largest derivative of the activation behind each unit.

    Attributes:
        act: the activation.
        following: the path of the layer that reads the units; empty if it is unknown.
        largest: by unit, since the last look.
    """

    def __init__(self, act: Activation, following: str) -> None:
        self.act, self.following = module(act), following
        self.largest: Tensor | None = None

    def __call__(self, layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Note the derivatives of one batch."""
        if not layer.training:
            return
        with torch.enable_grad():
            z = output.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.act(z).sum(), z)
        axis = -1 if isinstance(layer, nn.Linear) else 1
        found = slope.abs().movedim(axis, 0).flatten(1).amax(1)
        self.largest = found if self.largest is None else torch.maximum(self.largest, found)


@final
@dataclass(frozen=True)
class TrackUnits:
    """Attach a tracker to layers: their paths, the activations behind them, and the layers that follow."""

    layers: tuple[tuple[str, Activation, str], ...]

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the model with the trackers."""
        for path, act, following in self.layers:
            model.get_submodule(path).register_forward_hook(Track(act, following))
        return model


@final
@dataclass(frozen=True)
class Revive:
    """Initialize dead units again after some steps, up to a last one.

    Their incoming weights are drawn anew, their bias becomes 0 and their outgoing weights 0, so that the output of the
    model stays; the optimizer's moments of all these become 0.
    """

    last: int

    def __call__(self, model: nn.Module, optimizer: Optimizer, step: int) -> None:
        """Look at the units if it is time."""
        if step % EVERY or step > self.last:
            return
        for layer in model.modules():
            for hook in layer._forward_hooks.values():
                if isinstance(hook, Track) and hook.largest is not None:
                    dead = (hook.largest <= SILENT).nonzero().flatten()
                    if len(dead):
                        _again(model, layer, hook.following, dead, optimizer)
                    hook.largest = None


def _again(model: nn.Module, layer: nn.Module, following: str, dead: Tensor, optimizer: Optimizer) -> None:
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    with torch.no_grad():
        fresh = torch.empty_like(weight[dead]).normal_(0.0, (2.0 / weight[0].numel()) ** 0.5)
        weight[dead] = fresh
        _forget(optimizer, weight, dead)
        if isinstance(bias, Tensor):
            bias[dead] = 0.0
            _forget(optimizer, bias, dead)
        if following:
            after = model.get_submodule(following).weight
            assert isinstance(after, Tensor)
            after[:, dead] = 0.0
            _forget(optimizer, after, dead, axis=1)


def _forget(optimizer: Optimizer, value: Tensor, units: Tensor, *, axis: int = 0) -> None:
    """Set the moments of these units to 0."""
    for kept in optimizer.state.get(value, {}).values():
        if isinstance(kept, Tensor) and kept.shape == value.shape:
            kept.index_fill_(axis, units, 0.0)


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose it for every layer with an activation whose derivative can be 0."""
    layers = tuple(_layers(facts))
    if not layers:
        yield Refusal("no linear or convolutional layer with an activation behind it was found")
        return
    track, last = TrackUnits(layers), max(EVERY, int(0.7 * facts.training.steps))

    def apply(training: Training) -> Training:
        return replace(training.transformed(track), after_step=(*training.after_step, Revive(last)))

    yield Change(
        f"dead units of {len(layers)} layers drawn again every {EVERY} steps",
        apply,
        (),
        (f"Every {EVERY} steps: draw the weights of dead units again and reset their moments in the optimizer.",),
    )


def _layers(facts: Facts) -> Iterator[tuple[str, Activation, str]]:
    trace, modules = facts.layout.trace, dict(facts.layout.model.named_modules())
    hidden = facts.hidden
    for step in trace.steps:
        at = trace.site_of.get(step.place)
        if at is None or trace.sites[at] not in hidden or not step.inputs or trace.sites[at].trainable:
            continue
        maker = trace.maker(step.inputs[0])
        if maker is None or not is_layer(trace, maker):
            continue
        layer, act = modules.get(maker.path), trace.sites[at].formula
        if not isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d) or not isinstance(act, Activation):
            continue
        readers = trace.readers(step.outputs[0]) if step.outputs else []
        after = modules.get(readers[0].path) if len(readers) == 1 and is_layer(trace, readers[0]) else None
        fits = isinstance(layer, nn.Linear) and isinstance(after, nn.Linear) and after.in_features == layer.out_features
        yield maker.path, act, readers[0].path if fits else ""


REMEDY = Remedy(
    "revive-units",
    5,
    frozenset({"use-leaky"}),
    "While it trains, draw dead units again and reset the optimizer's moments for them (arXiv:2302.12902).",
    propose,
)
