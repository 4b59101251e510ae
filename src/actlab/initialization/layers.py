"""The layers of a pass whose weights can be drawn: one for each weight, tied weights once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, final

import torch
from torch import Tensor

from actlab.initialization.draws import normal, orthogonal, orthogonal_kernel
from actlab.initialization.passes import ATTENTION, EMBEDDINGS, NORMS, RECURRENT, Pass
from actlab.rules.construction.layers import weight_of
from actlab.rules.dataflow import biased, data_of, is_layer, parameter_behind, parameters_of
from actlab.sites.recognize.torch_ops import CONVOLUTIONS
from actlab.sites.trace.trace import Step

Role = Literal["layer", "embedding", "attention", "recurrent", "norm"]


@final
@dataclass(frozen=True)
class Layer:
    """A call that reads weights.

    Attributes:
        step: the first such call.
        role: how its weights are drawn.
        path: the dotted path of its module.
        weights: the names of the weights that it draws.
        biases: the names of its biases, and of the shift of a normalization.
        data: the number of the value that it reads.
        output: the number of its result, without a bias that is added by a step of its own.
        is_bias_apart: whether a step of its own adds the bias.
        embeds: whether an embedding reads the weights too.
    """

    step: Step
    role: Role
    path: str
    weights: tuple[str, ...]
    biases: tuple[str, ...]
    data: int
    output: int
    is_bias_apart: bool = False
    embeds: bool = False

    @property
    def kind(self) -> str:
        """What it computes."""
        if self.role == "attention":
            return "attention"
        return {"addmm": "linear", "mm": "linear", "matmul": "linear", "einsum": "linear"}.get(
            self.step.function, self.step.function
        )


def layers_of(of: Pass) -> list[Layer]:
    """Return the layers whose weights are known, in the order of their calls; each weight belongs to one of them."""
    found: dict[tuple[str, ...], Layer] = {}
    embedded = {
        name for step in of.trace.steps if step.function in EMBEDDINGS for name in parameters_of(of.trace, step)
    }
    for step in of.trace.steps:
        if step.part != "model":
            continue
        layer = _layer(of, step)
        if layer is None or not layer.weights:
            continue
        known = found.get(layer.weights)
        if known is None or (known.role == "embedding" and layer.role == "layer"):
            found.pop(layer.weights, None)
            is_tied = layer.role == "layer" and not embedded.isdisjoint(layer.weights)
            found[layer.weights] = replace(layer, embeds=is_tied)
    taken: set[str] = set()
    kept = []
    for layer in sorted(found.values(), key=lambda each: each.step.place):
        if taken.isdisjoint(layer.weights):
            taken.update(layer.weights)
            kept.append(layer)
    return kept


def _layer(of: Pass, step: Step) -> Layer | None:
    trace = of.trace
    names = parameters_of(trace, step)
    if not names or not step.outputs:
        return None
    shapes = {name: of.context.parameters[name].dim() for name in names if name in of.context.parameters}
    matrices = tuple(name for name in names if shapes.get(name, 0) > 1)
    vectors = tuple(name for name in names if shapes.get(name) == 1)
    path = _owner(names)
    data = data_of(trace, step)
    if step.function in EMBEDDINGS:
        return Layer(step, "embedding", path, matrices, (), step.inputs[0], step.outputs[0])
    if data is None:
        return None
    if step.function == ATTENTION:
        return Layer(step, "attention", path, matrices, vectors, data, step.outputs[0])
    if step.function in RECURRENT:
        return Layer(step, "recurrent", path, matrices, vectors, data, step.outputs[0])
    if step.function in NORMS:
        weights = tuple(name for name in names if name == _scale(of, step))
        shift = tuple(name for name in names if name not in weights)
        return Layer(step, "norm", path, weights, shift, data, step.outputs[0])
    if is_layer(trace, step) and weight_of(of.context, step) is not None:
        apart = _bias_apart(of, step)
        return Layer(step, "layer", path, matrices[:1], vectors or apart, data, step.outputs[0], bool(apart))
    return None


def _owner(names: tuple[str, ...]) -> str:
    """Return the module that holds all the parameters; for one parameter of the model itself, its name."""
    owners = {name.rpartition(".")[0] for name in names}
    if len(names) == 1:
        return owners.pop() or names[0]
    if len(owners) == 1:
        return owners.pop()
    parts = [owner.split(".") for owner in owners]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return ".".join(shared)


def _scale(of: Pass, step: Step) -> str:
    """Return the name of the weight of a normalization: the first parameter that it reads and that is not its bias."""
    named = [parameter_behind(of.trace, value) for value in step.inputs]
    return next((name for name in named if name and not name.endswith("bias")), "")


def _bias_apart(of: Pass, step: Step) -> tuple[str, ...]:
    """Return the bias that a step of its own adds to the layer's result."""
    for reader in of.trace.readers(step.outputs[0]):
        if biased(of.trace, reader) == step.outputs[0] and len(reader.inputs) == 2:
            return tuple(name for value in reader.inputs if (name := parameter_behind(of.trace, value)))
    return ()


