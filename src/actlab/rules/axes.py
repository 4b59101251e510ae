"""Follow the axes of tensors through a pass: which axis of the input, or which layer, each axis comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from math import prod
from typing import Any, final

from actlab.rules.dataflow import is_layer, parameter_behind
from actlab.sites.recognize.torch_ops import CONVOLUTIONS
from actlab.sites.trace.trace import Step, Trace

Source = tuple[Any, ...]
"""Where an axis begins, such as `("input", 0, 1)`: axis 1 of value 0, an input of the model."""
Axis = tuple[tuple[Source, int], ...]
"""The factors of an axis with their lengths, the slowest first: flattening batch and time gives an axis of two."""
Axes = tuple[Axis, ...]

REDUCTIONS = frozenset({"sum", "mean", "nansum", "nanmean", "prod", "logsumexp", "amax", "amin", "max", "min", "argmax",
                        "norm", "linalg_vector_norm", "var", "std", "median", "any", "all"})  # fmt: skip
CONTRACTIONS = frozenset({"matmul", "mm", "bmm", "mv"})
_RESHAPES = frozenset({"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as"})
_PICKS = frozenset({"getitem", "chunk", "split", "select", "narrow", "unbind", "index_select", "tensor_split", "topk"})
_POOLS = frozenset({"max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
                    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d",
                    "interpolate", "pad"})  # fmt: skip
_NORMS = frozenset({"batch_norm", "instance_norm", "group_norm", "layer_norm", "rms_norm", "local_response_norm"})
_RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})
_ATTENTION = frozenset({"scaled_dot_product_attention", "multi_head_attention_forward"})


@final
@dataclass(frozen=True)
class Followed:
    """What became of some axes.

    Attributes:
        axes: by value, its axes; values of which nothing is known are left out.
        summed: by the place of a step that sums over axes, where those begin.
        steps: the steps that read these values, in order.
    """

    axes: Mapping[int, Axes]
    summed: Mapping[int, frozenset[Source]]
    steps: tuple[Step, ...]

    def own_summed(self, steps: Iterable[Step]) -> frozenset[tuple[int, int]]:
        """Return the axes and factors of the value followed by `of_value` that the steps sum over."""
        found = (source for step in steps for source in self.summed.get(step.place, ()))
        return frozenset((source[1], source[2]) for source in found if source[0] == "own")


def of_inputs(trace: Trace) -> Followed:
    """Follow every axis of the model's inputs and layers."""
    seeds: dict[int, Axes] = {}
    for value in trace.values:
        kind, _, name = value.origin.partition(" ")
        if kind in {"input", "parameter", "buffer"}:
            first = value.number if kind == "input" else name
            seeds[value.number] = tuple((((kind, first, at), size),) for at, size in enumerate(value.shape))
    return _followed(trace, seeds, through_layers=True)


def of_value(trace: Trace, value: int, like: Axes | None) -> Followed:
    """Follow the axes of one value up to the next layers; factor 0 of its axis 1 begins at `("own", 1, 0)`.

    Args:
        trace: the pass.
        value: the number of the value.
        like: its axes, which say how each is composed; None if they are unknown.
    """
    axes = like or tuple(((("unknown",), size),) for size in trace.values[value].shape)
    seeds = {
        value: tuple(
            tuple((("own", at, factor), size) for factor, (_, size) in enumerate(axis)) for at, axis in enumerate(axes)
        )
    }
    return _followed(trace, seeds, through_layers=False)


def sources(axis: Axis) -> frozenset[Source]:
    """Return where the factors of an axis begin."""
    return frozenset(source for source, _ in axis)


def _followed(trace: Trace, seeds: dict[int, Axes], *, through_layers: bool) -> Followed:
    """Follow the axes from step to step, in order, along the values of which they are known."""
    known, summed, steps = dict(seeds), dict[int, frozenset[Source]](), list[Step]()
    waiting = sorted({reader.place for value in seeds for reader in trace.readers(value)})
    queued = set(waiting)
    while waiting:
        step = trace.steps[heappop(waiting)]
        steps.append(step)
        if is_layer(trace, step) and not through_layers:
            continue
        through = _Pass(trace, step, known)
        for at, value in enumerate(step.outputs):
            found = through.output(at)
            if found is None or len(found) != len(trace.values[value].shape):
                continue
            known[value] = found
            for reader in trace.readers(value):
                if reader.place not in queued:
                    queued.add(reader.place)
                    heappush(waiting, reader.place)
        if through.summed:
            summed[step.place] = frozenset(through.summed)
    return Followed(known, summed, tuple(steps))


