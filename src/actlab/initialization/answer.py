"""What an initialization did: the layers that it changed, what it left alone, and the signal afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

from actlab.jsonable import plain


@final
@dataclass(frozen=True)
class Initialized:
    """A module whose weights were drawn anew.

    Attributes:
        path: the dotted path of the module, or the name of the parameter if the module has several such.
        kind: what it computes: `linear`, `conv2d`, `embedding`, `attention`, `lstm`, `batch_norm`, ...
        parameters: the names of its parameters that were changed.
        gain: the factor on the weights beyond 1/√fan_in, from the function before the layer; None for a normalization.
        derived_from: the activation before the layer, or else what the gain is from: `inputs`, `normalization`,
            another layer, or `measured`.
        activation: the activation that reads the layer's output; empty if there is none.
        aim: the mean square that its output was set to.
        correction: the factor by which the weights were scaled after the batch was measured; 1 if that was not done.
        note: a further remark.
    """

    path: str
    kind: str
    parameters: tuple[str, ...]
    gain: float | None
    derived_from: str
    activation: str
    aim: float
    correction: float = 1.0
    note: str = ""


@final
@dataclass(frozen=True)
class LeftAlone:
    """A parameter or a part of the model that was not changed, and why."""

    path: str
    why: str


@final
@dataclass(frozen=True)
class SiteSignal:
    """The signal at an activation after the initialization.

    Attributes:
        site: the name of the place.
        activation: the activation.
        aim: the mean square of its input that the initialization aims at; None if it does not know one.
        mean_square: the measured mean square of its input.
    """

    site: str
    activation: str
    aim: float | None
    mean_square: float

    @property
    def error(self) -> float | None:
        """Return the relative difference from the aim."""
        return None if not self.aim else self.mean_square / self.aim - 1


@final
@dataclass(frozen=True)
class Initialization:
    """The answer of `initialize`.

    Attributes:
        method: how the weights were drawn.
        initialized: the modules that were changed, in the order of their calls.
        left_alone: what was not changed, and why.
        sites: the signal at each activation, measured on `measured_on`.
        measured_on: `batch`, or `random inputs` if none was passed.
    """

    method: str
    initialized: tuple[Initialized, ...]
    left_alone: tuple[LeftAlone, ...]
    sites: tuple[SiteSignal, ...]
    measured_on: str

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        plainly: dict[str, Any] = plain(self)
        for entry, site in zip(plainly["sites"], self.sites, strict=True):
            entry["error"] = site.error
        return plainly

    def lines(self) -> list[str]:
        """Return one line for each module, each part left alone, and one about the signal."""
        done = [_line(each) for each in self.initialized]
        kept = [f"{each.path or 'model'} left alone: {each.why}." for each in self.left_alone]
        errors = [abs(site.error) for site in self.sites if site.error is not None]
        at = f"{len(errors)} activation{'' if len(errors) == 1 else 's'}"
        last = [f"mean square within {max(errors):.1%} of the aim at {at} ({self.measured_on})"] if errors else []
        return [*done, *kept, *last]


def _line(each: Initialized) -> str:
    gain = "" if each.gain is None else f"gain {each.gain:.5g} from {each.derived_from}, "
    corrected = "" if each.correction == 1 else f", corrected by {each.correction:.4g}"
    note = f" ({each.note})" if each.note else ""
    return f"{each.path or 'model'}: {each.kind}, {gain}aim {each.aim:.4g}{corrected}{note}"
