"""Keep the distributions of each activation's input, output and gradient in a measured step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import gcd, inf, isfinite, nan, sqrt
from typing import Any, final

import torch
from torch import Tensor

from actlab.formula.activation import Activation
from actlab.sites.site import Site
from actlab.sites.trace.readable import is_in_transform, numbers_of
from actlab.telemetry.observed_activation import Measured, measured
from actlab.telemetry.quantities import Point
from actlab.telemetry.settings import Settings

MOST_VALUES = 4096
"""Of a larger tensor so many values are counted, evenly spaced: the standard error of a share is at most 0.8 points."""

BINS = 40
# Of a site that a step applies more often, such as in a recurrent network, the first applications are counted.
_MOST_CALLS = 64
_CURVE_POINTS = 241

Key = tuple[str, str, int, int, str]


@final
@dataclass(frozen=True, eq=False)
class Distribution:
    """A histogram of the values of a tensor.

    Attributes:
        low, high: the borders of the first and the last bin: the smallest and the largest finite value.
        counts: the number of values in each bin; all bins are equally wide.
        values: the number of values in the tensor.
        non_finite: how many of the counted values are NaN or infinite; they are in no bin.
        mean, rms: the mean and the root mean square of the finite values; NaN if there are none.
    """

    low: float
    high: float
    counts: tuple[int, ...]
    values: int
    non_finite: int
    mean: float
    rms: float

    @property
    def borders(self) -> tuple[float, ...]:
        """The borders of the bins, one more than bins."""
        width = (self.high - self.low) / len(self.counts)
        return (*(self.low + width * at for at in range(len(self.counts))), self.high)


@final
@dataclass(frozen=True, eq=False)
class Look:
    """What one activation received, gave and got back in one step.

    Attributes:
        site: the activation.
        z, y: the distributions of its input and its output.
        gradient: that of the derivative of the loss with respect to its output, without the loss scale; None without
            a backward pass.
        flat_share: the share of z at which |f'(z)| is at most `saturated_floor` of its largest; NaN for a function
            along an axis.
        dead_share: the share of z at which it is at most `dead_floor` of its largest.
        point: the same step's shares of units; None if the site is not measured.
    """

    site: Site
    z: Distribution | None
    y: Distribution | None
    gradient: Distribution | None
    flat_share: float = nan
    dead_share: float = nan
    point: Point | None = None


@final
@dataclass(frozen=True, eq=False)
class MeasuredStep:
    """A close look at every activation in one step.

    Attributes:
        step: the number of the training step, from 0.
        loss: its loss; None if it is not known.
        looks: the activations in the order of the forward pass.
    """

    step: int
    loss: float | None
    looks: tuple[Look, ...]


def looks_at(sites: Sequence[Site], measured: MeasuredStep) -> tuple[Look, ...]:
    """Return one look for each site; that of a site which the step did not reach holds nothing."""
    found = {key_of(look.site): look for look in measured.looks}
    return tuple(found.get(key_of(site)) or Look(site, None, None, None) for site in sites)


@final
@dataclass(frozen=True)
class Curve:
    """An activation over a range, with the parts where it passes next to no gradient.

    Attributes:
        z, y: points of the function.
        flat: the intervals in which |f'| is at most `saturated_floor` of its largest.
        dead: those in which it is at most `dead_floor` of its largest.
    """

    z: tuple[float, ...]
    y: tuple[float, ...]
    flat: tuple[tuple[float, float], ...]
    dead: tuple[tuple[float, float], ...]


@final
class CloseLook:
    """Collects the tensors of a measured step, and passes their distributions on at its end.

    Args:
        receive: called at the end of each measured step, in the thread that trains.
        settings: the floors below which a derivative counts as flat or dead.
    """

    def __init__(self, receive: Callable[[MeasuredStep], None], settings: Settings) -> None:
        self._receive, self._settings = receive, settings
        self._now: dict[Key, _Taken] = {}

    def input(self, site: Site, z: Tensor) -> None:
        """Take the input of an activation."""
        self._taken(site).z.add(z)

    def output(self, site: Site, y: Tensor) -> Any:
        """Take the output of an activation; return the handle of the hook that takes its gradient, or None."""
        taken = self._taken(site)
        taken.y.add(y)
        if is_in_transform(y) or not y.requires_grad:
            return None
        return y.register_hook(partial(_arrived, taken.gradient))  # type: ignore[no-untyped-call]  # PyTorch leaves it without types

    def close(self, step: int, *, loss: float | None, points: Mapping[Key, Point], scale: float) -> None:
        """End the step.

        Args:
            step: its number.
            loss: its loss, if known.
            points: the step's point of every measured site.
            scale: the factor by which a loss scaler multiplied the loss.
        """
        taken, self._now = self._now, {}
        looks = tuple(self._look(each, points.get(key), scale) for key, each in taken.items())
        self._receive(MeasuredStep(step, loss, looks))

    def drop(self) -> None:
        """Forget an interrupted step."""
        self._now = {}

    def _taken(self, site: Site) -> _Taken:
        return self._now.setdefault(key_of(site), _Taken(site))

    def _look(self, taken: _Taken, point: Point | None, scale: float) -> Look:
        z = taken.z.sample()
        flat, dead = nan, nan
        if z is not None and isinstance(taken.site.measured, Activation) and len(taken.site.measured.inputs) == 1:
            act = measured(taken.site.measured)
            sizes = act.pair(z)[1].abs()
            flat, dead = (_share(sizes <= floor) for floor in _floors(act, self._settings))
        return Look(
            taken.site,
            _distribution(z, taken.z.values),
            _distribution(taken.y.sample(), taken.y.values),
            _distribution(taken.gradient.sample(scale), taken.gradient.values),
            flat,
            dead,
            point,
        )


@final
class _Sample:
    """Evenly spaced values of the tensors of one step, still on their device."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.values = 0

    def add(self, tensor: Tensor) -> None:
        numbers = numbers_of(tensor)
        if numbers is None or numbers.numel() == 0 or numbers.is_complex():
            return
        self.values += numbers.numel()
        if len(self.parts) < _MOST_CALLS:
            self.parts.append(_evenly(numbers.detach()))

    def sample(self, scale: float = 1.0) -> Tensor | None:
        if not self.parts:
            return None
        whole = torch.cat([part.cpu() for part in self.parts]).double()
        return _evenly(whole) / scale