@final
@dataclass(frozen=True)
class Draw:
    """A way to draw the weights of a layer.

    Attributes:
        is_orthogonal: whether matrices are orthogonal; else weights are independent.
        generator: the source of random numbers; None for PyTorch's own.
    """

    is_orthogonal: bool
    generator: torch.Generator | None

    def matrix(self, rows: int, columns: int) -> Tensor:
        """Return a matrix, outputs first, with a mean square of 1/columns."""
        if self.is_orthogonal:
            return orthogonal(rows, columns, generator=self.generator)
        return normal((rows, columns), fan_in=columns, generator=self.generator)

    def blocks(self, rows: int, columns: int, *, count: int) -> Tensor:
        """Return so many matrices above each other."""
        return torch.cat([self.matrix(rows // count, columns) for _ in range(count)])


def draw(of: Pass, layer: Layer, how: Draw) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each weight, as a view with its outputs first, and what it is to be with a gain of 1."""
    named = of.context.parameters
    match layer.role:
        case "layer":
            weight = weight_of(of.context, layer.step)
            assert weight is not None
            yield weight, _of_layer(of, layer, weight, how)
        case "embedding":
            weight = named[layer.weights[0]]
            yield weight, normal(weight.shape, fan_in=1, generator=how.generator)
        case "attention":
            for name in layer.weights:
                weight = named[name]
                parts = 3 if name.endswith("in_proj_weight") else 1
                if weight.dim() == 2:
                    yield weight, how.blocks(*weight.shape, count=parts)
        case "recurrent":
            for name in layer.weights:
                yield named[name], _of_recurrent(layer, name, named[name], how)
        case "norm":
            yield named[layer.weights[0]], torch.ones(named[layer.weights[0]].shape)


def _of_layer(of: Pass, layer: Layer, weight: Tensor, how: Draw) -> Tensor:
    step, shape = layer.step, weight.shape
    recurrent = layer.weights[0].rpartition(".")[2].startswith("weight_hh")
    if recurrent:  # of a cell that consists of single calls
        return _of_recurrent(layer, layer.weights[0], weight, how)
    if step.function not in CONVOLUTIONS:
        if weight.dim() == 2:
            return how.matrix(*shape)
        return normal(shape, fan_in=prod(shape[1:]), generator=how.generator)  # bilinear
    space = shape[2:]
    strides = of.setting(step, "stride", 3, 1)
    strides = strides if isinstance(strides, tuple) else (strides,) * len(space)
    is_transposed = "transpose" in step.function
    groups = int(of.setting(step, "groups", 6, 1))
    fan_in = float(shape[1] * prod(space))
    if is_transposed:  # each output sums only the taps that its place meets
        fan_in = max(shape[0] / groups * prod(space) / prod(strides), 1.0)
    if not how.is_orthogonal:
        return normal(shape, fan_in=fan_in, generator=how.generator)
    is_delta = not is_transposed and prod(strides) == 1 and all(size % 2 for size in space)
    return orthogonal_kernel(shape, groups=groups, fan_in=fan_in, is_delta=is_delta, generator=how.generator)


def _of_recurrent(layer: Layer, name: str, weight: Tensor, how: Draw) -> Tensor:
    """Return input weights as the method draws them, and recurrent weights orthogonal, gate by gate."""
    last = name.rpartition(".")[2]
    rows, columns = weight.shape
    if last.startswith("weight_hr"):  # a projection of the state
        return orthogonal(rows, columns, generator=how.generator)
    blocks = RECURRENT.get(layer.step.function, max(rows // columns, 1))
    way = Draw(True, how.generator) if last.startswith("weight_hh") else how
    return way.blocks(rows, columns, count=blocks)
