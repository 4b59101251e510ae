"""Every activation's kernels: the same bits however a tensor lies and whoever computes, and the composite's numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from actlab.catalog.index import CATALOG
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Input
from actlab.kernels.elementwise.kernels import Kernels, kernels_of
from actlab.measure.accuracy.invariance import same_bits
from actlab.nn import functional, module
from actlab.nn.operator import apply, pointwise_of
from actlab.theory.limits import limit_far

POINTWISE = [act for act in CATALOG.values() if isinstance(act, Activation)]
ONE_INPUT = [act for act in POINTWISE if len(act.inputs) == 1]
every_pointwise = pytest.mark.parametrize("act", POINTWISE, ids=str)
every_one_input = pytest.mark.parametrize("act", ONE_INPUT, ids=str)
X = Input("x")

# A pass forward and back: from the incoming gradient and the inputs, the value and the gradient by each input.
Pass = Callable[[Tensor, Sequence[Tensor]], tuple[Tensor, ...]]


def kernels(act: Activation) -> Kernels:
    return kernels_of(act.with_references(), tuple(Input(name) for name in act.inputs), "accurate")


def passes(act: Activation) -> Pass:
    made = kernels(act)

    def both(dy: Tensor, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        slopes = made.pull_back(dy, inputs, [True] * len(inputs))
        return made.forward(inputs), *(slope for slope in slopes if slope is not None)

    return both


def drawn(act: Activation, *shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[Tensor]]:
    """An incoming gradient and as many inputs as the activation has."""
    generator = torch.Generator().manual_seed(0)
    dy, *inputs = (3 * torch.randn(shape, generator=generator) for _ in range(1 + len(act.inputs)))
    return dy.to(dtype), [each.to(dtype) for each in inputs]


def agree(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    return all(same_bits(one, other) for one, other in zip(found, wanted, strict=True))


LAYOUTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(1, 3).contiguous().transpose(1, 3),
    "rows of a wider tensor": lambda x: torch.cat([x, x], 3)[..., : x.shape[3]],
    "every third": lambda x: torch.stack([x, -x, x], -1)[..., 0],
    "one element further on": lambda x: torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape),
    "a part": lambda x: torch.nn.functional.pad(x, (1, 2, 3, 1))[..., 3:-1, 1:-2],
}


def check_layouts(both: Pass, dy: Tensor, inputs: Sequence[Tensor]) -> None:
    wanted = both(dy, inputs)
    for name, laid in LAYOUTS.items():
        assert agree(both(laid(dy), [laid(each) for each in inputs]), wanted), name
        assert agree(both(dy, [laid(each) for each in inputs]), wanted), f"{name}, but not the gradient"
        assert agree(both(laid(dy), inputs), wanted), f"{name} of the gradient alone"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@every_pointwise
def test_layouts_give_the_same_bits(act: Activation, dtype: torch.dtype) -> None:
    dy, inputs = drawn(act, 2, 3, 5, 18, dtype=dtype)
    check_layouts(passes(act), dy, inputs)
    # one value for a whole row costs no memory, and is no reason for other bits
    column = [each[..., :1].expand_as(each) for each in inputs]
    assert agree(passes(act)(dy, column), passes(act)(dy, [each.contiguous() for each in column]))


def check_lengths(both: Pass, dy: Tensor, inputs: Sequence[Tensor]) -> None:
    whole = both(dy, inputs)
    for length in range(len(dy) + 1):
        found = both(dy[:length], [each[:length] for each in inputs])
        assert agree(found, [each[:length] for each in whole]), length


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16], ids=str)
@every_pointwise
def test_every_length_gives_the_same_bits(act: Activation, dtype: torch.dtype) -> None:
    check_lengths(passes(act), *drawn(act, 41, dtype=dtype))
    dy, inputs = drawn(act, 1, dtype=dtype)
    single = passes(act)(dy.reshape(()), [each.reshape(()) for each in inputs])
    assert all(each.shape == () for each in single)
    assert agree([each.reshape(1) for each in single], passes(act)(dy, inputs))


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_threads(both: Pass, dy: Tensor, inputs: Sequence[Tensor]) -> None:
    with threads(1):
        wanted = both(dy, inputs)
    for count in (2, 3):
        with threads(count):
            assert agree(both(dy, inputs), wanted), count


@every_pointwise
def test_threads_give_the_same_bits(act: Activation) -> None:
    check_threads(passes(act), *drawn(act, 5, 8191))


@every_pointwise
def test_an_output_that_exists_and_the_input_itself_get_the_same_bits(act: Activation) -> None:
    _, inputs = drawn(act, 4, 33)
    function, wanted = functional(act), kernels(act).forward(inputs)
    for out in (torch.empty(4, 33), torch.empty(33, 4).t(), torch.empty(4, 70)[:, 3:36], torch.empty(4, 66)[:, ::2]):
        assert function(*inputs, out=out) is out
        assert agree([out], [wanted])
    for laid in (lambda x: x.clone(), lambda x: x.t().contiguous().t(), lambda x: torch.stack([x, x], -1)[..., 0]):
        x, *others = (laid(each) for each in inputs)
        version = x._version
        assert function(x, *others, out=x) is x
        assert agree([x], [wanted])
        assert x._version > version


@every_one_input
def test_only_piecewise_linear_activations_go_in_place_under_autograd(act: Activation) -> None:
    dy, (x,) = drawn(act, 50)
    leaf = x.clone().requires_grad_()
    inside = leaf * 1
    linear = _is_piecewise_linear(act)
    if not linear:
        with pytest.raises(BadInput, match="its gradient needs the input, which in place would be overwritten"):
            functional(act)(inside, out=inside)
        return
    functional(act)(inside, out=inside).backward(dy)
    wanted = passes(act)(dy, [x])
    assert leaf.grad is not None
    assert torch.equal(inside, wanted[0])
    assert torch.equal(leaf.grad, wanted[1])


def _is_piecewise_linear(act: Activation) -> bool:
    """Seen from its values: no bend at hundreds of places, but for a few kinks."""
    x = torch.linspace(-31, 31, 6201, dtype=torch.float64)
    bend = functional(act)(x).diff(n=2).abs()
    return act.samplers == {} and int((bend > 1e-12).sum()) <= 12


def check_composite(act: Activation, both: Pass) -> None:
    dy, inputs = drawn(act, 400, dtype=torch.float64)
    made = pointwise_of(act)
    slopes = made.slopes(*inputs)
    for found, wanted in zip(both(dy, inputs), (made.value(*inputs), *(dy * each for each in slopes)), strict=True):
        torch.testing.assert_close(found, wanted.expand_as(found), rtol=1e-12, atol=1e-13)


@every_pointwise
def test_kernels_give_the_composites_numbers(act: Activation) -> None:
    check_composite(act, passes(act))


# The sine of infinity is NaN, and nobody looks for what is left of the formula without it.
OSCILLATING = frozenset({"sinc", "snake", "gelu_sine", "gelu_sinc"})


def check_limits(act: Activation, function: Callable[[Tensor], Tensor]) -> None:
    formula, far = act.with_references(), torch.tensor([-math.inf, math.inf])
    y, dx = with_gradient(function, far)
    for found, of in ((y, formula), (dx, derivative(formula, X))):
        for at, side in enumerate((-1, 1)):
            limit = limit_far(of, side)
            if isinstance(limit, float):
                expected = torch.tensor(limit)
                torch.testing.assert_close(found[at], expected, rtol=1e-6, atol=0, equal_nan=True)


def with_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    y = function(leaf)
    (dx,) = torch.autograd.grad(y, leaf, torch.ones_like(y))
    return y.detach(), dx


@pytest.mark.parametrize("act", [act for act in ONE_INPUT if act.name not in OSCILLATING], ids=str)
def test_infinity_gives_the_limit(act: Activation) -> None:
    check_limits(act, lambda x: apply(pointwise_of(act), x))


WITH_PARAMS = [act for act in ONE_INPUT if act.params]
SHAPES = (((50,), 0), ((6, 5), 1), ((3, 5, 7), 1), ((2, 5, 4, 20), 1), ((2, 4, 20, 5), -1), ((5, 9000), 0))


@pytest.mark.parametrize("act", WITH_PARAMS, ids=str)
def test_parameters_get_the_sum_of_their_gradients_on_any_number_of_threads(act: Activation) -> None:
    for shape, axis in SHAPES:
        for channels in (None, shape[axis]):
            check_parameters(act, shape, axis=axis, channels=channels)


def check_parameters(act: Activation, shape: tuple[int, ...], *, axis: int, channels: int | None) -> None:
    dy, (x,) = drawn(act, *shape)
    learned = []
    for count, dtype in ((1, torch.float32), (2, torch.float32), (1, torch.float64)):
        network = module(act, trainable=True, channels=channels, channel_axis=axis).eval().to(dtype)
        with threads(count):
            y = network(x.to(dtype))
            learned.append(torch.autograd.grad(y, list(network.parameters()), dy.to(dtype)))
    one, two, exact = learned
    assert agree(one, two)
    sizes = sizes_of_products(act, dy, x)
    for found, wanted, size in zip(one, exact, sizes, strict=True):
        # every product is good to 4 units in its last place, and together they may cancel
        torch.testing.assert_close(found.double(), wanted, rtol=2e-7, atol=4 * 2.0**-23 * size)


def sizes_of_products(act: Activation, dy: Tensor, x: Tensor) -> list[float]:
    """What the products that make up each parameter's gradient come to, their signs left out."""
    names = [param.name for param in act.params]
    made = pointwise_of(act, tuple(names))
    values = [torch.tensor(param.value, dtype=torch.float64) for param in act.params]
    given = [x.double(), *(values[names.index(leaf.name)] for leaf in made.args[1:])]
    slopes = dict(zip([leaf.name for leaf in made.args], made.slopes(*given), strict=True))
    return [float((dy * slopes[name]).abs().sum()) for name in names]