@final
class _Taken:
    """The tensors of one site in one step."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.z, self.y, self.gradient = _Sample(), _Sample(), _Sample()


def _arrived(sample: _Sample, gradient: Tensor) -> None:
    sample.add(gradient)


def _evenly(tensor: Tensor) -> Tensor:
    """Return a copy of at most `MOST_VALUES` values of all units alike: the stride shares no factor with any axis."""
    stride = -(-tensor.numel() // MOST_VALUES)
    while stride > 1 and any(size > 1 and gcd(stride, size) > 1 for size in tensor.shape):
        stride += 1
    return tensor.reshape(-1)[::stride].clone()


def _distribution(sample: Tensor | None, values: int) -> Distribution | None:
    if sample is None:
        return None
    finite, (low, high) = sample, _range(sample)
    if not (isfinite(low) and isfinite(high)):  # seldom, and selecting takes as long as all the rest
        finite = sample[sample.isfinite()]
        if not finite.numel():
            return Distribution(-0.5, 0.5, (0,) * BINS, values, sample.numel(), nan, nan)
        low, high = _range(finite)
    lost = sample.numel() - finite.numel()
    if not high - low > 1e-9 * max(abs(low), abs(high)):  # one value, up to rounding
        margin = 0.5 * max(abs(low), 1e-30)
        low, high = low - margin, high + margin
    counts = torch.histc(finite, BINS, low, high).long().tolist()
    rms = float(torch.linalg.vector_norm(finite)) / sqrt(finite.numel())
    return Distribution(low, high, tuple(counts), values, lost, float(finite.mean()), rms)


def _share(condition: Tensor) -> float:
    return int(torch.count_nonzero(condition)) / condition.numel()


def _range(sample: Tensor) -> tuple[float, float]:
    """Return the least and the largest value; NaN if there is one."""
    low, high = torch.aminmax(sample)
    return float(low), float(high)


def _floors(act: Measured, settings: Settings) -> tuple[float, float]:
    return settings.saturated_floor * act.bound, settings.dead_floor * act.bound


def curve(act: Activation, *, low: float, high: float, settings: Settings | None = None) -> Curve:
    """Return an activation of one input over a range.

    Example:
        >>> from actlab.catalog.index import get
        >>> curve(get("relu"), low=-2.0, high=2.0).dead
        ((-2.0, 0.0),)
    """
    made = measured(act)
    # torch.linspace misses 0 by rounding, and with it a kink there
    z = low + (high - low) * torch.arange(_CURVE_POINTS, dtype=torch.float64) / (_CURVE_POINTS - 1)
    with torch.no_grad():
        y, slope = made.pair(z)
    flat, dead = (
        _intervals(z.tolist(), (slope.abs() <= floor).tolist()) for floor in _floors(made, settings or Settings())
    )
    return Curve(tuple(z.tolist()), tuple(y.tolist()), flat, dead)


def _intervals(z: list[float], inside: list[bool]) -> tuple[tuple[float, float], ...]:
    """Return the intervals between the points at which `inside` is true; a single point is none."""
    found: list[tuple[float, float]] = []
    start = inf
    for at, (place, is_in) in enumerate(zip(z, inside, strict=True)):
        if is_in:
            start = min(start, place)
        if start < inf and (not is_in or at == len(z) - 1):
            end = place if is_in else z[at - 1]
            if end > start:
                found.append((start, end))
            start = inf
    return tuple(found)


def key_of(site: Site) -> Key:
    """Return what identifies a site from one pass to the next."""
    return (site.path, site.file, site.line, site.index, site.spelling)
