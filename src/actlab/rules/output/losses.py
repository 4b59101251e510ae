"""What the rules about losses share: which values a loss reads, and what computed them."""

from __future__ import annotations

import linecache
import math
import re
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from actlab.formula.activation import Activation
from actlab.rules.bounds import Bounds
from actlab.rules.context import Context
from actlab.rules.dataflow import Made, is_layer, sole, spot_of
from actlab.sites.site import Site, Spot
from actlab.sites.trace.trace import Step
from actlab.theory.predicates import leaves_unit_interval, stays_in_unit_interval

_ROUNDING = 0.05
"""How far the logarithm of a sum of probabilities may be from 0: more than rounding in 16 bits, less than any fault."""

_FLOAT_ROUNDING, _HALF_ROUNDING = 1e-3, 2e-2
"""How far a sum of probabilities may be from 1 by rounding."""

_FEW = 4
"""Fewer rows may sum to 1 by chance."""

# The exponential of log-probabilities is a probability, log_sigmoid is the logarithm of one.
_LOG_LINKS = frozenset({"exponential", "log_sigmoid"})

_NOT_A_CALL = re.compile(r"^\s*(def |async def |class |@|\w+ = \()|\b[A-Z]\w*Loss\(|\bcheck\(")


def readers_of_logits(context: Context) -> Iterator[tuple[Step, int, str]]:
    """Yield each step before the loss that normalizes logits itself, with its input and its name."""
    for step in context.losses("cross_entropy", "log_softmax", "softmax", "logsumexp"):
        yield step, step.inputs[0], step.function


def confined(context: Context, value: int) -> Bounds | None:
    """Return the bounds that activations set on the value, whatever the weights; None if there are none."""
    known = context.bounds(value)
    return known if known is not None and known.sources and context.trace.values[value].requires_grad else None


def last_source(known: Bounds) -> Made:
    """Return the last of the activations that set the bounds."""
    return max(known.sources, key=lambda made: -1 if made.step is None else made.step.place)


def one_a_line(sources: Sequence[Made]) -> list[Made]:
    """Return the activations without those on a line that another one of them is on, the last first."""
    by_line: dict[tuple[str, str, int] | int, Made] = {}
    for made in sorted(sources, key=lambda made: made.value, reverse=True):
        spot = made.spot
        by_line.setdefault(made.value if spot is None else (spot.path, spot.file, spot.line), made)
    return list(by_line.values())


def are_shares(context: Context, step: Step, value: int) -> bool:
    """Return whether the rows that a softmax or `cross_entropy` reads sum to 1, as rows of probabilities do."""
    numbers = context.tensor(step, 0) if step.function == "cross_entropy" else context.observed.numbers.get(value)
    if numbers is None or not context.trace.values[value].requires_grad or not numbers.is_floating_point():
        return False
    dim = step.arguments.get("dim", 1) if step.function != "cross_entropy" else 1
    if not isinstance(dim, int) or not -numbers.dim() <= dim < numbers.dim() or numbers.shape[dim] < 2:
        return False
    rows = numbers.double().movedim(dim, -1).reshape(-1, numbers.shape[dim])
    near = _HALF_ROUNDING if numbers.dtype in {torch.float16, torch.bfloat16} else _FLOAT_ROUNDING
    sums_to_1 = bool(((rows.sum(1) - 1).abs() < near).all()) and bool((rows >= -near).all())
    return sums_to_1 and len(rows) >= _FEW and bool((rows != rows[0, 0]).any())


def is_in_unit_interval(known: Bounds) -> bool:
    """Return whether all numbers come from probabilities: each activation behind them stays within [0, 1]."""
    return all(made.name in {"softmax", "sigmoid"} or is_squashed(made) for made in known.sources)


def lowest_binary_loss(known: Bounds) -> float:
    """Return the least binary cross-entropy of the class that the bounds of the logits make hardest to predict."""
    return max(_softplus(known.least), _softplus(-known.most))


def _softplus(z: float) -> float:
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


def place_of(context: Context, step: Step) -> Site | Spot | None:
    """Return the line that calls the loss; the layer or activation before it if that is not the user's code."""
    before = sole(context.trace, step.inputs[0]).spot
    return spot_of(step) if called_at(step) or before is None else before


