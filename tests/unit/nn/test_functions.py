"""Activations as functions of tensors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as theirs

from actlab.catalog.index import get
from actlab.errors import BadInput, BadParam, UnknownActivation
from actlab.kernels.elementwise import native_operator
from actlab.kernels.elementwise.native_operator import own_operator
from actlab.nn import functional, module

X = torch.linspace(-3, 3, 12, dtype=torch.float64).reshape(3, 4)


def test_a_name_a_formula_and_an_activation_all_make_a_function() -> None:
    for made in (functional("silu"), functional("x*sigmoid(x)"), functional(get("silu"))):
        torch.testing.assert_close(made(X), theirs.silu(X))


def test_parameters_are_fixed_when_made_or_given_with_the_call() -> None:
    wanted = theirs.leaky_relu(X, 0.3)
    torch.testing.assert_close(functional("leaky_relu", negative_slope=0.3)(X), wanted)
    torch.testing.assert_close(functional("leaky_relu")(X, negative_slope=0.3), wanted)
    torch.testing.assert_close(functional("leaky_relu")(X, negative_slope=torch.tensor(0.3).double()), wanted)


def test_a_call_changes_only_the_parameters_it_names() -> None:
    threshold = functional("threshold", threshold=0.5, value=-2.0)
    torch.testing.assert_close(threshold(X, threshold=1), theirs.threshold(X, 1.0, -2.0))
    torch.testing.assert_close(threshold(X), theirs.threshold(X, 0.5, -2.0))


def test_a_tensor_for_a_parameter_broadcasts_and_gets_a_gradient() -> None:
    weight = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64, requires_grad=True)
    functional("prelu")(X, weight=weight).sum().backward()
    torch.testing.assert_close(weight.grad, X.clamp(max=0).sum(0))


def test_two_tensors_for_a_gated_unit() -> None:
    value, gate = X, X.flip(0)
    torch.testing.assert_close(functional("glu")(value, gate), value * torch.sigmoid(gate))


def test_an_axis_for_softmax() -> None:
    torch.testing.assert_close(functional("softmax")(X, dim=0), theirs.softmax(X, dim=0))
    torch.testing.assert_close(functional("softmax")(X), theirs.softmax(X, dim=-1))


def test_functions_of_the_same_activation_are_equal() -> None:
    assert functional("swish", beta=2) == functional("swish(beta=2)")
    assert functional("swish", beta=2) != functional("swish")
    assert len({functional("gelu"), functional("gelu"), functional("relu")}) == 2
    assert repr(functional("swish", beta=1.5)) == "functional('swish(beta=1.5)')"
    assert repr(functional("softmax")) == "functional('softmax')"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: functional("geluu"), UnknownActivation, "no activation is named 'geluu'. Did you mean 'gelu'?"),
        (lambda: functional("gelu")(X, X), BadInput, "gelu takes one tensor, x; got 2."),
        (lambda: functional("swiglu")(X), BadInput, "swiglu takes two tensors, value and gate; got 1."),
        (lambda: functional("elu")(X, beta=1.0), BadParam, "elu has no parameter 'beta'; it has alpha."),
        (lambda: functional("elu")(X, beta=torch.ones(1)), BadParam, "elu has no parameter 'beta'; it has alpha."),
        (lambda: functional("gelu")(X, beta=torch.ones(1)), BadParam, "gelu has no parameter 'beta'; it has none."),
        (lambda: functional("swish")(X, beta="1"), BadParam, "swish: beta must be a number; got str '1'."),
        (lambda: functional("softmax")(X, dim=2), BadInput,
         "softmax along axis 2: the tensor has 2 axes, of shape (3, 4)."),
        (lambda: functional("softmax")(X.new_zeros(3, 0)), BadInput, "softmax along axis -1: the axis has length 0."),
        (lambda: functional("softmax")(X.long()), BadInput, "softmax takes floating-point tensors; x is torch.int64."),
        (lambda: functional("softmax")(torch.tensor(1.0)), BadInput, "softmax along axis -1: the tensor has 0 axes"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_one_line_errors(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as found:
        call()
    assert str(found.value).startswith(message)
    assert "\n" not in str(found.value)


def under(mode: object) -> Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]:
    def call(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        with mode:
            return function(x)

    return call


def forget() -> None:
    """Let the next call try PyTorch's operators again."""
    for cached in (own_operator, native_operator._exact):
        cached.cache_clear()


