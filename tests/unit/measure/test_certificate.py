"""Certificates of programs that are right, wrong, PyTorch's own, and of formulas just typed."""

from __future__ import annotations

import json
import math
from functools import cache

import pytest
import torch
from torch import Tensor

from actlab.catalog.index import get
from actlab.errors import BadFormula, BadInput
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr
from actlab.formula.substitute import substitute
from actlab.measure.accuracy.certificate import certificate
from actlab.measure.accuracy.record import Certificate
from actlab.measure.accuracy.summary import Certified
from actlab.measure.implementations import composite, native

FEW = 6000


@cache
def own(name: str, dtype: str = "float32") -> Certificate:
    """Measure the certificate of PyTorch's own function."""
    act = get(name)
    assert isinstance(act, Activation)
    return certificate(act, dtype=dtype, function=native(act), count=FEW)


# FACTS: PyTorch's worst errors over [-20, 20], where any number of that size is as good.
@pytest.mark.parametrize(
    ("name", "forward", "backward"),
    [
        ("tanh", (0.5, 0.6), (1e7, 2e7)),
        ("sigmoid", (0.5, 2.5), (1e7, 2e7)),
        ("gelu", (1e7, 2e7), (1e6, 2e7)),
        ("gelu_tanh", (1e7, 2e7), (1e6, 2e7)),
        ("silu", (0.9, 2.5), (0.5, 20)),
        ("softsign", (1, 2), (10, 100)),
    ],
)
def test_pytorch_s_errors_are_of_the_size_that_is_known(name: str, forward: tuple, backward: tuple) -> None:
    measured = own(name).measured
    assert forward[0] <= measured.forward.within_20 <= forward[1]
    assert measured.backward is not None
    assert backward[0] <= measured.backward.within_20 <= backward[1]


@pytest.mark.parametrize(("name", "dtype", "size"), [("tanh", "bfloat16", 256), ("sigmoid", "bfloat16", 256)])
def test_pytorch_s_sixteen_bit_derivatives_lose_every_digit(name: str, dtype: str, size: float) -> None:
    told = own(name, dtype)
    assert told.measured.backward is not None
    assert told.measured.backward.within_20 == pytest.approx(size, rel=0.02)
    assert told.zero_gradient.right_too_early


def test_pytorch_s_gelu_tanh_gives_nan_far_out() -> None:
    stretches = own("gelu_tanh").measured.non_finite
    starts = {stretch.start for stretch in stretches if stretch.got == "nan"}
    assert any(isinstance(start, float) and 1e19 < start < 3e19 for start in starts)


def test_the_json_has_the_documented_keys() -> None:
    told = json.loads(json.dumps(certificate("relu", count=FEW).to_json(), allow_nan=False))
    assert list(told)[:7] == ["formula", "dtype", "mode", "forward", "backward", "non_finite", "zero_gradient"]
    assert (told["formula"], told["dtype"], told["mode"]) == ("relu", "float32", "accurate")
    assert told["forward"]["max_ulp"] == told["backward"]["max_ulp"] == 0
    assert told["non_finite"] == []
    assert told["zero_gradient"]["left"] == 0
    assert told["zero_gradient"]["right"] is None
    assert told["within"]


def test_infinite_numbers_are_strings_in_json() -> None:
    told = json.loads(json.dumps(own("gelu_tanh").to_json(), allow_nan=False))
    assert told["backward"]["max_ulp"] == "inf"
    assert {"-inf", "inf"} & {stretch["start"] for stretch in told["non_finite"]} | {
        stretch["end"] for stretch in told["non_finite"]
    }


# Sinners: programs that are wrong in one way each.


def wrong(function: object, dtype: str = "float32", name: str = "tanh") -> tuple[str, ...]:
    return certificate(name, dtype=dtype, function=function, count=FEW).faults  # type: ignore[arg-type]  # a program


def test_a_value_that_is_some_units_off_is_found() -> None:
    faults = wrong((lambda x: torch.tanh(x) * (1 + 2e-6), exact_slope))
    assert faults[0].startswith("forward: ")
    assert "where 2 are allowed" in faults[0]


def test_a_value_that_loses_its_tail_is_found() -> None:
    def tailless(x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))

    faults = wrong(tailless, name="gelu")
    assert any(fault.startswith("forward: ") and "e+0" in fault for fault in faults)
    assert any("the gradient is 0 on the left" in fault for fault in faults)


def test_a_gradient_that_ends_too_early_is_found() -> None:
    faults = wrong((torch.tanh, lambda x: (1 - torch.tanh(x) ** 2,)))
    assert any("the gradient is 0 on the right from |x| = 9.0" in fault for fault in faults)


def test_a_kink_taken_from_the_wrong_side_is_found() -> None:
    faults = wrong((torch.relu, lambda x: ((x >= 0).to(x.dtype),)), name="relu")
    assert faults[0] in {f"by x: {2.0**149:.3g} ULP at {zero}, where 4 are allowed" for zero in ("0.0", "-0.0")}


def test_nan_that_is_swallowed_is_found() -> None:
    faults = wrong((lambda x: torch.tanh(x.nan_to_num(0.0)), exact_slope))
    assert faults == ("input nan gives 0 instead of NaN",)


def test_a_formula_that_swallows_nan_itself_may() -> None:
    assert wrong(lambda x: torch.where(x > 0, x, 0), name="where(x > 0, x, 0)") == ()


def test_a_limit_that_is_missed_is_found() -> None:
    faults = wrong((lambda x: torch.where(x == math.inf, 2.0, torch.tanh(x)), exact_slope))
    assert faults == ("input inf gives 2 instead of 1",)


