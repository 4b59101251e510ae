"""AL210: softmax for multi-label targets."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import sole, spot_of
from actlab.rules.observed import REGRESSIONS
from actlab.rules.output.losses import axis_length, called_at, class_axis, is_multi_label, multi_label_rows, path_of
from actlab.rules.rule import Found, found, rule


@rule(
    "AL210",
    title="softmax used for multi-label targets",
    severity="error",
    remedies=("use-bce-with-logits",),
)
def softmax_for_multi_label(context: Context) -> Iterator[Found]:
    """Softmax, or a loss that applies it, is used for targets of which several classes may be true at once.

    Why it matters:
        Softmax outputs sum to 1: the model cannot predict that two classes are true, or none. For targets with several
        ones in a row, every prediction is wrong by construction.

    How it is detected:
        By data flow and by value: a binary, regression or cross-entropy loss reads softmax outputs, and the targets of
        the batch are zeros and ones with several ones in some rows.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(dim=1))
        x = torch.randn(32, 4)
        batch = x, (x[:, :3] > 0).float()
        loss = nn.BCELoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        x = torch.randn(32, 4)
        batch = x, (x[:, :3] > 0).float()
        loss = nn.BCEWithLogitsLoss()

    References:
        Humbatova et al. 2020, arXiv:1910.11015; Bishop 2006, section 4.3
    """
    for step in context.losses(
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "multilabel_soft_margin_loss",
        "cross_entropy",
        *REGRESSIONS,
    ):
        made = sole(context.trace, step.inputs[0])
        is_softmax = step.function == "cross_entropy" or (made.name == "softmax" and axis_length(context, made) != 1)
        if is_softmax and is_multi_label(context, step):
            several, rows = multi_label_rows(context.tensor(step, 1), class_axis(step))
            yield found(
                f"softmax outputs sum to 1, but {several} of {rows} target rows have several true classes, which"
                f" cannot be predicted.{called_at(step)}",
                site=(made.spot if made.name == "softmax" else None) or spot_of(step),
                rows=rows,
                several=several,
                loss=step.function,
                layers=path_of(made),
            )
