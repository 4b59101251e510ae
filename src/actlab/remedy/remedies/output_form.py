"""Bring the output into the form that the loss takes: its shape, its axes, its sign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor, nn
from torch.nn import functional as F

from actlab.errors import BadInput
from actlab.remedy.change import Change, Refusal, Remedy, transforming
from actlab.remedy.facts import Facts
from actlab.rules.finding import Finding
from actlab.train.factory import FEW
from actlab.train.task import Task


@final
@dataclass(frozen=True)
class Formed:
    """A forward hook on the whole model that changes its output."""

    how: str

    def __call__(self, model: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        """Return the output in the other form."""
        if self.how == "squeeze":
            return output.squeeze(-1)
        if self.how == "transpose":
            return output.transpose(1, -1)
        return F.softplus(output) + 1e-6


@final
@dataclass(frozen=True)
class FormOutput:
    """Change the form of the model's output."""

    how: str

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the model with the hook.

        Raises:
            BadInput: the form does not fit the targets.
        """
        if self.how == "squeeze" and isinstance(task.train.targets, Tensor):
            few = task.train.first(FEW)
            if few.targets.dim() and few.targets.shape[-1:] == (1,):
                raise BadInput("the targets have a last axis of length 1 too.")
        model.register_forward_hook(Formed(self.how))
        return model


_FORMS = {
    "same-shape": ("squeeze", "output without its last axis", "output = model(x).squeeze(-1)"),
    "classes-second": ("transpose", "classes on axis 1", "output = model(x).transpose(1, -1)"),
    "positive-output": ("softplus", "a positive output", "output = F.softplus(model(x)) + 1e-6"),
}


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose the form that the findings ask for."""
    asked = {name for each in findings for name in each.remedies}
    for name, (how, label, line) in _FORMS.items():
        if name in asked:
            form = FormOutput(how)
            yield Change(label, transforming(form), (), (line,))


REMEDY = Remedy(
    "output-form",
    0,
    frozenset(_FORMS),
    "Bring the output into the shape, the order of axes or the sign that the loss takes.",
    propose,
)
