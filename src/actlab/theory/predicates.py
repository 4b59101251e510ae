"""Yes-or-no questions about an activation, answered from its properties.

Every predicate returns False where the property it needs is unknown: True always means that it is established.
"""

from __future__ import annotations

from actlab.errors import CannotLower
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.text import text
from actlab.theory.properties import properties
from actlab.theory.record import Properties, Unknown

# A range is computed to about 1e-11: an end this close to 0 or 1 counts as 0 or 1.
_SLACK = 1e-9


def leaves_unit_interval(act: Activation | AxisActivation) -> bool:
    """Return whether the range passes 0 or 1, so that the outputs are not probabilities.

    Example:
        >>> from actlab.catalog.index import CATALOG
        >>> [leaves_unit_interval(CATALOG[name]) for name in ("hard_swish", "hard_sigmoid", "softmax")]
        [True, False, False]
    """
    lower, upper = _range(act)
    return (lower is not None and lower < -_SLACK) or (upper is not None and upper > 1 + _SLACK)


def stays_in_unit_interval(act: Activation | AxisActivation) -> bool:
    """Return whether every output lies between 0 and 1, as those of a sigmoid and of softmax do."""
    lower, upper = _range(act)
    return lower is not None and upper is not None and lower >= -_SLACK and upper <= 1 + _SLACK


def is_nonnegative(act: Activation | AxisActivation) -> bool:
    """Return whether no output is negative, bounded above (sigmoid, relu6) or not (relu, softplus)."""
    lower, _ = _range(act)
    return lower is not None and lower >= -_SLACK


def is_half_line(act: Activation | AxisActivation) -> bool:
    """Return whether no output is negative and the outputs have no upper bound: relu and softplus, but not relu6."""
    _, upper = _range(act)
    return is_nonnegative(act) and upper == float("inf")


def saturated_sides(act: Activation | AxisActivation) -> tuple[str, ...]:
    """Return the sides, "left" or "right", on which the activation tends to a finite limit without reaching it.

    A side on which it is exactly constant does not count: units there are dead rather than saturated.
    """
    known = _known(act)
    return () if known is None or isinstance(known.saturates, Unknown) else known.saturates


def saturates(act: Activation | AxisActivation) -> bool:
    """Return whether the activation saturates on either side.

    Example:
        >>> from actlab.catalog.index import CATALOG
        >>> [saturates(CATALOG[name]) for name in ("tanh", "silu", "relu", "leaky_relu")]
        [True, True, False, False]
    """
    return bool(saturated_sides(act))


def is_piecewise_linear(act: Activation) -> bool:
    """Return whether the second derivative by the input is 0 wherever it exists, as that of relu.

    Example:
        >>> from actlab.catalog.index import CATALOG
        >>> [is_piecewise_linear(CATALOG[name]) for name in ("relu", "hard_tanh", "elu", "tanh")]
        [True, True, False, False]
    """
    return len(act.inputs) == 1 and text(act.derivative(times=2)) == "0"


def _range(act: Activation | AxisActivation) -> tuple[float | None, float | None]:
    known = _known(act)
    if known is None:
        return None, None
    lower, upper = known.range.lower, known.range.upper
    return None if isinstance(lower, Unknown) else lower, None if isinstance(upper, Unknown) else upper


def _known(act: Activation | AxisActivation) -> Properties | None:
    """Return the properties; None for a formula of weights without values, of which none can be computed."""
    try:
        return properties(act)
    except CannotLower:
        return None
