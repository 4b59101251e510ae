"""The implementations of an activation whose accuracy or speed is compared."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from types import FunctionType, MappingProxyType
from typing import Any, Literal, final

import torch
from torch import Tensor

from actlab.errors import BadInput
from actlab.extras_import import need
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.expr import Input
from actlab.kernels.elementwise.native_choices import Part
from actlab.kernels.elementwise.native_operator import own_operator
from actlab.kernels.elementwise.native_reference import native_of
from actlab.kernels.elementwise.strategies import Mode
from actlab.lower.straight_line import Leaf
from actlab.lower.to_torch import program
from actlab.nn.functions import functional
from actlab.nn.modules import module
from actlab.nn.operator import apply, pointwise_of

AnyActivation = Activation | AxisActivation
Function = Callable[..., Any]
Derivatives = Callable[..., tuple[Tensor, ...]]


@final
@dataclass(frozen=True)
class Implementation:
    """One implementation of an activation.

    Attributes:
        name: its name in tables and in JSON.
        function: its values, of one tensor for each argument.
        derivatives: the derivatives by each argument for an incoming gradient of 1, empty if it has no backward pass;
            if left out, PyTorch differentiates `function`.
        mode: of actlab's kernels; empty for other implementations.
        is_packed: whether a gated unit takes value and gate side by side in one tensor.
    """

    name: str
    function: Function
    derivatives: Derivatives | None = None
    mode: str = ""
    is_packed: bool = False

    def forward(self, *tensors: Tensor) -> Tensor:
        """Compute the values for tensors of one shape and dtype."""
        values: Tensor = self.function(*tensors)
        return values.detach()

    def backward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Compute the derivatives by each argument for an incoming gradient of 1."""
        if self.derivatives is not None:
            return self.derivatives(*tensors)
        leaves = [tensor.detach().requires_grad_() for tensor in tensors]
        with torch.enable_grad():
            y = self.function(*leaves)
        if not y.requires_grad:
            return tuple(torch.zeros_like(leaf) for leaf in leaves)
        return torch.autograd.grad(y, leaves, torch.ones_like(y), materialize_grads=True)


def ours(act: AnyActivation, *, mode: Mode = "accurate") -> Implementation:
    """Return `actlab.functional`, which runs PyTorch's operator instead of a kernel if both give the same numbers."""
    return Implementation("actlab" if mode == "accurate" else f"actlab-{mode}", functional(act, mode=mode), mode=mode)


def kernels(act: Activation, *, mode: Mode) -> Implementation:
    """Return actlab's kernels."""
    return Implementation("actlab", partial(apply, pointwise_of(act, mode=mode)), mode=mode)


def by_operator(act: Activation, part: Part, *, mode: Mode) -> Implementation:
    """Return PyTorch's operator: values and gradient, or the values beside the kernel's gradient."""
    own = native(act)
    return own if part == "both" else Implementation("torch", own.function, kernels(act, mode=mode).backward)


def executed(act: Activation, *, mode: Mode) -> Implementation:
    """Return what runs: actlab's kernels, or PyTorch's operator where its numbers are others and it is preferred."""
    own = own_operator(act, mode)
    return kernels(act, mode=mode) if own is None or own.is_exact else replace(ours(act, mode=mode), name="actlab")


def kernels_of_params(act: Activation, *, mode: Mode) -> tuple[Implementation, tuple[Leaf, ...]]:
    """Return the kernels as a function of the inputs and of every parameter, all tensors of one shape."""
    made = pointwise_of(act, tuple(param.name for param in act.params), mode=mode)
    return Implementation("actlab", partial(apply, made), mode=mode), made.args


def composite(act: Activation) -> Implementation:
    """Return the formula and its derivatives as PyTorch operations: what actlab runs where there are no kernels."""
    made = pointwise_of(act)

    def in_single(function: Function, *tensors: Tensor) -> tuple[Tensor, ...]:
        dtype = tensors[0].dtype
        wide = [tensor.float() if dtype.itemsize == 2 else tensor for tensor in tensors]
        results = function(*wide)
        every = results if isinstance(results, tuple) else (results,)
        return tuple(each.expand(tensors[0].shape).to(dtype) for each in every)

    return Implementation(
        "composite",
        lambda *tensors: in_single(made.value, *tensors)[0],
        lambda *tensors: in_single(made.slopes, *tensors),
    )


