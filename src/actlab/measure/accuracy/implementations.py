"""What a certificate is about: a forward pass, and a backward pass for an incoming gradient of 1."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType, MappingProxyType
from typing import Any, final

import torch
from torch import Tensor

from actlab.errors import BadInput
from actlab.extras_import import need
from actlab.formula.activation import Activation
from actlab.kernels.elementwise.native_reference import twin_of
from actlab.kernels.elementwise.strategies import Mode
from actlab.lower.straight_line import Leaf
from actlab.nn.modules import module
from actlab.nn.operator import apply, pointwise_of

Forward = Callable[..., Tensor]
Backward = Callable[..., tuple[Tensor, ...]]


@final
@dataclass(frozen=True)
class Contender:
    """A program of an activation, in a form that can be measured.

    Attributes:
        name: what it is.
        forward: the values of tensors of one shape and dtype, one tensor an argument.
        backward: the derivatives by each argument, likewise; none of a program without a backward pass.
    """

    name: str
    forward: Forward
    backward: Backward


def differentiated(name: str, function: Forward) -> Contender:
    """A function that PyTorch can differentiate."""

    def backward(*tensors: Tensor) -> tuple[Tensor, ...]:
        leaves = [tensor.detach().requires_grad_() for tensor in tensors]
        with torch.enable_grad():
            y = function(*leaves)
        if not y.requires_grad:
            return tuple(torch.zeros_like(leaf) for leaf in leaves)
        return torch.autograd.grad(y, leaves, torch.ones_like(y), materialize_grads=True)

    def forward(*tensors: Tensor) -> Tensor:
        with torch.no_grad():
            return function(*tensors)

    return Contender(name, forward, backward)


def ours(act: Activation, *, mode: Mode) -> Contender:
    """What `actlab.functional` and `actlab.module` run."""
    made = pointwise_of(act, mode=mode)
    return differentiated("actlab", lambda *tensors: apply(made, *tensors))


def ours_of_params(act: Activation, *, mode: Mode) -> tuple[Contender, tuple[Leaf, ...]]:
    """The same as a function of the inputs and of every parameter, each a tensor of the inputs' shape."""
    made = pointwise_of(act, tuple(param.name for param in act.params), mode=mode)
    return differentiated("actlab", lambda *tensors: apply(made, *tensors)), made.args


def composite(act: Activation) -> Contender:
    """The formula as PyTorch operations one after another: what runs where kernels cannot."""
    made = pointwise_of(act)

    def in_single(function: Callable[..., Any], *tensors: Tensor) -> tuple[Tensor, ...]:
        dtype = tensors[0].dtype
        wide = [tensor.float() if dtype.itemsize == 2 else tensor for tensor in tensors]
        results = function(*wide)
        every = results if isinstance(results, tuple) else (results,)
        return tuple(each.expand(tensors[0].shape).to(dtype) for each in every)

    return Contender(
        "composite",
        lambda *tensors: in_single(made.value, *tensors)[0],
        lambda *tensors: in_single(made.slopes, *tensors),
    )


def theirs(act: Activation) -> Contender:
    """PyTorch's own function of the same name, with PyTorch's own derivative.

    Raises:
        BadInput: PyTorch has none.
    """
    if twin_of(act) is None or not str(act.twin).startswith("torch."):
        raise BadInput(f"PyTorch has no {act.label} of its own to compare with; leave `--against torch` out.")

    def twin(*tensors: Tensor) -> Tensor:
        function = twin_of(act, dtype=tensors[0].dtype)
        assert function is not None
        if len(tensors) == 1:
            return function(*tensors)
        return function(torch.stack(tensors, dim=-1), dim=-1).squeeze(-1)

    return differentiated("torch", twin)


def compiled(act: Activation) -> Contender:
    """What `torch.compile` makes of `actlab.functional`, forward and backward from one compilation.

    Raises:
        BadInput: there is no C++ compiler for it to call.
    """
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise BadInput("torch.compile needs a C++ compiler, and none was found; leave --compiled out.")
    made = pointwise_of(act)

    def fused(*tensors: Tensor) -> Tensor:
        return apply(made, *tensors)

    # with code of its own, because PyTorch gives up on code that it has compiled many times for other activations
    fresh = FunctionType(fused.__code__.replace(), fused.__globals__, closure=fused.__closure__)
    function = torch.compile(fresh, fullgraph=True, dynamic=False)
    through = differentiated("compiled", function)

    def forward(*tensors: Tensor) -> Tensor:
        with torch.enable_grad():  # the graph that also learns, so that there is no second one
            result: Tensor = function(*(tensor.detach().requires_grad_() for tensor in tensors))
            return result.detach()

    return Contender("compiled", forward, through.backward)


def exported(act: Activation) -> Contender:
    """The activation exported to ONNX and run by ONNX Runtime, which has no backward pass; in float32.

    Raises:
        MissingExtra: the packages for it are not installed.
    """
    runtime = need("onnxruntime", extra="onnx")
    need("onnxscript", extra="onnx")
    network = module(act, layout="two" if len(act.inputs) == 2 else None).eval()
    example = tuple(torch.linspace(-1, 1, 8) for _ in act.inputs)
    sizes = tuple({0: torch.export.Dim("size", min=2)} for _ in act.inputs)
    with _quiet(logging.getLogger("torch.onnx")):
        graph = torch.onnx.export(network, example, dynamo=True, verbose=False, dynamic_shapes=sizes)
    assert graph is not None
    session = runtime.InferenceSession(graph.model_proto.SerializeToString())
    names = [each.name for each in session.get_inputs()]

    def forward(*tensors: Tensor) -> Tensor:
        if tensors[0].dtype != torch.float32:
            raise BadInput(f"ONNX Runtime is measured in float32 alone; got {tensors[0].dtype}. Leave --onnx out.")
        given = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
        return torch.from_numpy(session.run(None, given)[0])

    return Contender("onnx", forward, lambda *_: ())


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Without the exporter's remarks on packages that are not installed, and on its own future."""
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(before)


OTHERS: Mapping[str, Callable[[Activation], Contender]] = MappingProxyType(
    {"torch": theirs, "composite": composite, "compiled": compiled, "onnx": exported}
)
