"""Where the values of a model's activations leave the range of a narrower number format."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from actlab.diagnosis.conformance.side_by_side import Pass, passed
from actlab.formula.activation import Activation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Input
from actlab.jsonable import plain
from actlab.sites.recognize.routes import groups
from actlab.sites.site import Site, with_known_line
from actlab.theory.evaluate import evaluator
from actlab.theory.overflow import overflows_at
from actlab.train.tree import called_with


@final
@dataclass(frozen=True)
class Format:
    """A number format: its largest number, and its smallest positive one."""

    name: str
    dtype: torch.dtype

    @property
    def largest(self) -> float:
        """The largest finite number."""
        return float(torch.finfo(self.dtype).max)

    @property
    def smallest(self) -> float:
        """The smallest positive number, which is subnormal."""
        limits = torch.finfo(self.dtype)
        return float(limits.smallest_normal * limits.eps)


FORMATS = (
    Format("float16", torch.float16),
    Format("bfloat16", torch.bfloat16),
    Format("e4m3", torch.float8_e4m3fn),
    Format("e5m2", torch.float8_e5m2),
)


@final
@dataclass(frozen=True)
class RangeInFormat:
    """How the values at a site fit a number format.

    Attributes:
        overflows_at: the inputs nearest 0, below and above it, at which the function exceeds the largest number; of a
            gated unit, for equal inputs. None if it never does.
        overflow_share: the share of the outputs that exceed it.
        zero_gradient_share: the share of the inputs at which the derivative rounds to 0 in the format.
        headroom: by how many octaves the largest output, or input, could grow; negative if it is beyond.
    """

    overflows_at: tuple[float | None, float | None]
    overflow_share: float
    zero_gradient_share: float
    headroom: float


@final
@dataclass(frozen=True)
class SiteRange:
    """The values at a site of a model.

    Attributes:
        site: the site.
        largest_input, largest_output: the largest magnitudes.
        flat_share: the share of the inputs at which the derivative is exactly 0: at a clamp, or on a flat side.
        formats: by the name of a format, how the values fit it.
    """

    site: Site
    largest_input: float
    largest_output: float
    flat_share: float
    formats: Mapping[str, RangeInFormat]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            **with_known_line({name: getattr(self.site, name) for name in ("path", "file", "line", "index")}),
            "runs": self.site.formula.label,
            "largest_input": self.largest_input,
            "largest_output": self.largest_output,
            "flat_share": self.flat_share,
            "formats": plain(self.formats),
        }


def ranges(model: nn.Module, inputs: Any) -> tuple[SiteRange, ...]:
    """Compare the values at every element-wise activation of a model with the range of narrower number formats.

    Args:
        model: the model, in any mode; it runs once, in evaluation mode, in its own dtype.
        inputs: what it is called with: one tensor, a tuple of arguments, or a dict of keyword arguments.

    Raises:
        BadInput: the model raises, or cannot be looked into.

    Example:
        >>> model = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
        >>> _ = nn.init.ones_(model[0].weight), nn.init.zeros_(model[0].bias)
        >>> found = ranges(model, torch.tensor([[-1.0], [500.0]]))[0]
        >>> found.flat_share, found.formats["e4m3"].overflow_share, found.formats["e5m2"].overflow_share
        (0.5, 0.5, 0.0)
    """
    positional, named = called_with(inputs)
    ran = passed(model, positional, named)
    return tuple(
        found
        for at, site in enumerate(ran.trace.sites)
        if isinstance(site.formula, Activation) and (found := _range_at(ran, at, site)) is not None
    )


def _range_at(ran: Pass, at: int, site: Site) -> SiteRange | None:
    """Return the values at a site; None if none could be kept."""
    read: list[np.ndarray[Any, np.dtype[np.float64]]] = []
    made: list[np.ndarray[Any, np.dtype[np.float64]]] = []
    for places, of in groups(ran.trace, with_product=True):
        first, last = ran.trace.steps[places[0]], ran.trace.steps[places[-1]]
        z, y = ran.tensors.get(ran.trace.source(first)), ran.tensors.get(last.outputs[0])
        if of == at and z is not None and y is not None:
            read.append(_numbers(z))
            made.append(_numbers(y))
    if not read:
        return None
    z_all, y_all = np.concatenate(read), np.concatenate(made)
    slopes = np.abs(_slopes(site, z_all))
    sizes = np.abs(y_all)
    largest_in, largest_out = float(np.abs(z_all).max(initial=0.0)), float(sizes.max(initial=0.0))
    fits = {
        each.name: RangeInFormat(
            overflows_at=_edges(site, each.largest),
            overflow_share=float(np.mean(~(sizes <= _last_kept(each)))) if len(sizes) else 0.0,
            zero_gradient_share=float(np.mean(slopes <= each.smallest / 2)) if len(slopes) else 0.0,
            headroom=_octaves(each.largest, max(largest_in, largest_out)),
        )
        for each in FORMATS
    }
    flat = float(np.mean(slopes == 0)) if len(slopes) else 0.0
    return SiteRange(site, largest_in, largest_out, flat, fits)


def _slopes(site: Site, z: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the derivative of the function of one input, or of the gate, at the inputs."""
    function = site.measured
    if not isinstance(function, Activation) or len(function.inputs) != 1:
        return np.empty(0)
    name = function.inputs[0]
    slope = evaluator((derivative(function.formula, Input(name)),), (name,))(z)[0]
    return np.asarray(np.broadcast_to(slope, z.shape))


def _edges(site: Site, largest: float) -> tuple[float | None, float | None]:
    if not isinstance(site.formula, Activation):
        return None, None
    return overflows_at(site.formula, largest, sign=-1), overflows_at(site.formula, largest)


def _last_kept(format: Format) -> float:
    """Return the largest magnitude that is rounded to the largest number rather than beyond it."""
    spacing = 2.0 ** math.floor(math.log2(format.largest)) * float(torch.finfo(format.dtype).eps)
    return format.largest + spacing / 2


def _octaves(limit: float, size: float) -> float:
    return math.log2(limit / size) if 0 < size < math.inf else (math.inf if size == 0 else -math.inf)


def _numbers(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(tensor.detach().double().reshape(-1).numpy())
