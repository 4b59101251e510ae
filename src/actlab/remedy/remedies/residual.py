"""Add residual connections around layers that keep the width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from actlab.remedy.change import Change, Refusal, Remedy, transforming
from actlab.remedy.facts import Facts
from actlab.rules.dataflow import is_layer
from actlab.rules.finding import Finding
from actlab.sites.site import Site
from actlab.train.task import Task

SCALE = "residual_scale"


@final
class Keep:
    """A forward pre-hook that keeps the input of a layer until its activation has run."""

    def __init__(self) -> None:
        self.input: Tensor | None = None

    def __call__(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Keep the input."""
        self.input = inputs[0]


@final
class Add:
    """A forward hook on the activation that adds what its layer read, and scales its own output."""

    def __init__(self, kept: Keep) -> None:
        self.kept = kept

    def __call__(self, act: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        """Return the input of the layer plus the scaled output."""
        before, self.kept.input = self.kept.input, None
        return output if before is None else before + getattr(act, SCALE) * output


@final
@dataclass(frozen=True)
class AddResiduals:
    """Add the input of each layer to the output of the activation behind it, which is scaled from 0 on.

    Attributes:
        pairs: the paths of the layers and of the activation modules.
    """

    pairs: tuple[tuple[str, str], ...]

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the model with the connections."""
        for layer, act in self.pairs:
            kept = Keep()
            model.get_submodule(layer).register_forward_pre_hook(kept)
            owner = model.get_submodule(act)
            owner.register_parameter(SCALE, nn.Parameter(torch.zeros(())))
            owner.register_forward_hook(Add(kept))
        return model


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose a connection around every layer that has as many outputs as inputs, with its activation."""
    pairs = tuple(pair for each in facts.hidden if (pair := _pair(each, facts)) is not None)
    if not pairs:
        yield Refusal("no layer with an activation module behind it has as many outputs as inputs")
        return
    added = AddResiduals(pairs)
    yield Change(
        f"residual connections around {len(pairs)} layers",
        transforming(added),
        (),
        ("x = x + scale * act(layer(x))  # scale = nn.Parameter(torch.zeros(())), one for each layer",),
    )


def _pair(site: Site, facts: Facts) -> tuple[str, str] | None:
    """Return the paths of the layer before a site and of the site's module, if the layer keeps the width."""
    trace, modules = facts.layout.trace, dict(facts.layout.model.named_modules())
    at = trace.sites.index(site)
    step = next((each for each in trace.steps if trace.site_of.get(each.place) == at), None)
    if step is None or not step.inputs or site.calls > 1 or site.spelling[:3] != "nn.":
        return None
    maker = trace.maker(step.inputs[0])
    layer = None if maker is None or not is_layer(trace, maker) else modules.get(maker.path)
    if not isinstance(layer, nn.Linear) or layer.in_features != layer.out_features or maker is None:
        return None
    return maker.path, site.path


REMEDY = Remedy(
    "residual",
    4,
    frozenset({"residual", "AL106", "AL303"}),
    "Add residual connections, scaled from 0 on, around layers that keep the width.",
    propose,
)
