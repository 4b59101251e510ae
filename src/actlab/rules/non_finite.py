"""Why an operation makes NaN or infinity, from the numbers that it read and made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from actlab.rules.dataflow import upstream
from actlab.sites.trace.trace import Step, Trace

# They write -inf on purpose, as an attention mask does, or leave memory uninitialized.
_WRITES = frozenset(
    {"masked_fill", "full", "full_like", "new_full", "fill", "where", "empty", "empty_like", "new_empty", "__setitem__",
     "tensor", "triu", "tril"}
)  # fmt: skip
_SOFTMAXES = frozenset({"softmax", "log_softmax", "logsumexp", "softmin"})
_ATTENTIONS = frozenset({"multi_head_attention_forward", "scaled_dot_product_attention"})
_LOGARITHMS = frozenset({"log", "log2", "log10", "xlogy"})
_PRODUCTS = frozenset({"mul", "matmul", "mm", "bmm", "linear"})
_DIVISIONS = frozenset({"div", "rdiv", "reciprocal"})
_UNIT_DOMAIN = frozenset({"acos", "arccos", "asin", "arcsin", "atanh", "arctanh"})


@final
@dataclass(frozen=True)
class NotFinite:
    """What an operation made of numbers that were still good.

    Attributes:
        makes_nan: whether it makes NaN of inputs without NaN.
        why: what the numbers have to do with it.
        numbers, total: how many of its results are not finite, and of how many.
        learns: whether autograd follows its result: a mask is computed of data alone.
    """

    makes_nan: bool
    why: str
    numbers: int
    total: int
    learns: bool


def not_finite(step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> NotFinite | None:
    """Return what a step with NaN or infinity in its output made of good numbers; None if it only passed it on."""
    made = next((each.detach() for each in outputs if each.is_floating_point() and not each.isfinite().all()), None)
    if made is None:
        return None
    read = tuple(each.detach() for each in inputs if each.is_floating_point())
    makes_nan = bool(made.isnan().any()) and not any(bool(each.isnan().any()) for each in read)
    is_empty = step.function in _SOFTMAXES and bool(read) and _empty_rows(step, read[0]) != ""
    if not makes_nan and not is_empty and not all(bool(each.isfinite().all()) for each in read):
        return None
    bad = made.isnan() if makes_nan else ~made.isfinite()
    learns = any(each.requires_grad for each in (*inputs, *outputs))
    why = _without_entry(step, inputs) or _why(step, read, made, bad)
    return NotFinite(makes_nan, why, int(bad.sum()), bad.numel(), learns)


def culprit(trace: Trace, faults: dict[int, NotFinite], places: Iterable[int]) -> Step | None:
    """Return the operation to blame for NaN or infinity among the steps at these places.

    That is the first to make NaN, or an earlier one whose infinity it is made of. An infinity that was written on
    purpose, such as that of a mask, is not to blame.
    """
    among = sorted(set(places) & faults.keys())
    first = next((place for place in among if faults[place].makes_nan), None)
    if first is not None:
        before = upstream(trace, trace.steps[first].outputs[0])
        among = [place for place in among if place <= first and (place == first or place in before)]
    plain = [
        place for place in among
        if place == first or (trace.steps[place].function not in _WRITES and faults[place].learns)
    ]  # fmt: skip
    chosen = next(iter(plain), next(iter(among), None))
    return None if chosen is None else trace.steps[chosen]


def _why(step: Step, read: tuple[Tensor, ...], made: Tensor, bad: Tensor) -> str:
    """Say which inputs the operation cannot take; empty if that is not clear."""
    name, first = step.function, read[0] if read else None
    if first is None:
        return ""
    if name in _SOFTMAXES and (rows := _empty_rows(step, first)):
        return f"{rows} are masked throughout: every score is -inf"
    if name in _LOGARITHMS:
        return _counted(first, bad, zero="the logarithm of 0", negative="the logarithm of a negative number")
    if name in {"sqrt", "rsqrt", "pow"} and (text := _rooted(first, bad, is_root=bool(made.isnan().any()))):
        return text
    if name == "poisson_nll_loss" and step.arguments.get("log_input") is False and bool((first < 0).any()):
        return f"the logarithm of a negative rate ({int((first < 0).sum())} of {first.numel()})"
    if name in _DIVISIONS:
        below = first if name in {"rdiv", "reciprocal"} or len(read) < 2 else read[1]
        return f"it divides by 0 ({int((below == 0).sum())} of {below.numel()})" if (below == 0).any() else ""
    if name in _UNIT_DOMAIN:
        return f"{int((first.abs() >= 1).sum())} of {first.numel()} inputs lie outside (-1, 1)"
    if name in _PRODUCTS and bool(made.isnan().any()) and any(bool(each.isinf().any()) for each in read):
        return "0 × infinity is NaN"
    if name in {"add", "sub", "rsub"} and bool(made.isnan().any()):
        return "infinity - infinity is NaN"
    finite = first[first.isfinite()]
    if finite.numel() == 0:
        return ""
    return f"its inputs range from {float(finite.min()):.3g} to {float(finite.max()):.3g}"


def _without_entry(step: Step, inputs: tuple[Tensor, ...]) -> str:
    """Say that a mask leaves an attention nothing to attend to; empty if none does."""
    if step.function not in _ATTENTIONS:
        return ""
    keeps = (
        step.function == "scaled_dot_product_attention"
    )  # a mask of booleans says what is kept, else what is left out
    hidden = [
        each.detach() == (not keeps) if each.dtype == torch.bool else torch.isneginf(each.detach())
        for each in inputs
        if each.dim() > 0 and (each.dtype == torch.bool or each.is_floating_point())
    ]
    empty = [(int(rows.sum()), rows.numel()) for each in hidden if bool((rows := each.all(-1)).any())]
    return "".join(f"{rows} of {of} rows of a mask leave nothing to attend to" for rows, of in empty[:1])


def _rooted(first: Tensor, bad: Tensor, *, is_root: bool) -> str:
    negative = "a root of a negative number" if is_root else ""
    return _counted(first, bad, zero="a negative power of 0", negative=negative)


def _counted(first: Tensor, bad: Tensor, *, zero: str, negative: str) -> str:
    zeros, below = int((first == 0).sum()), int((first < 0).sum())
    if first.shape == bad.shape:
        zeros, below = int(((first == 0) & bad).sum()), int(((first < 0) & bad).sum())
    parts = [f"{zero} ({zeros} of {first.numel()})"] * bool(zeros)
    parts += [f"{negative} ({below} of {first.numel()})"] * bool(below and negative)
    return " and ".join(parts)


def _empty_rows(step: Step, scores: Tensor) -> str:
    dim = step.arguments.get("dim", -1)
    dim = dim if isinstance(dim, int) and -scores.dim() <= dim < scores.dim() else -1
    if scores.dim() == 0:
        return ""
    empty = torch.isneginf(scores).all(dim)
    return f"{int(empty.sum())} of {empty.numel()} rows" if empty.any() else ""


def blame(trace: Trace, step: Step, fault: NotFinite, *, dtype_to_blame: bool) -> str:
    """Return what the operation did, for a sentence."""
    made = "NaN" if fault.makes_nan else "infinity"
    why = f" ({fault.why})" if fault.why else ""
    dtype = trace.values[step.outputs[0]].dtype
    rounding = f"; {dtype} is too narrow here: in float32 all numbers are finite" if dtype_to_blame else ""
    spelled = step.spelling or step.function
    called = spelled if spelled[:1].isalpha() else f"the operation {spelled}"
    numbers = "it" if fault.total == 1 else f"{fault.numbers} of {fault.total} numbers"
    return f"{called} makes {numbers} {made}{why}{rounding}"


def remedies_for(step: Step, fault: NotFinite | None, *, dtype_to_blame: bool) -> tuple[str, ...]:
    """Return what to do about an operation that makes NaN or infinity; empty for the usual advice."""
    first = ("wider-dtype",) if dtype_to_blame else ()
    if step.function in _SOFTMAXES | _ATTENTIONS:
        return (*first, "finite-mask")
    if step.function in _LOGARITHMS:
        return (*first, "use-log-softmax", "keep-away-from-edge")
    if step.function in {"exp", "expm1", "log1p", "cosh", "sinh"}:
        return (*first, "stable-function", "guard-branch")
    if fault is not None and "0 × infinity" in fault.why:
        return (*first, "skip-zero-times")
    if step.function in {"sqrt", "rsqrt", "pow", *_DIVISIONS, *_UNIT_DOMAIN}:
        return (*first, "keep-away-from-edge")
    return first