class _Pass:
    """One step: from the axes of its inputs to those of its outputs, and what it sums over."""

    def __init__(self, trace: Trace, step: Step, known: Mapping[int, Axes]) -> None:
        self.trace, self.step = trace, step
        self.inputs = [known.get(value) for value in step.inputs]
        self.shapes = [trace.values[value].shape for value in step.inputs]
        self.summed: set[Source] = set()

    def output(self, at: int) -> Axes | None:
        """Return the axes of an output; None if they are unknown."""
        name, shape = self.step.function, self.trace.values[self.step.outputs[at]].shape
        if is_layer(self.trace, self.step):
            return self._of_layer(shape)
        if name == "einsum":
            return self._of_einsum(shape)
        if name in CONTRACTIONS or name in {"baddbmm", "addmm"}:
            return self._of_product(0 if name in CONTRACTIONS else 1, shape)
        handlers: dict[str, Callable[[int, tuple[int, ...]], Axes | None]] = {
            "embedding": self._of_embedding,
            "stack": self._of_stack,
            "cat": self._of_cat,
            **dict.fromkeys(_RECURRENT, self._of_recurrent),
            **dict.fromkeys(_ATTENTION, self._of_attention),
        }
        return handlers.get(name, self._of_moved)(at, shape)

    def _of_moved(self, at: int, shape: tuple[int, ...]) -> Axes | None:
        name, axes = self.step.function, self.inputs[0]
        if axes is None:
            return self._broadcast(shape)
        order = _order(self.step, len(axes))
        if order is not None:
            return tuple(axes[each] for each in order)
        if name in _NORMS:
            return axes
        if name in _RESHAPES:
            return _reshaped(axes, shape, self.step.place)
        if name in _PICKS:
            return self._of_pick(axes, shape)
        if name in REDUCTIONS and len(self.step.inputs) == 1:
            return self._of_reduction(axes, at)
        if name in _POOLS:
            return tuple(
                axis if size == length else _resized(axis, size)
                for axis, size, length in zip(axes, shape, self.shapes[0], strict=True)
            )
        if name in {"expand", "expand_as", "broadcast_to", "repeat", "tile"}:
            return _aligned(axes, self.shapes[0], shape, self.step.place)
        return self._broadcast(shape)

    def _broadcast(self, shape: tuple[int, ...]) -> Axes | None:
        """Return the axes of an element-wise result: those of the first input that is as long there."""
        if any(len(each) > len(shape) for each in self.shapes):
            return None
        result: list[Axis] = []
        for back in range(len(shape), 0, -1):
            found: list[Axis] = []
            for axes, given in zip(self.inputs, self.shapes, strict=True):
                if back <= len(given) and given[-back] not in {1, shape[-back]}:
                    return None
                if axes is not None and back <= len(given) and given[-back] == shape[-back]:
                    found.append(axes[-back])
            found.sort(key=_is_of_weights)  # data first
            if shape[-back] == 1:
                result.append(tuple(dict.fromkeys(factor for axis in found for factor in axis)))
            else:
                result.append(found[0] if found else _hidden(self.step.place, shape[-back]))
        return tuple(result)

    def _of_layer(self, shape: tuple[int, ...]) -> Axes | None:
        at = next((at for at, value in enumerate(self.step.inputs) if not parameter_behind(self.trace, value)), None)
        axes = None if at is None else self.inputs[at]
        if axes is None or at is None:
            return None
        made = (("layer", self.step.place),)
        if self.step.function not in CONVOLUTIONS:
            return (*axes[:-1], ((*made, shape[-1]),))
        space = [
            axis if size == length else _resized(axis, size)
            for axis, size, length in zip(axes[2:], shape[2:], self.shapes[at][2:], strict=False)
        ]
        return (axes[0], ((*made, shape[1]),), *space) if len(axes) == len(shape) > 2 else None

    def _of_product(self, start: int, shape: tuple[int, ...]) -> Axes | None:
        left, right = self.inputs[start : start + 2]
        one, two = self.shapes[start : start + 2]
        if not one or not two:
            return None
        left = left if left is not None else _unknown(one, self.step.place)
        right = right if right is not None else _unknown(two, self.step.place)
        self.summed |= sources(left[-1]) | sources(right[-2] if len(two) > 1 else right[-1])
        rows = () if len(one) == 1 else (left[-2],)
        columns = () if len(two) == 1 else (right[-1],)
        count = len(shape) - len(rows) - len(columns)
        outer: list[Axis] = []
        for back in range(count, 0, -1):
            places = [(axes[-2 - back], given[-2 - back]) for axes, given in ((left, one), (right, two))
                      if len(given) >= 2 + back]  # fmt: skip
            if len(two) == 1:
                places = [(left[count - back], one[count - back])]
            fitting = [axis for axis, size in places if size == shape[count - back]]
            fitting.sort(key=_is_new)
            outer.append(fitting[0] if fitting else _hidden(self.step.place, shape[count - back]))
        return (*outer, *rows, *columns)

    def _of_einsum(self, shape: tuple[int, ...]) -> Axes | None:
        equation = next((value for value in self.step.arguments.values() if isinstance(value, str)), "")
        left, arrow, right = equation.replace(" ", "").partition("->")
        terms = left.split(",")
        if not arrow or "." in equation or len(terms) != len(self.inputs):
            return None
        found: dict[str, Axis] = {}
        for term, axes, given in zip(terms, self.inputs, self.shapes, strict=True):
            axes = axes if axes is not None else _unknown(given, self.step.place)
            for letter, axis in zip(term, axes, strict=False):
                if letter not in found or _is_new(found[letter]) or _is_of_weights(found[letter]):
                    found[letter] = axis
                if letter not in right:
                    self.summed |= sources(axis)
        return tuple(found[letter] for letter in right if letter in found)

    def _of_reduction(self, axes: Axes, at: int) -> Axes | None:
        dims = self.step.arguments.get("dim", self.step.arguments.get("axis", self.step.arguments.get("1")))
        if dims is None:
            dims = tuple(range(len(axes)))
        if isinstance(dims, bool) or not isinstance(dims, int | tuple):
            return None
        gone = {each % len(axes) for each in (dims if isinstance(dims, tuple) else (dims,)) if axes}
        if at == 0:
            self.summed |= {source for each in gone for source in sources(axes[each])}
        keeps = len(self.trace.values[self.step.outputs[0]].shape) == len(axes)
        kept = [_new(self.step.place, 1) if each in gone else axis for each, axis in enumerate(axes)]
        return tuple(axis for each, axis in enumerate(kept) if keeps or each not in gone)

    def _of_pick(self, axes: Axes, shape: tuple[int, ...]) -> Axes | None:
        given = self.shapes[0]
        if len(self.step.inputs) > 1:
            return None  # by numbers in a tensor: in another order, perhaps repeated
        long = [size for size in given if size != 1]
        if [size for size in shape if size != 1] == long:
            return _reshaped(axes, shape, self.step.place)
        if len(shape) == len(given):
            return tuple(
                axis if size == length else _resized(axis, size)
                for axis, size, length in zip(axes, shape, given, strict=True)
            )
        index = self.step.arguments.get("index", self.step.arguments.get("dim", 0))
        if self.step.function in {"getitem", "unbind"} and isinstance(index, int) and shape == given[1:] and (
            self.step.function == "getitem" or index == 0
        ):  # fmt: skip
            return axes[1:]
        ways = list(_subsequences(shape, given))
        return tuple(axes[each] for each in ways[0]) if len(ways) == 1 else None

    def _of_embedding(self, at: int, shape: tuple[int, ...]) -> Axes | None:
        axes = self.inputs[0] if len(self.shapes[0]) == len(shape) - 1 else self.inputs[-1]
        return None if axes is None else (*axes, ((("layer", self.step.place), shape[-1]),))

    def _of_recurrent(self, at: int, shape: tuple[int, ...]) -> Axes | None:
        axes = self.inputs[0]
        if axes is None or len(axes) != 3 or len(shape) != 3:
            return None
        made: Axis = ((("layer", self.step.place), shape[-1]),)
        if at == 0:
            return (*axes[:-1], made)
        fitting = [axis for axis, size in zip(axes[:2], self.shapes[0][:2], strict=True) if size == shape[1]]
        return (_hidden(self.step.place, shape[0]), fitting[0], made) if len(fitting) == 1 else None

    def _of_attention(self, at: int, shape: tuple[int, ...]) -> Axes | None:
        axes = self.inputs[0]
        made: Axis = ((("layer", self.step.place), shape[-1]),)
        return None if axes is None or at > 0 or len(axes) != len(shape) else (*axes[:-1], made)

    def _of_stack(self, at: int, shape: tuple[int, ...]) -> Axes | None:
        dim = self.step.arguments.get("dim", 0)
        axes = next((each for each in self.inputs if each is not None), None)
        if axes is None or not isinstance(dim, int):
            return None
        dim %= len(shape)
        return (*axes[:dim], _hidden(self.step.place, shape[dim]), *axes[dim:])

    def _of_cat(self, at: int, shape: tuple[int, ...]) -> Axes | None:
        known = [axes for axes in self.inputs if axes is not None and len(axes) == len(shape)]
        dim = self.step.arguments.get("dim", 0)
        if not known or not isinstance(dim, int):
            return None
        dim %= len(shape)
        return tuple(_hidden(self.step.place, shape[at]) if at == dim else axis for at, axis in enumerate(known[0]))