def test_sixteen_bits_that_are_not_single_precision_rounded_are_found() -> None:
    def direct(x: Tensor) -> Tensor:
        return x * x * x

    faults = wrong(direct, dtype="bfloat16", name="x*x*x")
    assert any("are not the float32 result rounded once" in fault for fault in faults)


def exact_slope(x: Tensor) -> tuple[Tensor]:
    """Compute the derivative of tanh from float64."""
    y = x.double()
    return ((1 / torch.cosh(y) ** 2).to(x.dtype).nan_to_num(0.0),)


def test_a_correct_pair_of_functions_has_no_faults() -> None:
    assert wrong((lambda x: torch.tanh(x.double()).to(x.dtype), exact_slope)) == ()


# What actlab itself runs.


@pytest.mark.parametrize("formula", ["relu", "leaky_relu", "x*sigmoid(1.702*x)", "reglu"])
def test_kernels_meet_their_bounds(formula: str) -> None:
    told = certificate(formula, count=FEW)
    assert told.measured.forward.within_20 <= 2
    assert told.measured.backward is not None
    assert told.measured.backward.within_20 <= 4
    assert (told.layouts, told.threads) == ((), ())


def test_the_derivative_by_every_trainable_parameter_is_measured() -> None:
    told = certificate("prelu", count=FEW)
    assert [name for name, _ in told.measured.gradients] == ["x", "weight"]
    assert [name for name, _ in certificate("glu", count=FEW).measured.gradients] == ["value", "gate"]


def test_another_value_of_a_parameter_is_another_certificate() -> None:
    assert certificate("leaky_relu(negative_slope=0.5)", count=FEW).measured.forward.max_ulp <= 0.5
    assert certificate("leaky_relu(negative_slope=0.1)", count=FEW).measured.forward.max_ulp > 0.5


def test_fast_mode_guarantees_no_bound() -> None:
    told = certificate("relu", mode="fast", count=FEW)
    assert told.measured.forward.bound is None
    assert told.mode == "fast"


def test_an_early_zero_gradient_in_fast_mode_is_stated_without_a_fault() -> None:
    ending = (lambda x: torch.tanh(x.double()).to(x.dtype), lambda x: (torch.where(x < -9, 0, exact_slope(x)[0]),))
    short = certificate("tanh", mode="fast", function=ending, count=FEW)
    assert short.faults == ()
    (line,) = (line for line in Certified(short).lines() if line.startswith("On the left"))
    assert line == "On the left the gradient is exactly 0 from |x| = 9.000001 on, where the true one is not 0."
    assert wrong(ending)[-1] == "the gradient is 0 on the left from |x| = 9 on, where the true one is not 0"
    off = certificate("x + 1", mode="fast", function=lambda x: x + 1.001, count=FEW)
    assert not off.special[1].is_right
    assert off.faults == ()
    lost = certificate("x + 1", mode="fast", function=lambda x: torch.where(x.isinf(), 1.0, x + 1), count=FEW)
    assert lost.faults == ("input -inf gives 1 instead of -inf", "input inf gives 1 instead of inf")


def test_other_implementations_are_measured_at_the_same_points() -> None:
    told = certificate("gelu", against=("composite", "torch"), count=FEW)
    assert [other.name for other in told.others] == ["composite", "torch"]
    assert told.others[1].forward.max_ulp > 1e6 > told.others[0].forward.max_ulp
    assert certificate("gelu", function=composite(single("gelu")), count=FEW).measured.forward.max_ulp > 10


def single(name: str) -> Activation:
    act = get(name)
    assert isinstance(act, Activation)
    return act


@pytest.mark.slow
def test_compiled_and_exported_programs_have_figures_of_their_own() -> None:
    pytest.importorskip("onnxruntime", reason="needs the onnx extra: pip install 'actlab[onnx]'")
    told = certificate("silu", against=("compiled", "onnx"), count=FEW)
    assert told.others[0].forward.within_20 < 10
    assert told.others[0].backward is not None
    assert told.others[1].forward.within_20 > 1e3  # onnxruntime's sigmoid is constant beyond 18
    assert told.others[1].backward is None
    with pytest.raises(BadInput, match="ONNX Runtime is measured in float32 alone"):
        certificate("silu", dtype="float64", against=("onnx",), count=FEW)


@pytest.mark.parametrize(
    ("formula", "settings", "error", "message"),
    [
        ("softmax", {}, BadFormula, "softmax acts along an axis"),
        ("relu", {"dtype": "int8"}, BadInput, "got 'int8'"),
        ("relu", {"mode": "sloppy"}, BadInput, "mode must be accurate or fast; got 'sloppy'"),
        ("mish", {"against": ("jax",)}, BadInput, "against must be one of torch, composite, compiled, onnx; got 'jax'"),
        ("telu", {"against": ("torch",)}, BadInput, "PyTorch does not have telu"),
    ],
)
def test_invalid_requests_are_errors(formula: str, settings: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        certificate(formula, **settings)


def test_the_text_of_a_certificate() -> None:
    lines = Certified(own("tanh")).lines()
    text = "\n".join(lines)
    assert lines[0].startswith("tanh in float32, accurate mode, kernels ")
    assert "backward (x)" in text
    assert "Fault: " in text
    assert not Certified(own("tanh")).is_well
    assert "All bounds are met." in Certified(certificate("relu", count=FEW)).lines()


def test_an_implementation_of_another_activation_is_found() -> None:
    act = single("silu")
    faulty = Activation(act.name, act.summary, act.inputs, act.params, doubled(act.expression), family="typed")
    assert certificate(faulty, function=native(act), count=FEW).faults


def doubled(expression: Expr) -> Expr:
    return substitute(expression, {}) * 2
