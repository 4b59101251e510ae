"""Who runs a formula and why; the raw operators; and who must never reach machine code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from actlab.catalog.index import CATALOG, get
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.kernels import explain
from actlab.kernels.elementwise.kernels import Kernels
from actlab.kernels.elementwise.native_operator import OwnOperator, own_operator
from actlab.kernels.explanation import _of_gpu, _said
from actlab.kernels.runtime.launch import WORTH_A_TEAM
from actlab.lower.arithmetic import Recipe, Strategy
from actlab.nn import FewBit, functional, module
from actlab.nn.functions import Functional

X = torch.linspace(-3, 3, 100)


def test_a_kernel_says_how_it_computes() -> None:
    told = explain("mish", X)
    assert told.implementation == "kernel"
    assert told.threads == 1
    assert told.forward.startswith("in float")
    assert told.reason.endswith("Too few elements to use a second thread.")
    assert str(told).startswith(f"kernel: forward {told.forward}; backward {told.backward}. 1 thread, ")
    assert told.to_json()["implementation"] == "kernel"
    assert explain("gelu", X, mode="fast").forward == "in float32"
    assert explain("gelu", X.double()).forward.startswith("in float64")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (Recipe("single", tabled=True), "in float32"),
        (Recipe("single", Strategy.PAIRED), "in float32, with compensated arithmetic"),
        (
            Recipe("full", Strategy.LIGHT),
            "in float64, with compensated quotients and function arguments",
        ),
        (Recipe("single", Strategy.FIRM), "in float32, with compensated divisions"),
        (
            Recipe("single", Strategy.FIRM_ARGUMENTS),
            "in float32, with compensated divisions and function arguments",
        ),
        (
            Recipe("single", Strategy.FIRM_SUMS),
            "in float32, with compensated divisions, sums and products",
        ),
        (Recipe("short"), "in float64, rounded once"),
    ],
)
def test_every_recipe_is_described(how: Recipe, words: str) -> None:
    assert _said(how) == words


def test_a_large_tensor_takes_a_team() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        told = explain("mish", torch.empty(WORTH_A_TEAM))
    finally:
        torch.set_num_threads(before)
    if told.layer.startswith("openmp"):
        assert told.threads == 2
        assert "PyTorch's own OpenMP library" in told.layer


@pytest.mark.parametrize(
    ("formula", "x", "reason"),
    [
        ("abs(x)**(1 + x*x)", X, "a kernel cannot spell a power whose exponent varies."),
        ("gelu", torch.empty(3, device="meta"), "No kernels for device meta."),
    ],
)
def test_a_composite_says_why(formula: str, x: Tensor, reason: str) -> None:
    told = explain(formula, x)
    assert (told.implementation, told.layer, told.reason) == ("composite", "PyTorch", reason)


@pytest.mark.parametrize(
    ("formula", "x", "message"),
    [
        ("gelu", torch.arange(3), "gelu takes floating-point tensors; x is torch.int64. Use x.float()."),
        (
            "gelu",
            torch.empty(3, dtype=torch.float8_e5m2),
            "gelu takes floating-point tensors; x is torch.float8_e5m2. Use x.to(torch.bfloat16).",
        ),
        (torch.nn.ReLU(), X, "explain takes a name, or an activation, functional or module of actlab; got ReLU()."),
        ("gelu", 1.5, "gelu takes tensors; x is of type float."),
        ("softmax", X, "softmax acts along an axis; an element-wise activation is required."),
    ],
)
def test_what_cannot_be_explained_is_an_error(formula: str, x: Tensor, message: str) -> None:
    with pytest.raises(BadInput) as error:
        explain(formula, x)
    assert str(error.value) == message


# Whoever follows the operations one by one is shown PyTorch's own.


@pytest.fixture
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calling a kernel is a fault."""
    for name in ("forward", "of_one", "of_two", "pull_back", "pulled_one", "pulled_two"):
        monkeypatch.setattr(Kernels, name, _refuse)


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("a kernel was called")


pytestmark_no_kernel = pytest.mark.usefixtures("no_kernel")


def test_the_check_finds_a_kernel(no_kernel: None) -> None:
    for name in ("mish", "swiglu"):
        with pytest.raises(AssertionError, match="a kernel was called"):
            functional(name)(*[X] * (2 if name == "swiglu" else 1))


@pytestmark_no_kernel
def test_tensors_without_numbers_reach_no_kernel() -> None:
    meta = functional("mish")(torch.empty(3, 4, device="meta"))
    assert (meta.shape, meta.device.type) == ((3, 4), "meta")
    with FakeTensorMode() as mode:
        made = mode.from_tensor(X)
        assert functional("mish")(made).shape == X.shape
    assert functional("mish")(made).shape == X.shape


