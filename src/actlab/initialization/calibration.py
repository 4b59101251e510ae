"""Scale the weights of a model while it runs, layer by layer, so that each layer's output has the size aimed at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional

from actlab.errors import BadInput
from actlab.initialization.aims import Aim
from actlab.initialization.layers import Layer
from actlab.initialization.passes import Pass
from actlab.rules.construction.layers import weight_of
from actlab.sites.recognize.torch_ops import CONVOLUTIONS
from actlab.sites.trace.calls import tensors_in
from actlab.sites.trace.recorder import Repeated
from actlab.sites.trace.trace import Step

_SCALED = frozenset({"layer", "attention", "norm"})
# A smaller correction is left out: a result that is not scaled is bit for bit that of the weights.
_EXACT = 1e-6
# Units whose variance is below this share of their mean square vary too little to be divided by it.
_CONSTANT = 1e-6


@final
class Calibration:
    """An observer of a pass that scales the weights of each layer, and its result, once.

    Attributes:
        measured: by number, the mean squares of values.
        scales: by the place of a layer, the factor on its weights; NaN if its output is 0.
    """

    def __init__(
        self,
        of: Pass,
        layers: Sequence[Layer],
        aims: Mapping[int, Aim],
        *,
        wanted: frozenset[int],
        statistic: str = "mean square",
    ) -> None:
        self.measured: dict[int, float] = {}
        self.scales: dict[int, float] = {}
        self._of, self._aims, self._wanted, self._statistic = of, aims, wanted, statistic
        self._layers = {layer.step.place: layer for layer in layers}
        self._data = {layer.step.place: layer.data for layer in layers}

    def __call__(
        self, step: Step, read: tuple[Tensor, ...], made: tuple[Tensor, ...], repeated: Repeated | None = None
    ) -> None:
        """Take note of a step, and scale its result if it is that of a layer."""
        steps = self._of.trace.steps
        known = steps[step.place] if step.place < len(steps) else None
        if known is None or (step.function, step.outputs) != (known.function, known.outputs):
            raise BadInput(
                "the model takes another way in its second pass, so its layers cannot be scaled one by one. Make its"
                " forward repeatable."
            )
        with torch.no_grad():
            if (data := self._data.get(step.place)) is not None and data in step.inputs:
                self.measured.setdefault(data, mean_square(read[step.inputs.index(data)]))
            layer = self._layers.get(step.place)
            if layer is not None:
                self._scale(layer, made[0])
            for number, tensor in zip(step.outputs, made, strict=True):
                if number in self._wanted:
                    self.measured[number] = mean_square(tensor)

    def aim(self, layer: Layer) -> float:
        """Return the mean square that the layer's output is set to."""
        return self._aims[layer.step.place].value(self.measured)

    def _scale(self, layer: Layer, result: Tensor) -> None:
        aim, weights = self.aim(layer), self._weights(layer)
        if layer.role == "norm" and self._aims[layer.step.place].rule == "whole" and aim == 1:
            return
        if layer.role == "embedding":
            self._by(layer, math.sqrt(aim), weights, result)
        elif layer.role in _SCALED and not _is_recurrent(layer):
            if self._statistic == "unit" and layer.role == "layer" and not layer.embeds and result.dim() > 1:
                self._by_unit(layer, aim, result)
                return
            size = mean_square(result)
            if self._statistic == "variance" and layer.role == "layer":
                size = float(result.detach().float().var(correction=0))
            if not math.isfinite(size):
                raise BadInput(f"the output of {layer.path or 'the model'} is not finite on the batch.")
            if size == 0:
                self.scales[layer.step.place] = math.nan
                return
            factor = math.sqrt(aim / size)
            if abs(factor - 1) > _EXACT:
                self._by(layer, factor, weights, result)

    def _by(self, layer: Layer, factor: float, weights: Sequence[Tensor], result: Tensor) -> None:
        for tensor in weights:
            tensor.mul_(factor)
        result.mul_(factor)
        self.scales[layer.step.place] = factor

    def _weights(self, layer: Layer) -> list[Tensor]:
        """Return the parameters to which the result is proportional."""
        named = self._of.context.parameters
        if layer.role == "attention":
            return [named[name] for name in layer.weights if name.endswith("out_proj.weight")]
        biases = () if layer.is_bias_apart or layer.role == "attention" else layer.biases
        return [named[name] for name in (*layer.weights, *biases)]

    def _by_unit(self, layer: Layer, aim: float, result: Tensor) -> None:
        """Scale and shift each unit to mean 0 and the variance aimed at, as far as it varies and has a bias."""
        axis = 1 if layer.step.function in CONVOLUTIONS else result.dim() - 1
        rest = [at for at in range(result.dim()) if at != axis]
        variance, mean = torch.var_mean(result.float(), dim=rest, correction=0)
        squares = variance + mean.square()
        named = self._of.context.parameters
        bias = named[layer.biases[0]] if layer.biases else None
        size = squares if bias is None else torch.where(variance > _CONSTANT * squares, variance, squares)
        whole = float(squares.mean())
        if not math.isfinite(whole):
            raise BadInput(f"the output of {layer.path or 'the model'} is not finite on the batch.")
        if whole == 0:
            self.scales[layer.step.place] = math.nan
            return
        size = torch.where(size > 0, size, whole)
        factor = (aim / size).sqrt()
        shift = torch.zeros_like(mean) if bias is None else torch.where(size == variance, -mean * factor, 0.0)
        _scale_outputs(self._of, layer, factor)
        broadcast = [-1 if at == axis else 1 for at in range(result.dim())]
        result.mul_(factor.to(result.dtype).view(broadcast))
        if bias is not None:
            bias.copy_(bias * factor.to(bias.dtype) + shift.to(bias.dtype))
            if not layer.is_bias_apart:
                result.add_(shift.to(result.dtype).view(broadcast))
        self.scales[layer.step.place] = float(factor.square().mean().sqrt())


