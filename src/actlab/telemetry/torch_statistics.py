"""Compute the statistics of every unit by PyTorch operations, for any device, dtype and layout."""

from __future__ import annotations

import torch
from torch import Tensor

from actlab.kernels.statistics.fields import BINS, MIDDLE, SAMPLED, SMALLEST, Field
from actlab.telemetry.observed_activation import Measured


def by_unit(z: Tensor, *, axis: int) -> Tensor:
    """Return the values as rows of units."""
    if z.dim() == 0:
        return z.reshape(1, 1)
    return z.movedim(axis, -1).reshape(-1, z.shape[axis])


def add_statistics(act: Measured, z: Tensor, into: Tensor, shift: Tensor, *, axis: int, floor: float) -> None:
    """Add the statistics of one pass to the table of fields and units.

    Args:
        act: the activation.
        z: its input, detached.
        into: the table, fields by units, float64.
        shift: for every unit, a value near its mean.
        axis: the axis of the units.
        floor: a unit fires where |f'| exceeds this.
    """
    rows = by_unit(z, axis=axis)
    wide = rows.to(torch.promote_types(rows.dtype, torch.float32))
    finite = torch.isfinite(wide)
    clean = torch.where(finite, wide, 0.0)
    y, slope = act.pair(clean)
    if act.by_output and rows.dtype in {torch.float16, torch.bfloat16}:
        slope = _of_output(act.by_output, y.to(rows.dtype).to(wide.dtype))
    slope = torch.where(finite, slope.abs(), 0.0)
    moved = torch.where(finite, clean.double() - shift, 0.0)
    y = torch.where(finite, y, 0.0).double()
    into[Field.POSITIONS] += rows.shape[0]
    into[Field.FIRED] += ((slope > floor) & (slope.to(rows.dtype) != 0)).sum(0)
    torch.maximum(into[Field.SLOPE_MAX], slope.amax(0).double(), out=into[Field.SLOPE_MAX])
    into[Field.SLOPE_SUM] += slope.sum(0, dtype=torch.float64)
    into[Field.SHIFTED] += moved.sum(0)
    into[Field.SQUARES] += (moved * moved).sum(0)
    into[Field.NON_FINITE] += (~finite).sum(0)
    into[Field.Y_SUM] += y.sum(0)
    into[Field.Y_SQUARES] += (y * y).sum(0)
    into[Field.Y_ZEROS] += (finite & (y == 0)).sum(0)


def _of_output(name: str, y: Tensor) -> Tensor:
    """Return the derivative as PyTorch's backward pass computes it, from the output."""
    return y * (1 - y) if name == "sigmoid" else 1 - y * y


def add_histogram(z: Tensor, into: Tensor) -> None:
    """Count the inputs, or an evenly spaced sample of them, by bins; NaN is in none."""
    count = z.numel()
    if count == 0:
        return
    picked = z.reshape(-1)[:: max(1, -(-count // SAMPLED))].float()
    exponent = torch.frexp((picked * picked).clamp(2.0**-60, 2.0**60)).exponent - 1
    away = (exponent - SMALLEST).clamp(0, MIDDLE - 1).long()
    bins = torch.where(picked < 0, MIDDLE - 1 - away, MIDDLE + away)
    held = torch.where(torch.isnan(picked), 0.0, 1.0).double()
    into.index_add_(0, bins.clamp(0, BINS - 1), held)
