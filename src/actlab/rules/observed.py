"""The numbers of one forward pass that rules need, observed while it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, final

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from actlab.nn.torch_modules import saturating_functions
from actlab.rules.dataflow import PRODUCTS
from actlab.rules.non_finite import NotFinite, not_finite
from actlab.sites.recognize.torch_ops import LAYERS
from actlab.sites.trace.readable import is_readable
from actlab.sites.trace.recorder import Repeated
from actlab.sites.trace.trace import Step, Trace

REGRESSIONS = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})
LOSSES = REGRESSIONS | frozenset(
    {
        "cross_entropy",
        "nll_loss",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "multilabel_soft_margin_loss",
        "soft_margin_loss",
        "multi_margin_loss",
        "multilabel_margin_loss",
        "hinge_embedding_loss",
        "cosine_embedding_loss",
        "margin_ranking_loss",
        "gaussian_nll_loss",
        "kl_div",
        "ctc_loss",
        "poisson_nll_loss",
    }
)
_DIFFERENCES = frozenset({"sub", "rsub"})
_ARITHMETIC = frozenset({"add", "sub", "rsub", "mul", "div", "rdiv", "matmul", "mm", "where", "maximum", "minimum"})
_LAYERS = LAYERS | PRODUCTS
_LINEAR = PRODUCTS | {"linear", "addmm"}
_HALF = frozenset({torch.float16, torch.bfloat16})
_SUMMED = frozenset({torch.float32, torch.float64})

_Waiting = tuple[Step, tuple[Tensor, ...], tuple[Tensor, ...]]
_Keep = Callable[["Observed", Step, tuple[Tensor, ...], tuple[Tensor, ...]], None]
_MOST_WAITING = 1024
"""So many small results are read at once: in a long loop, reading one costs more than computing it."""


@final
@dataclass(frozen=True)
class ZeroGradient:
    """A call in 16 bits: the number of its inputs, and of those where only PyTorch's rounding makes the gradient 0."""

    numbers: int
    zeros: int
    dtype: str


@final
@dataclass(frozen=True)
class Shares:
    """How one softmax distributes: over the rows with enough keys that are not masked, of some rows.

    Attributes:
        rows: their number.
        keys: the median number of keys that are not masked.
        largest: the median of the largest share.
        gradient: the mean of 1 minus the sum of the squared shares, which is 0 if one key has all.
    """

    rows: int
    keys: int
    largest: float
    gradient: float


@final
class Samples:
    """Some numbers of each of many values."""

    def __init__(self) -> None:
        self._kept: dict[int, Tensor] = {}
        self._rows: dict[int, tuple[Tensor, int]] = {}

    def keep(self, number: int, sample: Tensor) -> None:
        """Keep the sample of one value."""
        self._kept[number] = sample
        self._rows.pop(number, None)

    def keep_rows(self, numbers: Sequence[int | None], rows: Tensor) -> None:
        """Keep a row as the sample of each value; None for a row without one."""
        self._rows.update([(number, (rows, at)) for at, number in enumerate(numbers) if number is not None])

    def get(self, number: int) -> Tensor | None:
        """Return the sample of a value; None if it has none."""
        row = self._rows.get(number)
        return self._kept.get(number) if row is None else row[0][row[1]]

    def __contains__(self, number: int) -> bool:
        return number in self._rows or number in self._kept

    def __getitem__(self, number: int) -> Tensor:
        found = self.get(number)
        if found is None:
            raise KeyError(number)
        return found


