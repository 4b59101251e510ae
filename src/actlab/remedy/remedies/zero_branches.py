"""Let residual branches begin at zero."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import nn

from actlab.remedy.change import Change, Refusal, Remedy, transforming
from actlab.remedy.facts import Facts
from actlab.rules.dataflow import is_layer
from actlab.rules.finding import Finding
from actlab.sites.trace.trace import Step, Trace
from actlab.train.task import Task

_SUMS = frozenset({"add", "iadd", "add_"})


@final
@dataclass(frozen=True)
class Zeroed:
    """Set the last layers of residual branches to zero."""

    paths: tuple[str, ...]

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the model whose branches add nothing yet."""
        with torch.no_grad():
            for path in self.paths:
                for value in model.get_submodule(path).parameters(recurse=False):
                    value.zero_()
        return model


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose branches whose last layer is zero at the start."""
    paths = branch_ends(facts.layout.trace, facts.layout.model)
    if not paths:
        yield Refusal("the model has no residual branch that ends in a layer")
        return
    zeroed = Zeroed(paths)
    yield Change(
        f"{len(paths)} residual branches begin at zero",
        transforming(zeroed),
        (),
        tuple(f"nn.init.zeros_(model.get_submodule({path!r}).weight)" for path in paths),
    )


def branch_ends(trace: Trace, model: nn.Module) -> tuple[str, ...]:
    """Return the layers whose output is added to a value that does not come from a layer just before."""
    modules = dict(model.named_modules())
    found: dict[str, None] = {}
    for step in trace.steps:
        if step.function not in _SUMS or len(step.inputs) < 2:
            continue
        makers = [trace.maker(value) for value in step.inputs[:2]]
        ends = [each for each in makers if each is not None and is_layer(trace, each)]
        if len(ends) == 1 and _owner(ends[0], modules):
            found[ends[0].path] = None
    return tuple(found)


def _owner(step: Step, modules: dict[str, nn.Module]) -> bool:
    return isinstance(modules.get(step.path), nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)


REMEDY = Remedy(
    "zero-branches",
    1,
    frozenset({"AL103", "AL104", "AL105", "AL107", "AL303"}),
    "Set the last layer of every residual branch to zero at the start.",
    propose,
)