class Logged(TorchDispatchMode):
    """Counts the operations."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # PyTorch's own face
        self.count += 1
        return function(*args, **(kwargs or {}))


@pytestmark_no_kernel
def test_modes_tracers_and_compilers_see_every_operation_of_two_inputs() -> None:
    swiglu, wanted = functional("swiglu"), X * torch.nn.functional.silu(X)
    with Logged() as log:
        torch.testing.assert_close(swiglu(X, X), wanted)
    assert log.count > 2
    compiled = torch.compile(swiglu, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(X, X), wanted)


@pytestmark_no_kernel
def test_modes_tracers_and_compilers_see_every_operation() -> None:
    wanted = torch.nn.functional.mish(X)
    with Logged() as log:
        torch.testing.assert_close(functional("mish")(X), wanted)
    assert log.count > 3
    graph = make_fx(functional("mish"))(X)
    torch.testing.assert_close(graph(2 * X), torch.nn.functional.mish(2 * X))
    compiled = torch.compile(functional("mish"), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(X), wanted)


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytestmark_no_kernel
def test_a_traced_module_holds_the_operations() -> None:
    traced = torch.jit.trace(module("mish"), (X,), check_trace=False)  # the check calls the module untraced
    torch.testing.assert_close(traced(2 * X), torch.nn.functional.mish(2 * X))


def test_transforms_give_the_numbers_of_a_kernel() -> None:
    mish = functional("mish")
    leaf = X.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(mish(leaf).sum(), leaf)
    torch.testing.assert_close(torch.func.vmap(mish)(X), mish(X))
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(mish))(X), wanted)
    torch.testing.assert_close(torch.func.jvp(mish, (X,), (torch.ones_like(X),))[1], wanted)


def test_lazily_negated_views_give_the_right_numbers() -> None:
    for negated in (torch._neg_view(X), torch.complex(X, X).conj().imag):
        assert negated.is_neg()
        torch.testing.assert_close(functional("mish")(negated), torch.nn.functional.mish(-X))


def what_runs(act: Activation, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which implementation computes a result, seen by what is called."""
    called: list[str] = []

    def noted(function: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
        def called_now(*args: object, **named: object) -> Tensor:
            called.append(name)
            return function(*args, **named)

        return called_now

    own = own_operator(act)
    with monkeypatch.context() as patch:
        for way in ("forward", "of_one", "of_two"):
            patch.setattr(Kernels, way, noted(getattr(Kernels, way), "kernel"))
        if own is not None:
            noting = replace(own, function=noted(own.function, "operator"))
            patch.setattr("actlab.nn.functions.own_operator", lambda act, mode: noting)
        applied = functional(act)
        assert isinstance(applied, Functional)
        y = applied(*[x] * len(act.inputs))
    return "view" if y.data_ptr() == x.data_ptr() else called[0] if called else "composite"


SINGLE = [act for act in CATALOG.values() if isinstance(act, Activation)]


@pytest.mark.parametrize("act", [*SINGLE, get("abs(x)**(1 + x*x)")], ids=str)
def test_the_explained_implementation_runs(act: Activation, monkeypatch: pytest.MonkeyPatch) -> None:
    for x in [torch.ones(size) for size in (1, 5000, 70_000)] + [X.bfloat16(), X.double()]:
        assert explain(act, x).implementation == what_runs(act, x, monkeypatch), (x.dtype, x.shape)


def test_pytorch_s_own_operator_is_named() -> None:
    told = explain("relu", X)
    assert (told.implementation, told.forward, told.layer) == ("operator", "", "PyTorch")
    assert told.reason == "torch.nn.functional.relu gives the same numbers as the kernel."
    assert explain("identity", X).implementation == "view"


def test_a_gpu_is_explained_differently_from_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnGpu:
        is_cuda, is_cpu, dtype, device = True, False, torch.float32, "cuda:0"

    monkeypatch.setattr("actlab.kernels.gpu.kernels.lacks", lambda tensors: None)
    assert _of_gpu(OnGpu()).layer == "triton"  # type: ignore[arg-type]  # a tensor of a device that is not there
    monkeypatch.setattr("actlab.kernels.gpu.kernels.lacks", lambda tensors: "no GPU")
    assert _of_gpu(OnGpu()).implementation == "composite"  # type: ignore[arg-type]  # likewise


def test_an_operator_takes_its_own_dtypes_alone() -> None:
    whole, forward = frozenset({torch.float32}), frozenset({torch.float64})
    own = OwnOperator(torch.relu, "torch.relu", whole, forward, is_exact=False, keeps_output=True)
    assert own.takes(torch.ones(9))
    assert not own.takes(torch.ones(9, dtype=torch.float64))
    assert not own.takes(torch.ones(9, device="meta"))
    assert own.computes == whole | forward


def only(part: str, function: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an operator compute this part of tanh."""
    single, none = frozenset({torch.float32}), frozenset()
    whole, forward = (single, none) if part == "both" else (none, single)
    own = OwnOperator(function, "torch.tanh", whole, forward, is_exact=False, keeps_output=True)
    for place in ("nn.functions", "kernels.explanation"):
        monkeypatch.setattr(f"actlab.{place}.own_operator", lambda act, mode: own)


@pytest.mark.parametrize("make", [functional, module], ids=["functional", "module"])
@pytest.mark.parametrize("part", ["forward", "both"])
def test_an_operator_of_other_numbers_computes_its_part(
    part: str, make: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.linspace(-30, 30, 601, requires_grad=True)
    (slope,) = torch.autograd.grad(functional("tanh")(x).sum(), x)
    only(part, lambda x: torch.tanh(x) + 0, monkeypatch)
    made = make("tanh", mode="fast")
    y = made(x)
    assert torch.equal(y, torch.tanh(x))
    (found,) = torch.autograd.grad(y.sum(), x)
    # PyTorch's gradient from the output has no tails, the kernel's has
    assert bool((found[0] == 0) == (part == "both"))
    torch.testing.assert_close(found, slope, atol=2e-7, rtol=1e-5)
    assert torch.equal(made(x.detach()), torch.tanh(x))
    told = explain(made, x)
    assert told.implementation == "operator"
    assert told.forward == ("" if part == "both" else "by torch.tanh")
    assert told.keeps == ("its output" if part == "both" else "its input")
    assert "faster than the kernel" in told.reason
    # other dtypes and second derivatives are the kernel's
    assert explain(made, x.double()).implementation == "kernel"
    (once,) = torch.autograd.grad(made(x).sum(), x, create_graph=True)
    (twice,) = torch.autograd.grad(once.sum(), x)
    torch.testing.assert_close(twice, (-2 * torch.tanh(x) * slope).detach(), atol=1e-6, rtol=1e-4)


def test_transforms_graphs_and_forward_mode_take_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    tanh, ones = functional("tanh", mode="fast"), torch.ones_like(X)
    wanted = torch.func.vmap(torch.func.grad(tanh))(X)
    only("both", _refuse, monkeypatch)
    tanh = functional("tanh", mode="fast")
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(tanh))(X), wanted)
    torch.testing.assert_close(torch.func.jvp(tanh, (X,), (ones,))[1], wanted)
    torch.testing.assert_close(torch.compile(tanh, fullgraph=True, backend="aot_eager")(X), torch.tanh(X))
    with pytest.raises(AssertionError):
        tanh(X)


def kept(function: object, x: Tensor) -> list[Tensor]:
    found: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: found.append(tensor) or tensor, lambda tensor: tensor):
        function(x)
    return found


@pytest.mark.parametrize("make", [functional, module], ids=["functional", "module"])
@pytest.mark.parametrize("name", ["gelu", "relu", "hard_tanh", "softmax", "leaky_relu", "prelu"])
@pytest.mark.parametrize("size", [100, 1 << 21])
def test_with_a_gradient_what_is_saved_is_explained(make: object, name: str, size: int) -> None:
    made, x = make(name), torch.randn(2, size // 2, requires_grad=True)
    told, found = explain(made, x), kept(made, x)
    words = {
        "1 bit an element, which say one of its own slopes": sum(each.nbytes for each in found) == size // 8,
        "its input": any(each.data_ptr() == x.data_ptr() for each in found),
        "its inputs": name == "prelu",
        "its output": found[0].nbytes == x.nbytes and found[0].data_ptr() != x.data_ptr(),
    }
    assert words[told.keeps], told
    assert told.keeps in str(told)
    assert explain(made, x.detach()).keeps == ""
    with torch.no_grad():
        assert explain(made, x).keeps == ""


@pytest.mark.parametrize(
    ("made", "implementation", "words"),
    [
        (module("relu"), "operator", "torch.nn.functional.relu"),
        (module("gelu", match="torch"), "operator", "match='torch'"),
        (module("swiglu", layout="value_first"), "kernel", "Machine code"),
        (module("softmax"), "kernel", "Machine code"),
        (
            functional("gelu", memory="few-bit", bits=3),
            "kernel",
            "backward: 3 bits an element, which say one of the steps",
        ),
        (FewBit("gelu", bits=2), "kernel", "backward: 2 bits an element"),
        (module("rrelu"), "kernel", "its inputs"),
        (module("rrelu").eval(), "kernel", "its input"),
    ],
    ids=str,
)
def test_modules_and_functionals_are_explained(made: object, implementation: str, words: str) -> None:
    told = explain(made, torch.randn(6, 8, requires_grad=True))
    assert told.implementation == implementation
    assert words in str(told)


def test_a_module_runs_pytorch_s_own_operator_as_a_functional_does(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Tensor] = []
    own = replace(own_operator(get("relu")), function=lambda x: called.append(x) or x.relu())
    monkeypatch.setattr("actlab.nn.functions.own_operator", lambda act, mode: own)
    module("relu")(X)
    assert called
