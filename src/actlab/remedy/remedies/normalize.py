"""Put a normalization before every hidden activation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import final

from torch import nn

from actlab.formula.activation import Activation
from actlab.nn import module
from actlab.remedy.change import Change, Refusal, Remedy, transforming
from actlab.remedy.edit import Edit, InsertModule
from actlab.remedy.facts import Facts
from actlab.remedy.transforms import PutActivations
from actlab.rules.finding import Finding
from actlab.sites.site import Site
from actlab.study.changes import LastAxisBatchNorm, Norm
from actlab.train.replace import torch_module
from actlab.train.task import Task


@final
@dataclass(frozen=True)
class PutEach:
    """Put another module at each of several sites."""

    builds: Mapping[str, Callable[[], nn.Module]]

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the model with these modules.

        Raises:
            BadInput: a site cannot be changed.
        """
        for place, build in self.builds.items():
            model = PutActivations((place,), build)(model, task)
        return model


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose layer and batch normalization; of convolutions, batch normalization first."""
    sites = [each for each in facts.hidden if not each.trainable and len(each.shape) > 1]
    if not sites:
        yield Refusal("the model has no hidden activation before which a normalization fits")
        return
    of_channels = any(each.channel_axis == 1 and len(each.shape) > 2 for each in sites)
    for kind in ("batch", "layer") if of_channels else ("layer", "batch"):
        norms = {each: _norm(kind, each) for each in sites}
        builds = {each.name: partial(_normed, norm, _own(each)) for each, norm in norms.items()}
        put = PutEach(builds)
        yield Change(
            f"{kind} normalization before {len(sites)} activations",
            transforming(put),
            _edits(norms, facts),
            (f"Put nn.{'LayerNorm' if kind == 'layer' else 'BatchNorm1d'} before {', '.join(builds)}.",),
        )


def _norm(kind: str, site: Site) -> Norm:
    axis = 1 if site.channel_axis == 1 and len(site.shape) > 2 else -1
    return Norm(kind, site.shape[axis], len(site.shape), axis == -1)


def _own(site: Site) -> Callable[[], nn.Module]:
    assert isinstance(site.formula, Activation)
    return torch_module(site.formula) or partial(module, site.formula)


def _normed(norm: Norm, act: Callable[[], nn.Module]) -> nn.Module:
    return nn.Sequential(norm.build(), act())


def _edits(norms: Mapping[Site, Norm], facts: Facts) -> tuple[Edit, ...]:
    """Return a module before each activation module; none if one is a call, or a line stands for several widths."""
    wanted: dict[tuple[str, int, str], str] = {}
    for site, norm in norms.items():
        built = norm.build()
        file, line = facts.place(site)
        if not file or not site.spelling.startswith("nn.") or isinstance(built, LastAxisBatchNorm):
            return ()
        count = f"1, {norm.channels}" if isinstance(built, nn.GroupNorm) else str(norm.channels)
        text = f"nn.{type(built).__name__}({count})"
        if wanted.setdefault((file, line, site.spelling), text) != text:
            return ()
    return tuple(
        InsertModule(file, line, text, where="before", spelling=spelling, everywhere=True)
        for (file, line, spelling), text in wanted.items()
    )


REMEDY = Remedy(
    "normalize",
    4,
    frozenset({"add-normalisation", "scale-scores", "AL109", "AL313"}),
    "Put a normalization before every hidden activation.",
    propose,
)
