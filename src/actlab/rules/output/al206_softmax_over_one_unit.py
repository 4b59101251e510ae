"""AL206: softmax over a single unit."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import Made, makers, sole, spot_of
from actlab.rules.observed import LOSSES
from actlab.rules.output.losses import axis_length, called_at, path_of
from actlab.rules.output.softmax_uses import SoftmaxUse, softmaxes
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step


@rule(
    "AL206",
    title="softmax over a single unit",
    severity="error",
    remedies=("use-sigmoid", "softmax-over-classes"),
)
def softmax_over_one_unit(context: Context) -> Iterator[Found]:
    """Softmax is applied along an axis of length 1.

    Why it matters:
        Softmax of a single number is 1 whatever the number: the output is constant and its gradient is zero. With one
        output unit a sigmoid is needed. If all attention weights are 1, attention adds up the values.

    How it is detected:
        By data flow: the first input of a loss comes from a softmax or log_softmax along an axis of length 1, or
        `cross_entropy` itself reads a single class. Inside the model the axis must have this length by construction,
        as the output of a layer with one unit or an axis that `unsqueeze` added: a sequence of one token is not
        reported, nor a mixture of one expert or component, over which the model or the loss then sums.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1), nn.Softmax(dim=1))
        x = torch.randn(32, 4)
        batch = x, (x[:, :1] > 0).float()
        loss = nn.BCELoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
        x = torch.randn(32, 4)
        batch = x, (x[:, :1] > 0).float()
        loss = nn.BCELoss()

    References:
        Humbatova et al. 2020, arXiv:1910.11015
    """
    reported: set[int] = set()
    for step in context.losses(*LOSSES):
        for value in step.inputs[:1]:
            for made in makers(context.trace, value):
                if axis_length(context, made) == 1 and made.value not in reported:
                    reported.add(made.value)
                    yield _constant(made, made.name, step)
        shape = context.trace.values[step.inputs[0]].shape
        reads_classes = step.function in {"cross_entropy", "nll_loss"} and len(shape) > 1
        if reads_classes and shape[1] == 1 < shape[0] and not reported:
            yield _constant(sole(context.trace, step.inputs[0]), step.function, step)
    for use in softmaxes(context):
        if use.made.value not in reported and _is_one_by_construction(use):
            yield _inside(use)


def _is_one_by_construction(use: SoftmaxUse) -> bool:
    """Return whether the axis has length 1 whatever the data, and nothing sums over it later."""
    fixed = bool(use.starts) and all(start[0] in {"layer", "parameter", "new"} for start in use.starts)
    return use.length == 1 and fixed and use.made.dim not in use.summed_anywhere


def _inside(use: SoftmaxUse) -> Found:
    constant = "0" if use.made.name == "log_softmax" else "1"
    others = [axis for axis, size in enumerate(use.shape) if size > 1 and axis > 0]
    meant = f" Axis {others[0]} has length {use.shape[others[0]]}." if len(others) == 1 and use.weighs else ""
    return found(
        f"{use.made.name} acts along axis {use.made.dim} of shape {use.shape}, whose length is 1: every output is"
        f" {constant} whatever the input, and no gradient reaches the layers before it.{meant}",
        site=use.made.spot,
        severity="error",
        remedies=("softmax-over-items", "use-sigmoid") if use.weighs else (),
        length=1,
        axis=use.made.dim,
        shape=list(use.shape),
    )


def _constant(made: Made, name: str, step: Step) -> Found:
    return found(
        f"{name} acts along an axis of length 1: its output is constant and its gradient is zero.{called_at(step)}",
        site=made.spot or spot_of(step),
        length=1,
        layers=path_of(made),
    )