def native(act: Activation) -> Implementation:
    """Return PyTorch's own function of the same name, with PyTorch's own derivative.

    Raises:
        BadInput: PyTorch has none.
    """
    if native_of(act) is None or not str(act.reference).startswith("torch."):
        raise BadInput(f"PyTorch does not have {act.label}; leave `--against torch` out.")

    def function(*tensors: Tensor) -> Tensor:
        of_dtype = native_of(act, dtype=tensors[0].dtype)
        assert of_dtype is not None
        if len(tensors) == 1:
            return of_dtype(*tensors)
        return of_dtype(torch.stack(tensors, dim=-1), dim=-1).squeeze(-1)

    return Implementation("torch", function)


def eager(act: AnyActivation, dtype: torch.dtype) -> Implementation:
    """Return what a user of PyTorch alone would run, with PyTorch's own derivatives.

    That is PyTorch's own function; if there is none, the operations of the formula one after another.
    """
    of_dtype = native_of(act, dtype=dtype)
    if of_dtype is not None:
        along = {"dim": -1} if isinstance(act, AxisActivation) else {}
        return Implementation("eager", partial(of_dtype, **along), is_packed=len(act.inputs) > 1)
    if isinstance(act, AxisActivation):
        along_axis: Function = program((act.expression,), (Input("x"),)).function
        return Implementation("eager", lambda x: along_axis(x, -1))
    return Implementation("eager", program((act.formula,), tuple(Input(name) for name in act.inputs)).function)


def has_own(act: AnyActivation) -> Literal["torch.nn", "torch", ""]:
    """Say where PyTorch has the function itself: in `torch.nn`, in `torch`, or nowhere."""
    if act.reference is None:
        return ""
    name = act.reference.partition("(")[0].rpartition(".")[2]
    return "torch.nn" if hasattr(torch.nn.functional, name) else "torch"


def compiled_eager(act: AnyActivation, dtype: torch.dtype) -> Implementation:
    """Return `eager` under `torch.compile`."""
    made = eager(act, dtype)
    return replace(made, name="compile", function=_compiled(made.function))


def compiled(act: Activation) -> Implementation:
    """Return `actlab.functional` under `torch.compile`, forward and backward from one compilation.

    Raises:
        BadInput: torch.compile does not work here.
    """
    need_compiler(leave="--compiled")
    made = pointwise_of(act)
    whole = _compiled(lambda *tensors: apply(made, *tensors))

    def function(*tensors: Tensor) -> Tensor:
        if any(tensor.requires_grad for tensor in tensors):
            return whole(*tensors)
        with torch.enable_grad():  # the graph with a backward pass, so that no second one is compiled
            return whole(*(tensor.detach().requires_grad_() for tensor in tensors))

    return Implementation("compiled", function)


def _compiled(function: Function) -> Callable[..., Tensor]:
    def whole(*tensors: Tensor) -> Any:
        return function(*tensors)

    # a code object for each function, because PyTorch gives up on code that it has compiled often for other functions
    fresh = FunctionType(whole.__code__.replace(), whole.__globals__, closure=whole.__closure__)
    return torch.compile(fresh, fullgraph=True, dynamic=False)


def need_compiler(*, leave: str) -> None:
    """Raise an error if torch.compile does not work here.

    Raises:
        BadInput: it does not, as without a C++ compiler.
    """
    reason = _why_not_compiled()
    if reason:
        raise BadInput(f"torch.compile does not work here ({reason}); leave {leave} out.")


@cache
def _why_not_compiled() -> str:
    from torch._dynamo.exc import TorchDynamoException

    try:
        torch.compile(lambda x: torch.sin(x) + 1, dynamic=False)(torch.ones(4))
    except TorchDynamoException as error:
        return str(error).strip().splitlines()[0]
    return ""


def exported(act: Activation) -> Implementation:
    """Return the activation exported to ONNX and run by ONNX Runtime in float32, without a backward pass.

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

    def function(*tensors: Tensor) -> Tensor:
        if tensors[0].dtype != torch.float32:
            raise BadInput(f"ONNX Runtime is measured in float32 alone; got {tensors[0].dtype}. Leave --onnx out.")
        given = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
        return torch.from_numpy(session.run(None, given)[0])

    return Implementation("onnx", function, lambda *_: ())


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Silence the exporter's remarks on packages that are not installed and on its own future."""
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(before)


# What a certificate compares with, at the points that it measures.
CERTIFIED: Mapping[str, Callable[[Activation], Implementation]] = MappingProxyType(
    {"torch": native, "composite": composite, "compiled": compiled, "onnx": exported}
)

# What actlab is timed against; `measure.speed.case` adds JAX, whose functions take JAX arrays.
TIMED: Mapping[str, Callable[[AnyActivation, torch.dtype], Implementation]] = MappingProxyType(
    {"eager": eager, "compile": compiled_eager}
)
