"""AL209: a non-negative activation on the logits."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.formula.activation import Activation
from actlab.rules.composite_losses import PICKS
from actlab.rules.context import Context
from actlab.rules.dataflow import Made, sole
from actlab.rules.output.losses import confined
from actlab.rules.output.probabilities import output_of_softmax
from actlab.rules.output.terms import through_constants
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step
from actlab.theory.predicates import is_nonnegative, stays_in_unit_interval
from actlab.theory.properties import properties


@rule(
    "AL209",
    title="non-negative activation on the logits",
    severity="warning",
    remedies=("remove-output-activation",),
)
def relu_on_logits(context: Context) -> Iterator[Found]:
    """ReLU, softplus or another activation without negative outputs is applied to the logits.

    Why it matters:
        The model cannot rate a class unlikely: no logit is below 0. Where a ReLU makes all logits 0, the gradient is
        zero. With a binary loss the predicted probability never falls below one half.

    How it is detected:
        By data flow: the logits of `cross_entropy`, of a binary loss, or of a softmax whose probabilities are the
        model's output or are read by the loss, come from an activation whose range has no negative values and exceeds
        1, if need be through arithmetic that keeps them non-negative. Activations within [0, 1] are reported as AL201,
        AL203 or AL208.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.ReLU())
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        Humbatova et al. 2020, arXiv:1910.11015
    """
    reported: set[int] = set()
    for step, value in _logits(context):
        made = _behind(context, value)
        if made is not None and made.value not in reported:
            reported.add(made.value)
            yield found(
                f"{made.name} is applied to the logits before {step.function}: no logit can be negative, so no class"
                f" can be rated unlikely{_where_flat(made)}.",
                site=made.spot,
                loss=step.function,
            )


def _behind(context: Context, value: int) -> Made | None:
    """Return the activation that makes all logits non-negative."""
    made = sole(context.trace, value)
    if _is_nonnegative(made):
        return made
    known = confined(context, value)
    if known is None or known.least < 0 or known.most < float("inf"):
        return None
    # pooled or multiplied activations, as of two embeddings, are logits that some intend
    last = sole(context.trace, through_constants(context, value, _SCALED))
    return last if _is_nonnegative(last) else None


_SCALED = frozenset({"mul", "div", "add", "dropout"})


def _is_nonnegative(made: Made) -> bool:
    act = made.activation
    if not isinstance(act, Activation) or made.name == "gated":
        return False
    return is_nonnegative(act) and not stays_in_unit_interval(act)


def _where_flat(made: Made) -> str:
    assert made.activation is not None
    attains_least = properties(made.activation).range.lower_attained is True
    return ", and where all logits are 0 the gradient is zero" if attains_least else ""


def _logits(context: Context) -> Iterator[tuple[Step, int]]:
    """Yield what losses, and the softmax or sigmoid before them, read as logits."""
    for step in context.losses("cross_entropy", "binary_cross_entropy_with_logits"):
        yield step, step.inputs[0]
    for step in context.losses("nll_loss", "binary_cross_entropy"):
        made = sole(context.trace, step.inputs[0])
        if made.name in {"log_softmax", "softmax", "sigmoid"} and made.source is not None:
            yield step, made.source
    for step in context.losses("logsumexp"):
        if any(reader.function in PICKS for reader in context.trace.readers(step.inputs[0])):
            yield step, step.inputs[0]  # a composite cross-entropy
    for step, source in output_of_softmax(context):
        yield step, source
