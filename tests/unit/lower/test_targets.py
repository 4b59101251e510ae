"""Each target's own spellings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mpmath import mp, mpf
from scipy import special

from actlab.catalog.index import CATALOG
from actlab.errors import CannotLower
from actlab.formula.activation import Activation
from actlab.formula.along_axis import REDUCTIONS
from actlab.formula.atoms import ATOMS, log, spherical_bessel, where
from actlab.formula.expr import Input
from actlab.lower import to_latex, to_mpmath, to_numpy, to_torch
from actlab.lower.choose import TARGETS, lowering

X = Input("x")


@pytest.mark.parametrize("target", [to_numpy, to_torch, to_mpmath], ids=lambda target: target.SPELLING.target)
def test_every_atom_has_a_spelling(target):
    assert set(target.SPELLING.atoms) == set(ATOMS)


@pytest.mark.parametrize("target", [to_numpy, to_torch], ids=lambda target: target.SPELLING.target)
def test_every_reduction_has_a_spelling(target):
    assert set(target.SPELLING.reductions) == set(REDUCTIONS)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_spherical_bessel_functions_equal_scipy_s(order):
    points = np.array([-30.0, -4.0, -2.0, -0.5, 0.0, 1e-9, 0.5, 1.9, 2.1, 3.0, 5.1, 40.0])
    wanted = np.sign(points) ** order * special.spherical_jn(order, np.abs(points))
    with np.errstate(all="ignore"):
        ours = to_numpy.program([spherical_bessel(order, X)], [X]).function(points)
    np.testing.assert_allclose(ours, wanted, rtol=1e-13, atol=1e-15)
    theirs = to_torch.program([spherical_bessel(order, X)], [X]).function(torch.tensor(points))
    np.testing.assert_allclose(theirs.numpy(), wanted, rtol=1e-13, atol=1e-15)


def test_mpmath_works_out_only_the_branch_it_takes():
    function = to_mpmath.program([where(X <= 0, 0, log(X) + log(X))], [X]).function
    assert function(mpf(0)) == 0
    with mp.workdps(50):
        assert function(mpf(2)) == 2 * mp.log(2)


@pytest.mark.parametrize("name", [act.name for act in CATALOG.values() if act.family == "along_axis"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_numpy_and_torch_agree_along_every_axis(name, axis):
    x = np.random.default_rng(3).normal(size=(4, 3, 5))
    expression = CATALOG[name].expression
    ours = to_numpy.program([expression], [X]).function(x, axis)
    theirs = to_torch.program([expression], [X]).function(torch.tensor(x), axis)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-13, atol=1e-15)


def test_a_target_is_chosen_by_name():
    assert set(TARGETS) >= {"numpy", "torch", "mpmath"}
    assert lowering("numpy") is TARGETS["numpy"]
    with pytest.raises(CannotLower, match="there is no target 'fortran'; choose one of numpy, torch, mpmath, keras"):
        lowering("fortran")


@pytest.mark.parametrize(
    ("name", "latex"),
    [
        ("gelu", r"x \, \Phi\left(x\right)"),
        ("swish", r"x \, \sigma\left(1 \, x\right)"),
        ("relu", r"\begin{cases} 0 & \text{if } x \le 0 \\ x & \text{otherwise} \end{cases}"),
        (
            "relu6",
            r"\begin{cases} 0 & \text{if } x \le 0 \\ 6 & \text{if } x \ge 6 \\ x & \text{otherwise} \end{cases}",
        ),
        ("gaussian", r"e^{-\left(x \, x\right)}"),
        ("bilinear", r"\mathrm{value} \, \mathrm{gate}"),
    ],
)
def test_latex(name, latex):
    assert to_latex.latex(CATALOG[name].formula) == latex


@pytest.mark.parametrize("act", CATALOG.values(), ids=str)
def test_latex_of_every_formula_closes_what_it_opens(act):
    formulas = [act.formula, act.derivative()] if isinstance(act, Activation) else [act.expression, act.jvp, act.vjp]
    for formula in formulas:
        latex = to_latex.latex(formula)
        assert latex.count("{") == latex.count("}")
        assert latex.count(r"\left") == latex.count(r"\right")
        assert latex.count(r"\begin") == latex.count(r"\end")
        assert "None" not in latex
