"""What the theory of wide networks knows of a value, and why it parted from the measurement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import hypot
from typing import Literal, final

import numpy as np

from actlab.telemetry.signal.moments import Moments, correlation
from actlab.theory.evaluate import Floats

Reason = Literal[
    "finite width", "dependent weights", "mean of the weights", "weight sharing", "inputs differ", "mean", "not normal",
    "earlier", "not predicted",
]  # fmt: skip
"""Why measurement and theory part; each is decided by a measurement."""


@final
@dataclass(frozen=True)
class Parting:
    """A place where measurement and theory part.

    Attributes:
        place: the layer or the site.
        reason: why.
        sentence: the measurement that decided it.
    """

    place: str
    reason: Reason
    sentence: str


@final
@dataclass(frozen=True)
class Scale:
    """The layer before a value, and what normalization has made of its scale since.

    Attributes:
        sigma_w2, sigma_b2, norms: as in `Layer`.
        predicted, measured: the factor of squares since.
    """

    sigma_w2: float
    sigma_b2: float
    norms: Floats
    predicted: float = 1.0
    measured: float = 1.0


@final
@dataclass(frozen=True)
class State:
    """What the theory knows of a value.

    Attributes:
        covariance: the mean product of each pair of examples.
        mean: by example.
        is_normal: whether its units are normal numbers, as behind a wide layer.
        roots: the weights and inputs that it is an element-wise function of.
        inherited: the standard errors of mean square and correlation, measured minus predicted, from earlier layers.
        own: those from the units of the last layer.
        layer: the layer before, if nothing but moves, a bias or a normalization lies between.
        partings: where measurement and theory parted on the way here.
        since: why the prediction starts afresh behind some value; empty if it starts at the inputs.
    """

    covariance: Floats
    mean: Floats
    is_normal: bool
    roots: frozenset[str]
    inherited: tuple[float, float] = (0.0, 0.0)
    own: tuple[float, float] = (0.0, 0.0)
    layer: Scale | None = None
    partings: tuple[Parting, ...] = ()
    since: str = ""

    @property
    def square(self) -> float:
        """The mean square over all examples."""
        return float(np.diagonal(self.covariance).mean())

    @property
    def correlation(self) -> float:
        """The correlation of two inputs."""
        return correlation(self.covariance)

    @property
    def errors(self) -> tuple[float, float]:
        """The standard errors of mean square and correlation, measured minus predicted."""
        return hypot(self.inherited[0], self.own[0]), hypot(self.inherited[1], self.own[1])

    def times(self, factor: float) -> State:
        """Return the value times a number."""
        square, layer = factor**2, self.layer
        if layer is not None:
            layer = replace(layer, predicted=layer.predicted * square, measured=layer.measured * square)
        return replace(
            self,
            covariance=self.covariance * square,
            mean=self.mean * factor,
            inherited=(self.inherited[0] * square, self.inherited[1]),
            own=(self.own[0] * square, self.own[1]),
            layer=layer,
        )

    def shifted(self, square: float) -> State:
        """Return the value plus independent numbers that are the same for all examples, from their mean square."""
        return replace(self, covariance=self.covariance + square)


def begun(measured: Moments, *, roots: frozenset[str], since: str = "", is_normal: bool = False) -> State:
    """Return a state that starts at what was measured."""
    return State(measured.covariance, measured.mean, is_normal, roots, since=since)