def _scale_outputs(of: Pass, layer: Layer, factor: Tensor) -> None:
    """Multiply the weights of each output by its factor."""
    weight = weight_of(of.context, layer.step)
    assert weight is not None
    factor = factor.to(weight.dtype)
    if "transpose" not in layer.step.function:
        weight.mul_(factor.view(-1, *[1] * (weight.dim() - 1)))
        return
    groups = factor.numel() // weight.shape[1]
    grouped = weight.view(groups, -1, *weight.shape[1:])
    grouped.mul_(factor.view(groups, 1, weight.shape[1], *[1] * (weight.dim() - 2)))


def _is_recurrent(layer: Layer) -> bool:
    return layer.role == "layer" and layer.weights[0].rpartition(".")[2].startswith("weight_hh")


def mean_square(tensor: Tensor) -> float:
    """Return the mean square of all elements."""
    return float(tensor.detach().float().square().mean(dtype=torch.float64)) if tensor.numel() else 0.0


def fitted_calls(of: Pass, layers: Sequence[Layer], fitted: dict[int, float]) -> dict[Callable[..., Any], Any]:
    """Return what runs in place of fused calls: it scales the weights that read the input by its size first.

    Args:
        of: the pass.
        layers: its layers; of those that are fused, the input weights are scaled.
        fitted: filled with the factor on the weights, by the place of the layer.
    """
    named = of.context.parameters
    owners = {
        id(named[name]): layer
        for layer in layers
        for name in layer.weights
        if layer.role in {"attention", "recurrent"} and name in named
    }

    def fit(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            tensors = tensors_in((*args, kwargs))
            layer = next((owners[id(tensor)] for tensor in tensors if id(tensor) in owners), None)
            if layer is not None and layer.step.place not in fitted and tensors:
                size = mean_square(tensors[0])
                fitted[layer.step.place] = size**-0.5 if size > 0 else 1.0
                with torch.no_grad():
                    for name in layer.weights:
                        if _reads_input(name):
                            named[name].mul_(fitted[layer.step.place])
            return function(*args, **kwargs)

        return run

    functions = [functional.multi_head_attention_forward]
    functions += [getattr(torch._VF, name) for name in _FUSED]
    return {function: fit(function) for function in functions}


_FUSED = ("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")


def _reads_input(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last.endswith("proj_weight") or last in {"weight_ih", "weight_ih_l0", "weight_ih_l0_reverse"}
