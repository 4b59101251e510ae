"""One pass's numbers into the tables, by machine code where there is some, else by PyTorch's operations."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from actlab.errors import CannotLower, NoKernels
from actlab.kernels.elementwise import MEMORY
from actlab.kernels.unit_statistics import add_bins, add_units
from actlab.watch.measured import Measured
from actlab.watch.plain_statistics import add_histogram, add_statistics
from actlab.watch.table import Table


def add_pass(act: Measured, z: Tensor, table: Table, units: slice, at: int, *, axis: int, floor: float) -> None:
    """Add what `z` brings to the site's columns and to its histogram."""
    into, shift = table.now[:, units], table.shift[units]
    if z.device.type == "cpu" and z.dtype in MEMORY and z.dim() and z.is_contiguous() and _has_code(act):
        add_units((act.value, act.slope, act.input), z, into, shift, axis=axis, floor=floor, by_output=act.by_output)
        add_bins(z, table.histogram_now[at])
        return
    add_statistics(act, z, into, shift, axis=axis, floor=floor)
    add_histogram(z, table.histogram_now[at])


@lru_cache(maxsize=256)
def _has_code(act: Measured) -> bool:
    """Whether machine code can be made of the formula, here."""
    z, into = torch.zeros(1, 1), torch.zeros(10, 1, dtype=torch.float64)
    try:
        add_units((act.value, act.slope, act.input), z, into, into[0], axis=1, floor=0.0, by_output="")
    except (CannotLower, NoKernels):
        return False
    return True
