"""Facts about training, outputs, cost and comparisons, by the name that a lesson uses for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import ndtr
from torch.nn.init import calculate_gain

from actlab.catalog.index import get
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.lessons.facts import slope, value
from actlab.lessons.signal import DEFAULT_WEIGHTS, shares
from actlab.lessons.training_numbers import number
from actlab.theory.evaluate import evaluator, of_x
from actlab.theory.operations import OPERATIONS_OF_A_CALL
from actlab.theory.properties import properties
from actlab.theory.record import Extremum, Unknown
from actlab.train.builtin import builtin_task
from actlab.verbs.activation_lookup import activation_named

ERROR = 0.05
"""The chance of a false claim that a comparison allows."""


def quotient(table: str, row: str, column: str, other_row: str, other_column: str) -> float:
    """Return one measured number over another of the same table."""
    return number(table, row, column) / number(table, other_row, other_column)


def arrives(formula: str, layers: float, setting: str = "default", weights: float = DEFAULT_WEIGHTS) -> float:
    """Return the size of the gradient behind the first activation over that behind the last, before training."""
    return shares(formula, int(layers), setting=setting, weights=weights)[0]


def per_layer(formula: str, setting: str = "default", weights: float = DEFAULT_WEIGHTS) -> float:
    """Return the factor of a gradient's size over one layer: the geometric mean over a network of eight."""
    return float(arrives(formula, 8, setting, weights) ** (1 / 7))


def critical_spread(formula: str) -> float:
    """Return σw², the weights' variance times the inputs, at which eight layers keep a gradient's size."""
    return float(brentq(lambda spread: per_layer(formula, weights=spread) - 1, 0.1, 1000))


def slope_power(formula: str, x: float, layers: float) -> float:
    """Return the derivative at x to the power of the number of layers."""
    return float(slope(formula, x) ** layers)


def softmax(at: float, *logits: float) -> float:
    """Return one probability of a softmax; the first logit is number 1."""
    return float(_softmax(np.array(logits))[int(at) - 1])


def softmax_slope(of: float, by: float, *logits: float) -> float:
    """Return the derivative of one probability with respect to one logit; both count from 1."""
    p = _softmax(np.array(logits))
    return float(p[int(of) - 1] * ((of == by) - p[int(by) - 1]))


def cross_entropy(target: float, *logits: float) -> float:
    """Return the cross-entropy of logits, in nats; the right class counts from 1."""
    values = np.array(logits)
    return float(np.logaddexp.reduce(values) - values[int(target) - 1])


def floor_of_softmax_twice(classes: float) -> float:
    """Return the least cross-entropy that a softmax before the loss allows, in nats."""
    return cross_entropy(1, 1.0, *[0.0] * (int(classes) - 1))


def floor_of_sigmoid_twice(target: float) -> float:
    """Return the least binary cross-entropy of one target that a sigmoid before the loss allows, in nats."""
    return math.log1p(math.exp(-1)) if target == 1 else math.log(2)


def false_alarm(tests: float) -> float:
    """Return the chance of at least one false claim in so many independent tests at the allowed error."""
    return float(1 - (1 - ERROR) ** tests)


def pytorch_gain_of_tanh() -> float:
    """Return what torch.nn.init.calculate_gain has for tanh."""
    return float(calculate_gain("tanh"))


def floor_of_guessing(classes: float) -> float:
    """Return the cross-entropy of equal probabilities, in nats."""
    return math.log(classes)


def sigmoid_loss_slope(loss: str, logit: float) -> float:
    """Return the derivative by the logit of a loss behind a sigmoid, for the target 1.

    Args:
        loss: squared (the squared error) or cross-entropy.
        logit: the input of the sigmoid.

    Raises:
        BadInput: the loss is neither of them.
    """
    p = value("sigmoid", logit)
    slopes = {"cross-entropy": p - 1, "squared": 2 * (p - 1) * slope("sigmoid", logit)}
    if loss not in slopes:
        raise BadInput(f"the loss must be one of {', '.join(slopes)}; got '{loss}'.")
    return slopes[loss]