def _order(step: Step, count: int) -> list[int] | None:
    """Return the axes in their new order if the step permutes them."""
    order, named = list(range(count)), step.arguments
    numbers = [value for value in named.values() if isinstance(value, int)]
    if step.function in {"T", "t", "mT", "H", "mH"} and count > 1:
        numbers = [-1, -2]
    elif step.function == "permute":
        dims = next((value for value in named.values() if isinstance(value, tuple)), tuple(numbers))
        return [each % count for each in dims] if len(dims) == count else None
    elif step.function in {"movedim", "moveaxis"} and len(numbers) == 2:
        order.insert(numbers[1] % count, order.pop(numbers[0] % count))
        return order
    elif step.function not in {"transpose", "swapaxes", "swapdims"}:
        return None
    if len(numbers) != 2:
        return None
    one, two = (each % count for each in numbers)
    order[one], order[two] = order[two], order[one]
    return order


def _reshaped(axes: Axes, shape: tuple[int, ...], place: int) -> Axes:
    """Distribute the factors over another shape; an axis is split where the new shape cuts it."""
    ones = tuple(dict.fromkeys(factor for axis in axes for factor in axis if factor[1] == 1))
    left = [factor for axis in axes for factor in axis if factor[1] != 1]
    if prod(size for _, size in left) != prod(shape):
        return _unknown(shape, place)
    result: list[Axis] = []
    for size in shape:
        if size == 1:
            result.append(ones or _new(place, 1))
            continue
        taken, wanted = [], size
        while wanted > 1:
            source, length = left.pop(0)
            if wanted % length and length % wanted:
                return _unknown(shape, place)
            part = min(length, wanted)
            taken.append((source, part))
            if part < length:
                left.insert(0, (source, length // part))
            wanted //= part
        result.append(tuple(taken))
    return tuple(result)


def _aligned(axes: Axes, given: tuple[int, ...], shape: tuple[int, ...], place: int) -> Axes:
    """Return the axes after an expansion: new ones in front, those of length 1 repeated."""
    front = [_hidden(place, size) for size in shape[: len(shape) - len(given)]]
    back = [
        axis if size == length else _hidden(place, size)
        for axis, size, length in zip(axes, shape[len(front) :], given, strict=True)
    ]
    return (*front, *back)


def _subsequences(shape: tuple[int, ...], given: tuple[int, ...], start: int = 0) -> Iterator[tuple[int, ...]]:
    """Yield each way to pick axes of these lengths, in order."""
    if not shape:
        yield ()
        return
    for at in range(start, len(given)):
        if given[at] == shape[0]:
            for rest in _subsequences(shape[1:], given, at + 1):
                yield (at, *rest)


def _resized(axis: Axis, size: int) -> Axis:
    return ((axis[0][0], size),) if len(axis) == 1 else ((("part", *sorted(map(str, sources(axis)))), size),)


def _new(place: int, size: int) -> Axis:
    """Return an axis that the code adds."""
    return ((("new", place), size),)


def _hidden(place: int, size: int) -> Axis:
    """Return an axis of which it is unknown where it begins."""
    return ((("unknown", place), size),)


def _unknown(shape: tuple[int, ...], place: int) -> Axes:
    return tuple(_hidden(place, size) for size in shape)


def _is_new(axis: Axis) -> bool:
    return all(source[0] in {"new", "unknown"} for source in sources(axis))


def _is_of_weights(axis: Axis) -> bool:
    return all(source[0] in {"parameter", "buffer", "new", "unknown"} for source in sources(axis))
