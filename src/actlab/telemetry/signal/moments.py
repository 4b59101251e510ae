"""Measured moments of a tensor: covariances of the examples, and how well the units determine them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from actlab.sites.trace.readable import is_readable
from actlab.theory.evaluate import Floats


@final
@dataclass(frozen=True)
class Moments:
    """The moments of a tensor over its units and positions.

    Attributes:
        covariance: the mean product of each pair of examples, n × n; the means of the units are not taken off.
        mean: by example.
        units: the number of units.
        square_error: the standard error of the mean square, from its spread over the units.
        free_error: the same, if all positions were independent; NaN without positions.
        correlation_error: the standard error of the correlation of two examples.
        kurtosis: E z⁴/(E z²)², over the units of each example; 3 for normal numbers.
        has_positions: whether each unit has several numbers for one example.
    """

    covariance: Floats
    mean: Floats
    units: int
    square_error: float
    free_error: float
    correlation_error: float
    kurtosis: float
    has_positions: bool

    @property
    def square(self) -> float:
        """The mean square over all examples."""
        return float(np.diagonal(self.covariance).mean())

    @property
    def correlation(self) -> float:
        """The mean product of two different examples, divided by the mean square."""
        return correlation(self.covariance)

    def error_of(self, predicted: float) -> float:
        """Return the standard error of the mean square if `predicted` is right: the measured one, in proportion."""
        return self.square_error / self.square * predicted if self.square > 0 else 0.0

    def error_if_normal(self, predicted: Floats) -> float:
        """Return the standard error of the mean square if the units are normal with the predicted covariance.

        With positions, of whose covariance nothing is known, it is the measured one in proportion.
        """
        if self.has_positions:
            return self.error_of(float(np.diagonal(predicted).mean()))
        return math.sqrt(2 * float((predicted * predicted).mean()) / self.units)


def correlation(covariance: Floats) -> float:
    """Return the mean covariance of two different examples divided by the mean variance; NaN for one example."""
    count = len(covariance)
    variance = float(np.trace(covariance)) / count
    if count < 2 or variance <= 0:
        return math.nan
    return float(covariance.sum() / count - variance) / (count - 1) / variance


def is_measurable(tensor: Tensor, *, examples: int) -> bool:
    """Return whether the tensor holds finite numbers of each example along its first axis."""
    is_batch = tensor.dim() > 1 and tensor.shape[0] == examples and tensor.numel() > 0
    return is_batch and tensor.is_floating_point() and is_readable(tensor) and bool(tensor.detach().isfinite().all())


def moments(tensor: Tensor, *, axis: int = -1) -> Moments:
    """Return the moments of a tensor with the examples along its first axis.

    Args:
        tensor: at least two axes; finite.
        axis: the axis of the units.
    """
    values = tensor.detach().movedim(axis, 1).flatten(2).double().cpu() if tensor.dim() > 2 else _matrix(tensor)
    examples, units, positions = values.shape
    rows = values.flatten(1)
    covariance = rows @ rows.T / rows.shape[1]
    squares = values.square()
    by_unit = squares.mean((0, 2))
    of_pairs = torch.zeros_like(by_unit)
    if examples > 1:
        sums = values.sum(0).square().mean(1)
        of_pairs = (sums - by_unit * examples) / (examples * (examples - 1))
    square = float(by_unit.mean())
    common = float(of_pairs.mean()) / square if square > 0 else 0.0
    free = squares.mean(0).flatten()
    per_example = squares.flatten(1)
    kurtosis = per_example.square().mean(1) / per_example.mean(1).square().clamp(min=1e-300)
    return Moments(
        covariance.numpy(),
        rows.mean(1).numpy(),
        units,
        _error(by_unit),
        _error(free) if positions > 1 else math.nan,
        _error(of_pairs - common * by_unit) / square if square > 0 else 0.0,
        float(kurtosis.mean()),
        positions > 1,
    )


def _matrix(tensor: Tensor) -> Tensor:
    return tensor.detach()[:, :, None].double().cpu()


def _error(values: Tensor) -> float:
    """Return the standard error of the mean of independent values; infinite for a single one."""
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.inf
