"""A self-normalizing activation with its companions: LeCun initialization, and dropout that keeps mean and variance."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from actlab.remedy.change import Change, Refusal, Remedy, transforming
from actlab.remedy.choices import self_normalizing
from actlab.remedy.facts import Facts, torch_spelling
from actlab.remedy.remedies.initialize import Drawn, factory_edit, line_of
from actlab.remedy.remedies.other_activation import sites_of
from actlab.remedy.transforms import Edited, PutActivations
from actlab.rules.finding import Finding
from actlab.train.task import Task


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose the activation and its companions; only the companions if the model applies it already."""
    asked = {name for each in findings for name in each.remedies}
    has_dropout = any(type(each) in _DROPOUT for each in facts.layout.model.modules())
    alpha = (Edited(_alpha_dropout, "replacing dropout"),) if has_dropout else ()
    if "alpha-dropout" in asked:
        if alpha:
            yield Change("nn.AlphaDropout", transforming(*alpha), (), ("nn.AlphaDropout(p)",))
        else:
            yield Refusal("dropout is called as a function: write F.alpha_dropout(x, p, training=self.training)")
        return
    if facts.training.fixed_start and facts.training.own_optimizer is not None and facts.training.own_optimizer.state:
        yield Refusal("the model is trained already, and a self-normalizing activation needs new weights")
        return
    sites = sites_of(findings, facts)
    if not sites:
        yield Refusal("the model has no hidden activation that can be replaced")
        return
    places = tuple(each.name for each in sites)
    for name in self_normalizing():
        put = PutActivations(places, torch_spelling(name, {}))
        written = facts.replacements(sites, name, {})
        start = factory_edit(facts, (line_of("gain"),))
        yield Change(
            f"{name} with LeCun initialization{' and nn.AlphaDropout' if alpha else ''}",
            transforming(put, *alpha, Drawn("gain", with_batch=False)),
            (*written, *start) if written and start and not alpha else (),
            (f"Use {name} at {', '.join(places)}, nn.AlphaDropout, and {line_of('gain')}.",),
        )


_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


def _alpha_dropout(model: nn.Module, task: Task) -> None:
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, _DROPOUT):
                parent._modules[name] = nn.AlphaDropout(child.p).train(child.training)


REMEDY = Remedy(
    "self-normalizing",
    3,
    frozenset({"use-non-saturating", "use-leaky", "alpha-dropout", "AL103", "AL106", "AL303"}),
    "Use a self-normalizing activation with LeCun initialization and AlphaDropout.",
    propose,
)