@final
class Observed:
    """Observe the numbers of a pass while it runs.

    Attributes:
        tensors: by the place of a step that compares with targets, its inputs.
        numbers: by value, the tensors that the loss reads.
        limits: by value, the least and the largest element of a constant in the model's arithmetic.
        zeros: by the place of a smooth activation in 16 bits, where its gradient is 0.
        size: by value, the mean square of its numbers, if a layer reads it.
        not_finite: the places of the steps with NaN or infinity in their output.
        faults: by the place of a step, what it made NaN or infinite of good numbers.
        zero_derivatives: the places of the calls of `torch.autograd.grad` that returned only 0.
        rows: by the place of a linear layer, a few rows of its input and output, if `samples` has only some numbers.
        shares: by the place of a softmax of the model, how it distributes.
        samples: by value of the model, some of its numbers, at the same places of all tensors of one shape.
        plain: the values whose tensors are one strided block of numbers.
    """

    def __init__(self) -> None:
        self.tensors: dict[int, tuple[Tensor, ...]] = {}
        self.numbers: dict[int, Tensor] = {}
        self.limits: dict[int, tuple[float, float]] = {}
        self.zeros: dict[int, ZeroGradient] = {}
        self.size: dict[int, float] = {}
        self.not_finite: set[int] = set()
        self.faults: dict[int, NotFinite] = {}
        self.zero_derivatives: set[int] = set()
        self.rows: dict[int, tuple[Tensor, Tensor]] = {}
        self.shares: dict[int, Shares] = {}
        self.samples = Samples()
        self.plain: set[int] = set()
        self._sampled: set[int] = set()  # values that were looked at, whether or not a sample is kept; or else small
        self._small: set[int] = set()  # results whose numbers are all read together with others
        self._waiting: list[_Waiting] = []
        # by the identity of what calls have in common, that, and what keeps their other numbers
        self._alike: dict[int, tuple[Repeated, tuple[_Keep, ...]]] = {}

    def __call__(
        self,
        step: Step,
        inputs: tuple[Tensor, ...],
        outputs: tuple[Tensor, ...],
        repeated: Repeated | None = None,
    ) -> None:
        known = None if repeated is None else self._alike.get(id(repeated))
        if known is None or not self._again(step, inputs, outputs, known[1]):
            self._first(step, inputs, outputs, repeated)

    def _first(
        self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], repeated: Repeated | None
    ) -> None:
        plain = self.plain
        if not plain.issuperset(step.inputs):
            if not all(map(is_readable, inputs)):
                return  # sparse and nested tensors, and those inside torch.vmap
            plain.update(step.inputs)
        if not all(map(is_readable, outputs)):
            return
        plain.update(step.outputs)
        keeps = _kept_of(step.part, step.function)
        for keep in keeps:
            keep(self, step, inputs, outputs)
        if repeated is not None:
            self._alike[id(repeated)] = repeated, tuple(keep for keep in keeps if keep is not Observed.keep_numbers)

    def _again(
        self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], keeps: tuple[_Keep, ...]
    ) -> bool:
        """Observe small results of a call whose like has made plain tensors of plain ones; return whether they are."""
        small, made = self._small, step.outputs
        if not small.issuperset(step.inputs):
            if not self.plain.issuperset(step.inputs):
                return False
            if step.part == "model":
                for number, tensor in zip(step.inputs, inputs, strict=True):
                    self._keep_sample(number, tensor)
        if not _are_small(outputs):
            return False
        small.update(made)
        self.plain.update(made)
        self._waiting.append((step, inputs, outputs))
        for keep in keeps:
            keep(self, step, inputs, outputs)
        if len(self._waiting) >= _MOST_WAITING:
            self.settle()
        return True

    def settle(self) -> None:
        """Read the small results that wait for it, those of one shape together; call it before one is overwritten."""
        waiting, self._waiting = self._waiting, []
        alike: dict[Any, tuple[list[_Waiting], list[int], list[Tensor]]] = {}
        for each in waiting:
            for number, tensor in zip(each[0].outputs, each[2], strict=True):
                kind: Any = (tensor.shape, tensor.dtype)
                kind = kind if tensor.is_cpu else (*kind, tensor.device)
                group = alike.get(kind)
                if group is None:
                    group = alike[kind] = [], [], []
                group[0].append(each)
                group[1].append(number)
                group[2].append(tensor)
        suspects: dict[int, _Waiting] = {}
        for steps, numbers, tensors in alike.values():
            with torch.no_grad():
                rows = torch.stack(tensors).reshape(len(tensors), tensors[0].numel())
            if not _is_finite(rows):
                suspects.update({each[0].place: each for each in steps})
            if rows.numel():
                self.size.update(zip(numbers, rows.float().square().mean(1).tolist(), strict=True))
                self.samples.keep_rows(
                    [
                        None if each[0].part != "model" or (tensor.is_leaf and tensor.requires_grad) else number
                        for each, number, tensor in zip(steps, numbers, tensors, strict=True)
                    ],
                    rows,
                )
        for _, each in sorted(suspects.items()):
            self._judge(*each)

    def mean_square(self, layer: Step) -> float | None:
        """Return the mean square of what a layer reads; None if it is unknown."""
        at = _place_of_input(layer)
        return self.size.get(layer.inputs[at]) if at < len(layer.inputs) else None

    def few_rows(self, trace: Trace, layer: Step) -> tuple[Tensor, Tensor] | None:
        """Return a few rows of the input and the output of a linear layer; None if they are unknown."""
        if layer.place in self.rows:
            return self.rows[layer.place]
        ends = layer.inputs[_place_of_input(layer)], layer.outputs[0]
        if layer.function not in _LINEAR or not all(end in self._small and end in self.samples for end in ends):
            return None
        read, made = (self.samples[number].view(trace.values[number].shape) for number in ends)
        return (_few_rows(read), _few_rows(made)) if read.dim() and made.dim() else None

    def keep_numbers(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        is_of_model, small = step.part == "model", self._small
        if is_of_model and not small.issuperset(step.inputs):
            for number, tensor in zip(step.inputs, inputs, strict=True):
                self._keep_sample(number, tensor)
        if _are_small(outputs):
            self._waiting.append((step, inputs, outputs))
            small.update(step.outputs)
            if len(self._waiting) >= _MOST_WAITING:
                self.settle()
            return
        self._judge(step, inputs, outputs)
        for number, tensor in zip(step.outputs, outputs, strict=True) if is_of_model else ():
            self._keep_sample(number, tensor)

    def _judge(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        """Note whether the step made NaN or infinity, and why."""
        if not all(_is_finite(each.detach()) for each in outputs if each.is_floating_point()):
            self.not_finite.add(step.place)
            fault = not_finite(step, inputs, outputs)
            self.faults.update({} if fault is None else {step.place: fault})

    def _keep_sample(self, number: int, tensor: Tensor) -> None:
        if number not in self._sampled and number not in self._small:
            self._sampled.add(number)
            sample = _sample(tensor)
            if sample is not None:
                self.samples.keep(number, sample)

    def keep_compared(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        self.tensors[step.place] = tuple(tensor.detach() for tensor in inputs)

    def keep_zero_derivative(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        if not any(bool(tensor.detach().any()) for tensor in outputs):
            self.zero_derivatives.add(step.place)

    def keep_shares(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        shares = _shares(step, inputs[0], outputs[0])
        self.shares.update({} if shares is None else {step.place: shares})

    def keep_fused_shares(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        shares = _fused_shares(step, inputs)
        self.shares.update({} if shares is None else {step.place: shares})

    def keep_loss(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        self.numbers.update({number: tensor.detach() for number, tensor in zip(step.inputs, inputs, strict=True)})

    def keep_limits(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        for number, tensor in zip(step.inputs, inputs, strict=True):
            if not tensor.requires_grad and 0 < tensor.numel() <= _SMALL and tensor.is_floating_point():
                self.limits[number] = (float(tensor.min()), float(tensor.max()))

    def keep_layer(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        at = _place_of_input(step)
        if len(inputs) <= at or not inputs[at].is_floating_point():
            return
        given, number = inputs[at].detach(), step.inputs[at]
        if number not in self.size and number not in self._small:
            self.size[number] = float(given.float().square().mean())
        is_whole = step.part == "model" and self._small.issuperset((number, *step.outputs))
        is_sampled = is_whole and not _is_weight(inputs[at])
        if step.function in _LINEAR and given.dim() and outputs[0].dim() and not is_sampled:
            self.rows[step.place] = (_few_rows(given), _few_rows(outputs[0].detach()))

    def keep_zeros(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        if inputs and inputs[0].dtype in _HALF:
            self.zeros[step.place] = _zero_gradient(step, inputs[0].detach())


@cache
def _kept_of(part: str, function: str) -> tuple[_Keep, ...]:
    """Return what keeps the numbers of a function's calls that rules need."""
    looked_at = {
        Observed.keep_numbers: True,
        Observed.keep_compared: function in LOSSES or (part == "loss" and function in _DIFFERENCES),
        Observed.keep_zero_derivative: function == "grad",
        Observed.keep_shares: part == "model" and function == "softmax",
        Observed.keep_fused_shares: function == "scaled_dot_product_attention",
        Observed.keep_loss: part == "loss",
        Observed.keep_limits: part != "loss" and function in _ARITHMETIC,
        Observed.keep_layer: function in _LAYERS,
        Observed.keep_zeros: function in saturating_functions(),
    }
    return tuple(keep for keep, is_of_use in looked_at.items() if is_of_use)


def _place_of_input(layer: Step) -> int:
    """Return at which place of its tensors a layer reads its input: `addmm` first reads what it adds."""
    return 1 if layer.function == "addmm" else 0


def _are_small(tensors: tuple[Tensor, ...]) -> bool:
    if len(tensors) == 1:  # the usual case
        return tensors[0].numel() <= _SAMPLED and tensors[0].dtype.is_floating_point
    return all(tensor.numel() <= _SAMPLED and tensor.dtype.is_floating_point for tensor in tensors)


def _is_finite(tensor: Tensor) -> bool:
    """Return whether all numbers are finite: the sum says so with one pass over them, unless it overflows itself."""
    if tensor.dtype in _SUMMED and math.isfinite(tensor.sum()):
        return True
    return bool(tensor.isfinite().all())


def _sample(tensor: Tensor) -> Tensor | None:
    """Return some of the tensor's numbers, at places that follow from its size; None for whole numbers and weights."""
    is_plain = tensor.layout is torch.strided and not tensor.is_meta and not is_functorch_wrapped_tensor(tensor)
    if not tensor.is_floating_point() or not is_plain or _is_weight(tensor):
        return None
    return torch.take(tensor.detach(), _places(tensor.numel(), tensor.device)) if tensor.numel() else None


def _is_weight(tensor: Tensor) -> bool:
    return tensor.requires_grad and tensor.is_leaf


def _is_unreadable(tensor: Tensor) -> bool:
    return tensor.layout is not torch.strided or tensor.is_meta or is_functorch_wrapped_tensor(tensor)


@lru_cache(maxsize=256)
def _places(count: int, device: torch.device) -> Tensor:
    if count <= _SAMPLED:
        return torch.arange(count, device=device)
    generator = torch.Generator().manual_seed(count)
    return torch.randint(count, (_SAMPLED,), generator=generator).to(device)


_SAMPLED = 512
"""Numbers of a tensor: a function that differs from a line at one number in a hundred is found out."""


def _shares(step: Step, scores: Tensor, weights: Tensor) -> Shares | None:
    """Return how a softmax distributes; None if it cannot be read or too few rows have enough keys."""
    dim = step.arguments.get("dim")
    if _is_unreadable(weights) or not isinstance(dim, int) or weights.dim() < 2 or weights.shape[dim] < _FEWEST_KEYS:
        return None
    x, p = (each.detach().movedim(dim, -1).reshape(-1, each.shape[dim]) for each in (scores, weights))
    return _shares_of_rows(x, p)


def _fused_shares(step: Step, inputs: tuple[Tensor, ...]) -> Shares | None:
    """Return how fused attention with a scale that the code names distributes, without its mask."""
    scale = step.arguments.get("scale")
    if not isinstance(scale, int | float) or len(inputs) < 2 or any(map(_is_unreadable, inputs)):
        return None
    query, key = (each.detach().reshape(-1, *each.shape[-2:])[:_ITEMS].double() for each in inputs[:2])
    if query.shape[0] != key.shape[0] or key.shape[1] < _FEWEST_KEYS:
        return None
    scores = (query[:, :_ROWS] @ key.transpose(1, 2) * scale).flatten(0, 1)
    return _shares_of_rows(scores, scores.softmax(1))


def _shares_of_rows(x: Tensor, p: Tensor) -> Shares | None:
    """Return how rows of scores are distributed."""
    places = _places(len(p), p.device)
    x, p = x[places].double(), p[places].double()
    keys = (x > x.amax(1, keepdim=True) - _MASKED).sum(1)
    enough = keys >= _FEWEST_KEYS
    if int(enough.sum()) < _FEWEST_ROWS or not bool(p.isfinite().all()):
        return None
    x, p, keys = x[enough], p[enough], keys[enough]
    gradient = float((1 - p.square().sum(1)).mean())
    return Shares(len(p), int(keys.median()), float(p.amax(1).median()), gradient)


_FEWEST_KEYS = 6
"""With fewer keys, one that has most of the weight is nothing unusual."""
_FEWEST_ROWS = 30
_MASKED = 1000.0
"""A score so far below the largest is a mask."""


def _few_rows(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1, tensor.shape[-1])[:_ROWS].double().clone()


_SMALL = 4096
"""Constants of arithmetic, such as a scale or the values of bins, have few elements; data have more."""

_ITEMS = 32
_ROWS = 16
"""Enough to tell a straight line from anything else."""


def _zero_gradient(step: Step, z: Tensor) -> ZeroGradient:
    function = saturating_functions()[step.function]
    with torch.enable_grad():
        found = _slope(function, z)
        true = _slope(function, z.double())
    least = torch.finfo(z.dtype).tiny * torch.finfo(z.dtype).eps  # the smallest that the dtype can hold
    lost = (found == 0) & (true.abs() > least)
    return ZeroGradient(z.numel(), int(lost.sum()), str(z.dtype).removeprefix("torch."))


def _slope(function: Any, z: Tensor) -> Tensor:
    z = z.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(z).sum(), z)
    return slope
