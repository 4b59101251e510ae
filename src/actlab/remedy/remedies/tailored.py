"""An activation that is transformed for the depth of the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from torch import nn

from actlab.initialization.initialize import initialize
from actlab.initialization.tailor import tailor
from actlab.remedy.change import Change, Refusal, Remedy, transforming
from actlab.remedy.facts import Facts
from actlab.remedy.remedies.initialize import ROWS
from actlab.remedy.remedies.other_activation import sites_of
from actlab.rules.finding import Finding
from actlab.train.task import Task


@final
@dataclass(frozen=True)
class TailoredTo:
    """Transform an activation for the model, and draw orthogonal weights, as the method assumes."""

    activation: str
    method: str

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the model with the transformed activation and new weights.

        Raises:
            BadInput: the graph of the model does not fulfil the conditions.
        """
        batch = (task.train.first(ROWS).inputs, None)
        changed = tailor(self.activation, model=model, batch=batch, method=self.method).apply(model)
        initialize(changed, batch, "orthogonal")
        return changed


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose the model's own activation, transformed by deep kernel shaping."""
    sites = sites_of(findings, facts)
    names = {each.activation for each in sites if not each.trainable}
    if len(names) != 1 or facts.training.fixed_start:
        yield Refusal("a model with one hidden activation, which is built anew, is required")
        return
    (name,) = names
    to = TailoredTo(name, "dks")
    to(facts.training.build(0), facts.training.task)  # what it refuses is the reason
    yield Change(
        f"{name} tailored to the depth, and orthogonal weights",
        transforming(to),
        (),
        (
            f"model = actlab.tailor({name!r}, model=model, batch=batch, method='dks').apply(model)",
            "actlab.initialize(model, batch, 'orthogonal')",
        ),
    )


REMEDY = Remedy(
    "tailored",
    3,
    frozenset({"use-non-saturating", "AL103", "AL303"}),
    "Transform the model's own activation for its depth (deep kernel shaping), with orthogonal weights.",
    propose,
)
