"""One pass's numbers into the tables, by machine code where there is some, else by PyTorch's operations."""

from __future__ import annotations

from torch import Tensor

from actlab.watch.measured import Measured
from actlab.watch.plain_statistics import add_histogram, add_statistics
from actlab.watch.table import Table


def add_pass(act: Measured, z: Tensor, table: Table, units: slice, at: int, *, axis: int, floor: float) -> None:
    """Add what `z` brings to the site's columns and to its histogram."""
    into, shift = table.now[:, units], table.shift[units]
    add_statistics(act, z, into, shift, axis=axis, floor=floor)
    add_histogram(z, table.histogram_now[at])
