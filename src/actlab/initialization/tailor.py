"""Transform an activation for the depth of a model, by Deep Kernel Shaping or Tailored Activation Transformations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, final

from torch import nn

from actlab.errors import BadInput, NoMoment, shortened
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.initialization.batch import Arguments, arguments_of, random_arguments, refuse_lazy
from actlab.initialization.passes import Pass
from actlab.initialization.subnetworks import Network, network_of
from actlab.jsonable import plain
from actlab.rules.context import Context
from actlab.rules.observed import Observed
from actlab.sites.find import recorded
from actlab.sites.swap.swap import swap
from actlab.sites.trace.preserve_state import copy_of
from actlab.sites.trace.run import unwrapped
from actlab.theory.infinite_width import of_one_input
from actlab.theory.tailored import (
    Transform,
    deep_kernel_shaping,
    half_lines,
    leaky_correlation,
    tailored_leaky_relu,
    tailored_smooth,
)

Method = Literal["dks", "tat"]
_METHODS: tuple[Method, ...] = ("dks", "tat")


@final
@dataclass(frozen=True)
class Tailored:
    """An activation that was transformed for a model.

    Attributes:
        original: the activation that was transformed.
        method: `dks` or `tat`.
        transform: the constants, the transformed activation, and what it does to variance and correlation.
        target: what one nonlinear layer has to do: C'(1) for `dks`, C''(1) for `tat` of a smooth function, C(0) for
            `tat` of a leaky ReLU.
        reached: what the whole network then does at most, over all its subnetworks.
        network: the graph of the model.
        note: a condition that could not be fulfilled; empty if all are.
    """

    original: str
    method: Method
    transform: Transform
    target: float
    reached: float
    network: Network
    note: str = ""
    arguments: Arguments = field(default=((), {}), repr=False, compare=False)

    @property
    def activation(self) -> Activation:
        """The transformed activation, which every function of actlab takes."""
        return self.transform.activation

    def apply(self, model: nn.Module) -> nn.Module:
        """Return a copy of the model with the transformed activation at each of its nonlinear layers.

        The weights are those of the model; `actlab.initialize(copy, batch, "orthogonal")` draws what is assumed.

        Raises:
            BadInput: an activation of the model cannot be replaced.
        """
        copied = copy_of(unwrapped(model))
        mapping = {site.name: self.activation for site in self.network.sites}
        done = swap(copied, mapping, *self.arguments[0], **self.arguments[1])
        if done.unchanged:
            stays = done.unchanged[0]
            raise BadInput(f"tailor: {stays.place} cannot be replaced: {stays.why}.")
        return copied

    def to_json(self) -> dict[str, Any]:
        """Return everything but the graph, as plain values."""
        of = self.transform
        values = {
            "original": self.original,
            "method": self.method,
            "activation": self.activation.name,
            "alpha": of.alpha,
            "beta": of.beta,
            "gamma": of.gamma,
            "delta": of.delta,
            "negative_slope": of.negative_slope,
            "q": of.q,
            "q_slope": of.q_slope,
            "c_at_zero": of.c_at_zero,
            "c_slope": of.c_slope,
            "c_curvature": of.c_curvature,
            "target": self.target,
            "reached": self.reached,
            "nonlinear_layers": self.network.nonlinear_layers,
            "sites": [site.name for site in self.network.sites],
            "note": self.note,
        }
        plainly: dict[str, Any] = plain(values)
        return plainly

    def lines(self) -> list[str]:
        """Return the transformed activation, what it does, and where it belongs."""
        of = self.transform
        layers = self.network.nonlinear_layers
        variance = f"Q(1) = {of.q:.6g}, Q'(1) = {of.q_slope:.6g}"
        names = ", ".join(site.name for site in self.network.sites)
        found = [
            f"{self.original} -> {self.activation.name}",
            f"one layer: {variance}, C(0) = {of.c_at_zero:.6g}, C'(1) = {of.c_slope:.6g}",
            f"{layers} nonlinear layer{'' if layers == 1 else 's'}: {names}",
        ]
        return [*found, *([self.note] if self.note else [])]


def tailor(
    formula: str | Activation | AxisActivation,
    *,
    model: nn.Module,
    batch: Any = None,
    method: str = "dks",
    zeta: float = 1.5,
    tau: float = 0.3,
    eta: float = 0.9,
    **params: float,
) -> Tailored:
    """Transform an activation so that the model trains at its depth: f̂(x) = γ (f(α x + β) + δ).

    How the correlation of two inputs changes on the way through the model follows from its graph: nonlinear layers,
    sums whose weights have squares that add up to 1 or that layer normalization follows, concatenations. Attention
    counts as a fixed mean over places. The model is not changed. Inputs should have a mean square of 1 for each example.

    Args:
        formula: an activation of one input, its name, or a formula as text.
        model: the model whose nonlinear layers the activation is for.
        batch: as for `initialize`; without it, random inputs of a likely shape.
        method: `dks`, Deep Kernel Shaping, or `tat`, Tailored Activation Transformations: a leaky ReLU for functions of
            two half-lines such as ReLU, the transformed function for smooth ones.
        zeta: for `dks`, the largest C'(1) of a subnetwork, above 1.
        tau: for `tat` of a smooth function, the largest C''(1) of a subnetwork, above 0.
        eta: for `tat` of a leaky ReLU, the largest C(0) of a subnetwork, between 0 and 1.
        params: values for the activation's parameters.

    Raises:
        BadInput: the conditions do not hold for this model: an activation without a layer of random weights before it,
            pooling, batch normalization, dropout, a sum that is not normalized, a gated unit; or an argument is out of
            range.
        NoMoment: no constants fulfill the conditions for this activation.

    Source:
        Martens et al. 2021, arXiv:2110.01765; Zhang et al. 2022, arXiv:2203.08120.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
        >>> found = tailor("tanh", model=model)
        >>> round(found.target**2, 9), round(found.transform.alpha, 4)
        (1.5, 0.7667)
        >>> found.apply(model)[1].activation == found.activation
        True
    """
    act = of_one_input(formula, params)
    chosen = _method_named(method)
    _refuse_out_of_range(zeta=zeta, tau=tau, eta=eta)
    inner = unwrapped(model)
    refuse_lazy(inner, owner="tailor")
    arguments = _arguments(inner, batch)
    network = network_of(Pass(Context(recorded(inner, arguments[0], dict(arguments[1])), Observed(), inner)))
    transform, target, reached, note = _transformed(act, chosen, network, zeta=zeta, tau=tau, eta=eta)
    return Tailored(act.label, chosen, transform, target, reached, network, note, arguments)


def _method_named(method: str) -> Method:
    for known in _METHODS:
        if str(method).lower() == known:
            return known
    raise BadInput(f"tailor: the method must be dks or tat; got '{shortened(str(method))}'.")


def _refuse_out_of_range(*, zeta: float, tau: float, eta: float) -> None:
    if not 1 < zeta < 1e6:
        raise BadInput(f"tailor: zeta, the largest C'(1), must be above 1; got {zeta!r}.")
    if not 0 < tau < 1e6:
        raise BadInput(f"tailor: tau, the largest C''(1), must be above 0; got {tau!r}.")
    if not 0 < eta < 1:
        raise BadInput(f"tailor: eta, the largest C(0), must be between 0 and 1; got {eta!r}.")


def _arguments(model: nn.Module, batch: Any) -> Arguments:
    if batch is not None:
        return arguments_of(batch, owner="tailor")
    for arguments in random_arguments(model):
        try:
            recorded(model, arguments[0], dict(arguments[1]))
        except BadInput:
            continue
        return arguments
    raise BadInput("tailor: the model does not run on random inputs of a likely shape. Pass a batch.")


def _transformed(
    act: Activation, method: Method, network: Network, *, zeta: float, tau: float, eta: float
) -> tuple[Transform, float, float, str]:
    """Return the transform, the target of one layer, what the network reaches, and a note."""
    if method == "dks":
        target = _root(lambda slope: network.largest(lambda value: slope * value, 1.0) - zeta, 1.0, zeta)
        transform = deep_kernel_shaping(act, target)
        note = ""
        if half_lines(act) is not None and transform.negative_slope is None:
            note = (
                f"Q'(1) = {transform.q_slope:.4g}, not 1: two half-lines leave no constant for it. Method 'tat' fits"
                " them better."
            )
        return transform, target, network.largest(lambda value: transform.c_slope * value, 1.0), note
    if half_lines(act) is not None:
        return _leaky(network, eta)
    target = _root(lambda curvature: network.largest(lambda value: value + curvature, 0.0) - tau, 0.0, tau)
    transform = tailored_smooth(act, target)
    if transform.c_curvature is None:
        raise NoMoment(f"{act.label}: E f''² does not exist.")
    curvature = transform.c_curvature
    return transform, target, network.largest(lambda value: value + curvature, 0.0), ""


def _leaky(network: Network, eta: float) -> tuple[Transform, float, float, str]:
    def reached(slope: float) -> float:
        return network.largest(lambda value: leaky_correlation(value, slope), 0.0)

    note = ""
    if reached(0.0) <= eta:
        slope, note = 0.0, f"ReLU itself keeps C(0) at {reached(0.0):.4g}, below eta."
    else:
        slope = _root(lambda slope: eta - reached(slope), 0.0, 1.0)
    transform = tailored_leaky_relu(slope)
    return transform, leaky_correlation(0.0, slope), reached(slope), note


def _root(function: Callable[[float], float], lower: float, upper: float) -> float:
    from scipy.optimize import brentq  # half a second that only a search pays

    if function(upper) == 0:
        return upper
    return float(brentq(function, lower, upper, xtol=1e-15, rtol=1e-14))