def is_raw_output(context: Context, made: Made) -> bool:
    """Return whether a layer, or an activation whose range leaves [0, 1], computed the value."""
    if is_layer(context.trace, made.step):
        return True
    if made.site is None or not isinstance(made.activation, Activation) or made.name in _LOG_LINKS | {"gated"}:
        return False
    return leaves_unit_interval(made.activation)


def is_squashed(made: Made) -> bool:
    """Return whether an element-wise activation with a range within [0, 1], such as sigmoid, computed the value."""
    return isinstance(made.activation, Activation) and made.name != "gated" and stays_in_unit_interval(made.activation)


def is_multi_label(context: Context, step: Step) -> bool:
    """Return whether the loss's targets are zeros and ones with several ones in a row."""
    several, _ = multi_label_rows(context.tensor(step, 1), class_axis(step))
    return several > 0


def multi_label_rows(targets: Tensor | None, axis: int) -> tuple[int, int]:
    """Return the number of rows with several ones and of all rows; 0 and 0 if targets are not zeros and ones."""
    if targets is None or not targets.is_floating_point() or targets.dim() < 2 or targets.shape[axis] < 2:
        return 0, 0
    if not bool(((targets == 0) | (targets == 1)).all()):
        return 0, 0
    ones = targets.sum(axis)
    return int((ones > 1).sum()), ones.numel()


def class_axis(step: Step) -> int:
    """Return the axis along which the loss reads classes."""
    return -1 if step.function in {"kl_div", "ctc_loss"} else 1


def axis_length(context: Context, made: Made) -> int | None:
    """Return the length of the axis along which softmax or log_softmax acts; None for anything else."""
    if made.dim is None or made.source is None or made.name not in {"softmax", "log_softmax"}:
        return None
    shape = context.trace.values[made.source].shape
    return shape[made.dim] if made.dim < len(shape) else None


def is_over_examples(context: Context, made: Made, step: Step) -> bool:
    """Return whether a softmax acts along the axis of the examples, with several units per example.

    A softmax that the loss applies itself may compare the examples on purpose, all of them with each other.
    """
    if made.dim != 0 or made.source is None or len(step.inputs) < 2:
        return False
    shape, targets = context.trace.values[made.source].shape, context.trace.values[step.inputs[1]].shape
    if len(shape) < 2 or (made.site is None and (step.function != "cross_entropy" or shape[0] == shape[1])):
        return False
    return bool(targets) and shape[0] == targets[0] > 1 and max(shape[1:]) > 1


def log_sum_error(values: Tensor | None, axis: int) -> float:
    """Return the mean of |logsumexp| along the axis: 0 for log-probabilities."""
    if values is None or values.dim() == 0:
        return 0.0
    axis = min(axis, values.dim() - 1) if axis >= 0 else axis
    return float(torch.logsumexp(values.double(), axis).abs().mean())


def are_log_probabilities(context: Context, step: Step) -> bool:
    """Return whether the exponentials of the loss's input sum to 1 over the classes."""
    values = context.tensor(step, 0)
    return values is not None and log_sum_error(values, class_axis(step)) < _ROUNDING


def lowest_loss(classes: int | None) -> float:
    """Return the least cross-entropy possible when probabilities are passed as logits."""
    return float(torch.log1p(torch.tensor(((classes or 2) - 1) / torch.e)))


def path_of(made: Made) -> list[str]:
    """Return the module path of the step that computed the value; empty if there is none."""
    return [made.step.path] if made.step is not None and made.step.path else []


def computed_by(made: Made) -> str:
    """Return a sentence that names what computed the value; empty if that is unknown."""
    place = "".join(f" at {path}" for path in path_of(made))
    return f" It is computed by {made.name}{place}." if made.step else ""


def called_at(step: Step) -> str:
    """Return a sentence with the file and line that call the loss; empty if that is not the user's code."""
    # Where actlab calls the loss itself, the step has the line that defines the model or hands over the loss.
    is_call = bool(step.file) and not _NOT_A_CALL.search(linecache.getline(step.file, step.line))
    return f" The loss is called at {step.file.rpartition('/')[2]}:{step.line}." if is_call else ""
