"""Kernels of networks of infinite width: the covariance of their outputs, and the tangent kernel of their training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from actlab.catalog.index import get
from actlab.errors import BadInput, shortened
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.theory.dual import dual
from actlab.theory.evaluate import Floats, of_x, slope_of
from actlab.theory.gaussian import differentiable

KernelKind = Literal["nngp", "ntk"]
_KINDS: tuple[KernelKind, ...] = ("nngp", "ntk")


def kernel(
    formula: str | Activation | AxisActivation,
    K: ArrayLike,
    kind: str = "nngp",
    *,
    depth: int = 1,
    sigma_w: float = 1.0,
    sigma_b: float = 0.0,
    **params: float,
) -> Floats:
    """Return the kernel of an infinitely wide network on n inputs, as an n × n matrix.

    One step is K ← σ_b² + σ_w² E f(u) f(v), where u and v are jointly normal with the covariance K. The tangent kernel
    Θ starts as K; its step is Θ ← K + σ_w² Θ E f'(u) f'(v), with the new K and the derivatives under the old one.
    The relative error of the means is at most 1e-9. A correlation within rounding of ±1 counts as ±1.

    Args:
        formula: an activation of one input, its name, or a formula as text.
        K: the covariance of the inputs at the first layer, n × n: σ_b² + σ_w² x·x′/(number of features).
        kind: `nngp`, the covariance of the outputs, or `ntk`, the tangent kernel.
        depth: the number of activation layers.
        sigma_w: the standard deviation of the weights, times the root of the layer's width.
        sigma_b: the standard deviation of the biases.
        params: values for the activation's parameters.

    Raises:
        NoMoment: E f² does not exist or cannot be computed at a variance that occurs; for `ntk`, also if E f'² does not
            exist, as for a function that jumps.
        BadInput: K is not a finite, symmetric, positive semi-definite matrix, the activation has more than one input,
            or another argument is out of range.

    Source:
        Lee et al. 2018, arXiv:1711.00165; Jacot et al. 2018, arXiv:1806.07572.

    Example:
        >>> kernel("relu", [[1.0, 0.0], [0.0, 1.0]], sigma_w=2**0.5).round(6).tolist()
        [[1.0, 0.31831], [0.31831, 1.0]]
    """
    act = of_one_input(formula, params)
    chosen = _kind_named(kind)
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise BadInput(f"depth, the number of activation layers, must be a positive integer; got {depth!r}.")
    weight = admitted(sigma_w, name="sigma_w") ** 2
    bias = admitted(sigma_b, name="sigma_b") ** 2
    covariance = _covariance(K)
    tangent = covariance
    value = of_x(act)
    slope = slope_of(differentiable(act)) if chosen == "ntk" else None
    for _ in range(depth):
        after = bias + weight * dual(value, covariance, cut_like=value, owner=f"{act.label}: E f²")
        if slope is not None:
            slopes = dual(slope, covariance, cut_like=value, owner=f"{act.label}: E f'²")
            tangent = after + weight * tangent * slopes
        covariance = after
    return covariance if slope is None else tangent


def of_one_input(formula: str | Activation | AxisActivation, params: dict[str, float]) -> Activation:
    """Return the activation.

    Raises:
        BadInput: it acts along an axis or has two inputs.
    """
    act = get(formula, **params)
    if isinstance(act, AxisActivation):
        raise BadInput(f"{act.name} acts along an axis; this needs an element-wise activation.")
    if len(act.inputs) != 1:
        raise BadInput(f"{act.label} has {len(act.inputs)} inputs; this needs an activation of one input.")
    return act


def admitted(deviation: float, *, name: str) -> float:
    """Return the standard deviation as a float.

    Raises:
        BadInput: it is not a finite number of at least 0.
    """
    is_number = isinstance(deviation, int | float | np.floating) and not isinstance(deviation, bool)
    if not is_number or not 0 <= deviation < math.inf:
        raise BadInput(f"{name} must be finite and at least 0; got {shortened(repr(deviation))}.")
    return float(deviation)


def _kind_named(kind: str) -> KernelKind:
    for known in _KINDS:
        if kind == known:
            return known
    raise BadInput(f"kind must be one of {', '.join(_KINDS)}; got '{shortened(str(kind))}'.")


def _covariance(matrix: ArrayLike | Sequence[Sequence[float]]) -> Floats:
    """Return the matrix in double precision, symmetric to the last bit and without negative variances."""
    try:
        raw = np.asarray(matrix)
        found = raw.astype(np.float64, casting="same_kind" if raw.dtype.kind == "f" else "safe")
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput("K must be an n × n matrix of real numbers. Pass an array, or a detached CPU tensor.") from error
    if found.ndim != 2 or found.shape[0] != found.shape[1] or found.size == 0:
        shape = " × ".join(map(str, found.shape)) or "a single number"
        raise BadInput(f"K must be square, n × n with at least one input; got {shape}.")
    if not np.isfinite(found).all():
        raise BadInput("K must be finite; got an infinite or undefined element.")
    precision = np.finfo(raw.dtype if raw.dtype.kind == "f" else np.float64).eps
    allowed = 100 * len(found) * float(precision) * float(np.abs(found).max())
    apart = np.abs(found - found.T)
    if apart.max() > allowed:
        i, j = np.unravel_index(int(apart.argmax()), apart.shape)
        raise BadInput(f"K must be symmetric; got {found[i, j]:g} at ({i}, {j}) and {found[j, i]:g} at ({j}, {i}).")
    found = found / 2 + found.T / 2
    least = float(np.linalg.eigvalsh(found)[0])
    if least < -allowed:
        raise BadInput(f"K must be positive semi-definite, as a covariance is; got the eigenvalue {least:g}.")
    np.fill_diagonal(found, np.maximum(np.diagonal(found), 0.0))
    return found