def rows(task: str) -> int:
    """Return the number of rows of a built-in task, in all its parts."""
    found = builtin_task(task)
    return sum(len(part.targets) for part in (found.train, found.valid, found.test))


def lowest(formula: str) -> float:
    """Return where an activation has its minimum."""
    return _minimum(formula).at


def least(formula: str) -> float:
    """Return the minimum of an activation."""
    return _minimum(formula).value


def _minimum(formula: str) -> Extremum:
    found = properties(activation_named(formula)).minimum
    if not isinstance(found, Extremum):
        raise BadInput(f"{formula} has no known minimum.")
    return found


def slope_jump(formula: str) -> float:
    """Return how much the derivative jumps at the first kink."""
    kinks = properties(activation_named(formula)).kinks
    if isinstance(kinks, Unknown) or not kinks:
        raise BadInput(f"{formula} has no known kink.")
    left, right = kinks[0].left_slope, kinks[0].right_slope
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        raise BadInput(f"{formula}: the derivatives beside its first kink are not known.")
    return right - left


def largest_gap(formula: str, other: str) -> float:
    """Return the largest distance between two activations from -8 to 8."""
    x = np.linspace(-8, 8, 160_001)
    acts = (get(formula), get(other))
    if not all(isinstance(act, Activation) for act in acts):
        raise BadInput(f"two element-wise activations are required; got {formula} and {other}.")
    one, two = (evaluator((of_x(act),))(x)[0] for act in acts if isinstance(act, Activation))
    return float(np.abs(one - two).max())


def share_of_operations(width: float) -> float:
    """Return the share of an exponential in the operations behind a linear layer with so many inputs."""
    return OPERATIONS_OF_A_CALL / (2 * width + OPERATIONS_OF_A_CALL)


def smallest_p(seeds: float) -> float:
    """Return the smallest p-value of an exact two-sided signed-rank test with so many seeds."""
    return float(2 / 2**seeds)


def seeds_for_a_claim(candidates: float) -> int:
    """Return the least number of seeds that can prove anything of so many candidates, by Holm's first step."""
    return math.ceil(math.log2(2 * candidates / ERROR))


def lead_of_luck(arms: float, seeds: float = 1) -> float:
    """Return the expected lead of the best of equally good arms over their mean, in standard deviations of one run."""
    return _expected_largest(int(arms)) / math.sqrt(seeds)


def _expected_largest(count: int) -> float:
    """Return the expected largest of independent standard normal numbers."""
    above = quad(lambda x: 1 - ndtr(x) ** count, 0, 12)[0]
    return float(above - quad(lambda x: ndtr(x) ** count, -12, 0)[0])


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


FACTS: Mapping[str, Callable[..., float | int | str]] = {
    "arrives": arrives,
    "critical_spread": critical_spread,
    "cross_entropy": cross_entropy,
    "false_alarm": false_alarm,
    "floor_of_guessing": floor_of_guessing,
    "floor_of_sigmoid_twice": floor_of_sigmoid_twice,
    "floor_of_softmax_twice": floor_of_softmax_twice,
    "largest_gap": largest_gap,
    "lead_of_luck": lead_of_luck,
    "least": least,
    "lowest": lowest,
    "measured": number,
    "per_layer": per_layer,
    "pytorch_gain_of_tanh": pytorch_gain_of_tanh,
    "quotient": quotient,
    "rows": rows,
    "seeds_for_a_claim": seeds_for_a_claim,
    "share_of_operations": share_of_operations,
    "sigmoid_loss_slope": sigmoid_loss_slope,
    "slope_jump": slope_jump,
    "slope_power": slope_power,
    "smallest_p": smallest_p,
    "softmax": softmax,
    "softmax_slope": softmax_slope,
}
"""Every fact of the lessons on training, by name."""