FIRST_CALLS = {
    "inference": under(torch.inference_mode()),
    "no grad": under(torch.no_grad()),
    "autocast": under(torch.autocast("cpu", dtype=torch.bfloat16)),
    "default device": under(torch.device("meta")),
    "grad": lambda function, x: torch.func.grad(lambda each: function(each).sum())(x),
    "vmap": lambda function, x: torch.func.vmap(function)(x),
    "jvp": lambda function, x: torch.func.jvp(function, (x,), (x,))[1],
    "make_fx": lambda function, x: make_fx(function)(x)(x),
}


@pytest.mark.parametrize("name", ["relu", "hard_swish", "leaky_relu", "x*tanh(1.25*x)"])
@pytest.mark.parametrize("call", FIRST_CALLS.values(), ids=FIRST_CALLS)
def test_the_first_call_may_come_from_any_context(call: Callable[..., Tensor], name: str) -> None:
    x = torch.linspace(-2, 2, 7)
    function = functional(name)
    wanted = call(function, x)
    forget()
    torch.testing.assert_close(call(functional(name), x), wanted, rtol=0, atol=0)


def test_the_first_call_may_be_traced_without_numbers() -> None:
    forget()
    with FakeTensorMode() as mode:
        assert functional("relu6")(mode.from_tensor(X)).shape == X.shape


def test_a_functional_can_be_built_in_a_compiled_function() -> None:
    act = get("mish")

    def several(x: torch.Tensor, beta: float) -> torch.Tensor:
        y = functional("gelu", mode="fast")(x) + functional("swish", beta=beta)(x) + functional(act)(x)
        return y + functional("softmax")(x) + functional("relu", memory="few-bit")(x)

    compiled = torch.compile(several, backend="eager", fullgraph=True)
    x = torch.linspace(-3, 3, 12).reshape(3, 4)
    for beta in (1.5, 1.5, 2.0, 3.0):
        torch.testing.assert_close(compiled(x, beta), several(x, beta))


D = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


UNFIT = {
    "float8": (D.to(torch.float8_e4m3fn), "{x} is torch.float8_e4m3fn. Use {x}.to(torch.bfloat16)."),
    "complex": (D.to(torch.cfloat), "{x} is torch.complex64. Use {x}.real, {x}.imag or {x}.abs()."),
    "integer": (torch.arange(3), "takes floating-point tensors; {x} is torch.int64. Use {x}.float()."),
    "sparse": (D.to_sparse(), "takes dense tensors; {x} has the layout torch.sparse_coo. Use {x}.to_dense()."),
    "list": (D.tolist(), "takes tensors; {x} is of type list."),
}
# PyTorch's own operator, which relu is, takes a sparse tensor; whole numbers and lists have no gradient.
UNFIT_CALLS = [
    (name, learns, what)
    for name in ("gelu", "relu", "softmax", "swiglu", "prelu")
    for learns in (False, True)
    for what in UNFIT
    if (name, what) != ("relu", "sparse") and not (learns and what in ("integer", "list"))
]


@pytest.mark.parametrize(("name", "learns", "what"), UNFIT_CALLS)
def test_unsupported_tensors_are_errors_with_a_fix(name: str, learns: bool, what: str) -> None:
    x, message = UNFIT[what]
    if learns:
        x = x.detach().requires_grad_()
    with pytest.raises(BadInput) as error:
        functional(name)(*[x] * (2 if name == "swiglu" else 1))
    assert str(error.value).endswith(message.format(x="value" if name == "swiglu" else "x"))
    if name == "gelu":
        with pytest.raises(BadInput):
            functional(name, memory="few-bit")(x)
        with pytest.raises(BadInput):
            module("prelu")(x)
        with pytest.raises(BadInput):
            module("swiglu", layout="value_first")(x)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_jagged_nested_tensors_work_and_strided_ones_are_refused() -> None:
    parts = [D[0, :2], D[1]]
    ragged = torch.nested.nested_tensor(parts, layout=torch.jagged, requires_grad=True)
    for few in (None, "few-bit"):
        y = functional("gelu", memory=few)(ragged)
        for found, part in zip(y.unbind(), parts, strict=True):
            torch.testing.assert_close(found, functional("gelu")(part))
    with pytest.raises(BadInput, match=r"takes nested tensors of the layout torch\.jagged; x has torch\.strided"):
        functional("gelu")(torch.nested.nested_tensor(parts))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantized_tensors_are_refused() -> None:
    x = torch.quantize_per_tensor(D, 0.1, 10, torch.quint8)
    with pytest.raises(BadInput, match=r"x is torch\.quint8\. Use x\.dequantize\(\)\."):
        functional("gelu")(x)