def test_a_slope_learned_under_autocast_gets_its_gradient_in_float32() -> None:
    prelu, linear = module("prelu", channels=6), torch.nn.Linear(4, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = linear(torch.randn(50, 4, generator=torch.Generator().manual_seed(0)))
        y = prelu(x)
    assert x.dtype == y.dtype == torch.bfloat16
    dy = torch.linspace(-1, 1, 300).reshape(50, 6).to(torch.bfloat16)
    y.backward(dy)
    products = dy.double() * x.detach().double().clamp(max=0)
    assert prelu.weight.grad.dtype == torch.float32
    # every product and the sum are kept in float32 and float64, and the sum is rounded once to bfloat16
    allowed = products.sum(0).abs() * 2.0**-8 + products.abs().sum(0) * 2.0**-23
    assert ((prelu.weight.grad - products.sum(0)).abs() <= allowed).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@every_one_input
def test_few_elements_get_the_bits_of_many(act: Activation, dtype: torch.dtype) -> None:
    # for a few elements a functional may take PyTorch's own operator, if its numbers are the same
    values = torch.arange(-(2**15), 2**15, 7, dtype=torch.int32).to(torch.int16).view(dtype)
    values = values[values.isfinite()]
    for few, many in zip(
        with_gradient(functional(act), values),
        with_gradient(lambda x: apply(pointwise_of(act), x), values),
        strict=True,
    ):
        assert same_bits(few, many) or torch.equal(few.nan_to_num(nan=7.0), many.nan_to_num(nan=7.0))


@pytest.mark.parametrize("name", ["mish", "relu", "hard_swish", "gelu"])
def test_a_graph_that_is_kept_gives_its_gradient_twice(name: str) -> None:
    x = torch.randn(100, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = functional(name)(x).sum()
    first, second = (torch.autograd.grad(y, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", ["mish", "gelu", "softplus", "tanh"])
def test_an_input_overwritten_before_backward_is_an_error(name: str) -> None:
    for overwrite in (lambda x: x.mul_(2), lambda x: functional("gelu")(x, out=x)):
        x = torch.randn(100).requires_grad_() * 1
        y = functional(name)(x).sum()
        with torch.no_grad():
            overwrite(x)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.backward()


@pytest.mark.slow
def test_more_elements_than_an_int_counts() -> None:
    count = 2**31 + 100
    free = _free_bytes()
    if free < 12 * 2**30:
        pytest.skip(f"needs 12 GB of free memory; {free >> 30} GB are free")
    x = torch.ones(count, dtype=torch.bfloat16)
    x[-1], x[2**31 - 1], x[0] = -1.0, 3.0, 2.0
    functional("mish")(x, out=x)
    places = [0, 1, 2**31 - 1, 2**31, count - 2, count - 1]
    wanted = functional("mish")(torch.tensor([2.0, 1.0, 3.0, 1.0, 1.0, -1.0], dtype=torch.bfloat16))
    assert torch.equal(x[places], wanted)
    assert bool((x[2**31 :: 97] == wanted[1]).all())


def _free_bytes() -> int:
    with open("/proc/meminfo", encoding="ascii") as told:
        lines = dict(line.split(":") for line in told)
    return int(lines["MemAvailable"].split()[0]) * 1024


# The contracts fail on programs that break them.


def sinner(wrong: Callable[[Tensor], bool]) -> Pass:
    """Doubles its input; wrongly where told."""
    return lambda dy, inputs: (inputs[0] * 2 + (1e-6 if wrong(inputs[0]) else 0), dy * 2)


def test_a_program_that_breaks_a_contract_is_found() -> None:
    act = next(act for act in ONE_INPUT if act.name == "relu")
    with pytest.raises(AssertionError):
        check_layouts(sinner(lambda x: not x.is_contiguous()), *drawn(act, 2, 3, 5, 18))
    with pytest.raises(AssertionError):
        check_lengths(sinner(lambda x: len(x) % 16 > 0), *drawn(act, 41))
    with pytest.raises(AssertionError):
        check_threads(sinner(lambda _: torch.get_num_threads() > 1), *drawn(act, 100))
    with pytest.raises(AssertionError):
        check_composite(act, sinner(lambda _: True))
    silu = next(act for act in ONE_INPUT if act.name == "silu")
    with pytest.raises(AssertionError):
        check_limits(silu, torch.nn.functional.silu)
    for check, doubled in ((check_layouts, drawn(act, 2, 3, 5, 18)), (check_lengths, drawn(act, 41))):
        check(sinner(lambda _: False), *doubled)
