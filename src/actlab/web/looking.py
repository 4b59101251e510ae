"""What the page My network asks for while it looks at a training.

Nothing here imports PyTorch, so that a process which only serves the page starts at once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from math import nan
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from actlab.errors import BadInput
from actlab.telemetry.history import History, Numbered
from actlab.web.answers import json_answer

FEED = "network"

NUMBERS = ("signal", "gradient", "dead", "saturated", "zero")
"""What is drawn over the depth of a network and over the steps, each a root mean square or from 0 to 1."""

# The curve is drawn at least from -3 to 3, unless the inputs would then be less than a tenth of the width.
_AROUND, _NARROWEST = 3.0, 0.1


class Shown(Protocol):
    """A training that the page shows."""

    def network(self) -> dict[str, Any]:
        """Return the activations of the network and the findings, with the state of the training."""

    def look(self, *, at: int, step: int | None) -> dict[str, Any]:
        """Return one measured step, closely at one activation."""


class ShownStep(Numbered, Protocol):
    """A measured step, as plain values."""

    @property
    def loss(self) -> float | None:
        """Its loss; None if it is not known."""

    def numbers(self, at: int) -> Sequence[float]:
        """Return the `NUMBERS` of an activation; NaN for what was not measured."""

    def look(self, at: int) -> dict[str, Any]:
        """Return what the activation received, gave and got back."""


def looking(shown: Callable[[], Shown]) -> list[BaseRoute]:
    """Return the addresses by which a page looks at a training."""

    def state(request: Request) -> Response:
        return json_answer({**shown().network(), "feed": FEED})

    def look(request: Request) -> Response:
        asked = request.query_params
        step = None if asked.get("step", "") == "" else _whole(asked["step"], name="the step")
        return json_answer(shown().look(at=_whole(asked.get("site", "0"), name="the site"), step=step))

    return [Route("/api/network", state), Route("/api/network/look", look)]


def look_answer(
    history: History[Any], shown: Callable[[Any], ShownStep], *, at: int, step: int | None
) -> dict[str, Any]:
    """Return what is known of one measured step, and closely of one activation in it.

    Args:
        history: the measured steps.
        shown: returns a step as plain values.
        at: the index of the activation.
        step: the number of the step; None for the latest.
    """
    chosen = history.at(step)
    if chosen is None:
        return {"step": None, "steps": [], "losses": [], "depth": None, "site": None, "points": None}
    kept, measured = [shown(each) for each in history.steps()], shown(chosen)
    own = [each.numbers(at) if at < len(each.looks) else (nan,) * len(NUMBERS) for each in kept]
    return {
        "step": measured.step,
        "loss": measured.loss,
        "steps": [each.step for each in kept],
        "losses": [each.loss for each in kept],
        "depth": _by_name([measured.numbers(place) for place in range(len(measured.looks))]),
        "points": _by_name(own),
        "site": measured.look(at) if at < len(measured.looks) else None,
    }


def _by_name(rows: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    return {name: [row[at] for row in rows] for at, name in enumerate(NUMBERS)}


def range_drawn(low: float, high: float) -> tuple[float, float]:
    """Return the range of the curve under which inputs from `low` to `high` are drawn."""
    least, most = min(low, -_AROUND), max(high, _AROUND)
    return (low, high) if high - low < _NARROWEST * (most - least) else (least, most)


def part_of(curve: Mapping[str, Any], low: float, high: float) -> dict[str, Any]:
    """Return the part of a curve over a smaller range; at both ends it is interpolated."""
    z, y = curve["z"], curve["y"]
    first, last = bisect_right(z, low), bisect_left(z, high)
    return {
        "z": [low, *z[first:last], high],
        "y": [_between(z, y, low), *y[first:last], _between(z, y, high)],
        **{
            name: [[max(low, start), min(high, end)] for start, end in curve[name] if start < high and end > low]
            for name in ("flat", "dead")
        },
    }


def _between(z: Sequence[float], y: Sequence[float], place: float) -> float:
    after = min(max(1, bisect_left(z, place)), len(z) - 1)
    share = (place - z[after - 1]) / (z[after] - z[after - 1])
    return y[after - 1] + share * (y[after] - y[after - 1])


def _whole(value: object, *, name: str) -> int:
    """Return a number that a page sent.

    Raises:
        BadInput: it is not a whole number from 0.
    """
    try:
        found = int(str(value))
    except ValueError:
        found = -1
    if found < 0:
        raise BadInput(f"{name} must be a whole number from 0; got {value!r}.")
    return found
