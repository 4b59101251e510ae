"""Add the values of one pass to the tables: by machine code if there is any for them, else by PyTorch operations."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import final

import torch
from torch import Tensor

from actlab.errors import CannotLower, NoKernels
from actlab.kernels.elementwise.kernels import MEMORY
from actlab.kernels.statistics.fields import BINS
from actlab.kernels.statistics.kernels import PassKernel, pass_kernel
from actlab.telemetry.observed_activation import Measured
from actlab.telemetry.table import Table
from actlab.telemetry.torch_statistics import add_histogram, add_statistics

_FLOAT64 = 8  # bytes


@final
class Adder:
    """Adds the passes of one site to its columns and its histogram.

    Attributes:
        act: the activation of the site.
        table, units, at: the table, the columns of the units, and the row of the site.
        floor: a unit fires where |f'| exceeds this.
    """

    def __init__(self, act: Measured, table: Table, units: slice, at: int, *, floor: float) -> None:
        self.act, self.table, self.units, self.at, self.floor = act, table, units, at, floor
        self._kernels: dict[tuple[torch.Size, torch.dtype, int], PassKernel] = {}

    def add(self, z: Tensor, *, axis: int) -> None:
        """Add the statistics of the inputs `z`."""
        table = self.table
        if not (z.device.type == "cpu" and z.dtype in MEMORY and z.dim() and self._has_code):
            self._add_plainly(z, axis)
            return
        if not z.is_contiguous():
            z, axis = _side_by_side(z, axis)
        units, shift, bins = table.addresses
        start = self.units.start * _FLOAT64
        kernel, bins = self._kernel(z, axis), bins + self.at * BINS * _FLOAT64
        kernel.add(z, into=units + start, fieldstep=table.units, shift=shift + start, bins=bins)

    @cached_property
    def _has_code(self) -> bool:
        return _has_code(self.act)

    def _kernel(self, z: Tensor, axis: int) -> PassKernel:
        key = (z.shape, z.dtype, axis)
        found = self._kernels.get(key)
        if found is None:
            formulas = (self.act.value, self.act.slope, self.act.input)
            if len(self._kernels) >= _MOST_SHAPES:
                self._kernels.clear()
            found = pass_kernel(formulas, z, axis=axis, floor=self.floor, by_output=self.act.by_output)
            self._kernels[key] = found
        return found

    @torch.no_grad()
    def _add_plainly(self, z: Tensor, axis: int) -> None:
        z, table, units = z.detach(), self.table, self.units
        add_statistics(self.act, z, table.now[:, units], table.shift[units], axis=axis, floor=self.floor)
        add_histogram(z, table.histogram_now[self.at])


# Kernels are cached for so many input shapes of a site.
_MOST_SHAPES = 64


def _side_by_side(z: Tensor, axis: int) -> tuple[Tensor, int]:
    """Return the values contiguously, with the axis of the units; copied only if no view is contiguous."""
    turned = z.detach().movedim(axis, -1)
    return (turned, -1) if turned.is_contiguous() else (z.detach().contiguous(), axis)


@lru_cache(maxsize=256)
def _has_code(act: Measured) -> bool:
    """Return whether the formula can be compiled on this machine."""
    try:
        pass_kernel((act.value, act.slope, act.input), torch.zeros(1, 1), axis=1, floor=0.0, by_output="")
    except (CannotLower, NoKernels):
        return False
    return True
