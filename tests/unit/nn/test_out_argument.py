"""Results written into existing tensors: what fits, what is refused, and what autograd records."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from actlab.errors import BadInput
from actlab.kernels.runtime.jit import compiled
from actlab.nn import functional

X = torch.linspace(-3, 3, 12).reshape(3, 4)


def test_the_result_is_written_and_returned() -> None:
    out = torch.empty(3, 4)
    assert functional("gelu")(X, out=out) is out
    assert torch.equal(out, functional("gelu")(X))
    other = torch.empty(3, 4)
    functional("elu")(X, out=other, alpha=0.5)
    assert torch.equal(other, functional("elu", alpha=0.5)(X))
    inside = X.clone()
    functional("elu")(inside, out=inside, alpha=0.5)
    assert torch.equal(inside, other)


def test_a_parameter_that_changes_per_call_compiles_no_new_kernel() -> None:
    swish, out = functional("swish"), torch.empty(3, 4)
    swish(X, out=out, beta=0.25)
    before = compiled.cache_info().misses
    for at in range(5):
        beta = 0.75 + at / 128
        assert torch.equal(swish(X, out=out, beta=beta), swish(X, beta=beta))
    assert compiled.cache_info().misses == before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_number_is_not_rounded_to_the_sixteen_bits_of_an_input(dtype: torch.dtype) -> None:
    x, slope = torch.linspace(-30, 30, 1000).to(dtype), 0.1
    wanted = torch.nn.functional.leaky_relu(x, slope)
    assert torch.equal(functional("leaky_relu")(x, negative_slope=slope), wanted)
    assert torch.equal(functional("leaky_relu")(x, negative_slope=slope, out=torch.empty_like(x)), wanted)


def test_memory_beside_the_output_is_untouched() -> None:
    for stride in (1, 2):
        wide = torch.full((3, 12), 7.0)
        functional("gelu")(X, out=wide[:, 2 : 2 + 4 * stride : stride])
        untouched = torch.ones(12, dtype=torch.bool)
        untouched[2 : 2 + 4 * stride : stride] = False
        assert (wide[:, untouched] == 7).all()
        assert torch.equal(wide[:, ~untouched], functional("gelu")(X))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sixteen_bits_are_rounded_once_also_where_no_kernel_can_be_spelled(dtype: torch.dtype) -> None:
    act = functional("abs(x)**0.3 * sin(x) + 1")
    x = torch.linspace(-3, 3, 200).to(dtype)
    assert torch.equal(act(x, out=torch.empty_like(x)), act(x.float()).to(dtype))


def test_two_inputs_are_promoted_and_broadcast() -> None:
    swiglu, gate = functional("swiglu"), torch.linspace(-2, 2, 4)
    for value, other, dtype in ((X, gate, torch.float32), (X[0], X.double(), torch.float64), (X, X, torch.float32)):
        out = torch.empty(3, 4, dtype=dtype)
        assert torch.equal(swiglu(value, other, out=out), swiglu(value, other))


@pytest.mark.parametrize(
    ("inputs", "out", "message"),
    [
        ((X,), torch.empty(4, 3), "gelu: out= must be torch.float32 of shape (3, 4); got torch.float32 of shape (4, "),
        ((X,), torch.empty(3, 4).double(), "gelu: out= must be torch.float32 of shape (3, 4); got torch.float64 of"),
        ((X,), 1.5, "gelu: out= must be torch.float32 of shape (3, 4); got float."),
        ((X,), torch.empty(1).expand(3, 4), "gelu: several elements of out= share one place in memory. Use out."),
        ((X,), torch.empty(3, 4, device="meta"), "gelu: out= must lie on cpu; it lies on meta."),
        ((torch.arange(3),), torch.zeros(3, dtype=torch.int64), "an activation takes floating-point tensors; x is "
         "torch.int64. Use x.float()."),
        ((torch.ones(3, dtype=torch.cfloat),), torch.ones(3), "an activation takes floating-point tensors; x is "
         "torch.complex64."),
    ],
)  # fmt: skip
def test_invalid_arguments_are_one_line_errors(inputs: tuple[Tensor, ...], out: Tensor, message: str) -> None:
    with pytest.raises(BadInput) as error:
        functional("gelu")(*inputs, out=out)
    assert str(error.value).startswith(message)


def test_an_output_that_overlaps_an_input_in_part_is_refused() -> None:
    memory = torch.randn(20)
    with pytest.raises(BadInput, match="gelu: out= overlaps an input in part"):
        functional("gelu")(memory[:10], out=memory[5:15])
    value, gate = memory[:10], torch.randn(10)
    with pytest.raises(BadInput, match="Use a separate tensor, or one of the inputs themselves"):
        functional("swiglu")(value, gate, out=memory[5:15])
    functional("gelu")(memory[:10], out=memory[10:])


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("shape", [(5,), (100,), (40, 30)], ids=str)
def test_each_input_of_a_gated_unit_may_be_overwritten(at: int, shape: tuple[int, ...]) -> None:
    inputs = [torch.randn(shape).t(), torch.randn(shape).t()]
    wanted = functional("swiglu")(*inputs)
    assert torch.equal(functional("swiglu")(*inputs, out=inputs[at]), wanted)
    squared = functional("swiglu")(wanted, wanted)
    assert torch.equal(functional("swiglu")(wanted, wanted, out=wanted), squared)


def views(memory: Tensor) -> list[Tensor]:
    """List outputs of twelve elements that do not overlap, though their strides do not show it in most of them."""
    shapes = (((3, 4), (4, 1)), ((4, 3), (3, 7)), ((3, 4), (5, 8)), ((2, 6), (3, 2)), ((2, 2, 3), (1, 2, 4)))
    return [memory.as_strided(shape, strides) for shape, strides in shapes]


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (3, 1), (0, 1), (2, 2), (4, 2)], ids=str)
def test_an_output_that_overlaps_itself_is_refused(strides: tuple[int, int]) -> None:
    out = torch.zeros(40).as_strided((3, 4), strides)
    places = {strides[0] * row + strides[1] * column for row in range(3) for column in range(4)}
    assert len(places) < 12
    with pytest.raises(BadInput, match=r"gelu: several elements of out= share one place in memory\. Use out\.clone"):
        functional("gelu")(X, out=out)
    assert not out.any()


def test_an_output_that_does_not_overlap_itself_is_written() -> None:
    for out in views(torch.full((40,), torch.nan)):
        x = X.reshape(out.shape)
        assert torch.equal(functional("gelu")(x, out=out), functional("gelu")(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_an_output_between_the_elements_of_the_input_is_written(dtype: torch.dtype) -> None:
    for size in (7, 1000):
        memory = torch.randn(3, 2 * size).to(dtype)
        x, out = memory[:, ::2], memory[:, 1::2]
        before, wanted = x.clone(), functional("gelu")(x.clone())
        functional("gelu")(x, out=out)
        assert torch.equal(out, wanted)
        assert torch.equal(x, before)
    with pytest.raises(BadInput, match="gelu: out= overlaps an input in part"):
        functional("gelu")(memory[:, 0:10:2], out=memory[:, 2:12:2])


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_an_output_is_written_in_a_compiled_graph(backend: str) -> None:
    gelu, relu, swiglu = functional("gelu"), functional("relu"), functional("swiglu")

    def both(x: Tensor, out: Tensor) -> Tensor:
        gelu(x, out=out)
        inside = x * 2
        return swiglu(out, relu(inside, out=inside))

    torch.compiler.reset()
    out = torch.empty(3, 4)
    compiled = torch.compile(both, backend=backend, fullgraph=True)
    wanted = swiglu(gelu(X), relu(2 * X))
    torch.testing.assert_close(compiled(X, out), wanted)
    torch.testing.assert_close(out, gelu(X))
    with pytest.raises(BadInput, match="several elements of out= share one place"):
        torch.compile(both, backend=backend)(X, torch.empty(1).expand(3, 4))


def test_in_place_in_a_compiled_graph_autograd_follows() -> None:
    relu = functional("leaky_relu")

    def loss(x: Tensor) -> Tensor:
        inside = x * 2
        return (relu(inside, out=inside) ** 2).sum()

    gradients = []
    for function in (loss, torch.compile(loss, backend="aot_eager", fullgraph=True)):
        leaf = X.clone().requires_grad_()
        function(leaf).backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)


def test_autograd_follows_only_piecewise_linear_activations_in_place() -> None:
    leaf = torch.randn(5, requires_grad=True)
    inside = leaf * 1
    with pytest.raises(
        BadInput, match=r"relu: autograd cannot follow a result into out=\. Call it without out=, which"
    ):
        functional("relu")(leaf, out=torch.empty(5))
    with pytest.raises(BadInput, match="relu: a leaf that requires a gradient cannot be overwritten"):
        functional("relu")(leaf, out=leaf)
    with pytest.raises(BadInput, match="mish: its gradient needs the input, which in place would be overwritten"):
        functional("mish")(inside, out=inside)
    with pytest.raises(BadInput, match="swiglu: autograd cannot follow a result into out="):
        functional("swiglu")(inside, leaf, out=inside)
    with pytest.raises(BadInput, match="out= takes parameters as numbers only; weight is a tensor"):
        functional("prelu")(leaf, out=torch.empty(5), weight=torch.ones(1))


def test_what_autograd_has_saved_may_not_be_overwritten_in_place() -> None:
    x = torch.randn(5, requires_grad=True) * 1
    squared = x * x
    functional("relu")(x, out=x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        squared.sum().backward()


def test_in_place_in_the_middle_of_a_graph() -> None:
    start = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
    through = start * 2
    functional("hard_tanh")(through, out=through)
    (through * through).sum().backward()
    wanted = torch.autograd.grad((torch.nn.functional.hardtanh(start * 2) ** 2).sum(), start)[0]
    torch.testing.assert_close(start.grad, wanted)


def test_without_a_gradient_leaves_and_inference_tensors_are_overwritten() -> None:
    leaf = X.clone().requires_grad_()
    with torch.no_grad():
        functional("mish")(leaf, out=leaf)
    assert torch.equal(leaf.detach(), functional("mish")(X))
    with torch.inference_mode():
        inside = X.clone()
        functional("mish")(inside, out=inside)
        assert torch.equal(inside, leaf)


def test_in_place_under_autograd_the_mode_stays() -> None:
    x = torch.randn(5000, generator=torch.Generator().manual_seed(0))
    formula = "max(x, 0)*0.1 + max(x - 0.7, 0)*0.3 - 0.1*x*0.7"
    results = []
    for mode in ("accurate", "fast"):
        f = functional(formula, mode=mode)
        y = x.clone().requires_grad_() * 1
        results.append(f(y, out=y).detach())
        assert torch.equal(results[-1], f(x))
    assert not torch.equal(*results)
