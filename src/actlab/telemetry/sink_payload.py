"""One measured step as names and numbers, for the sinks."""

from __future__ import annotations

from typing import Any

from actlab.kernels.statistics.fields import BORDERS
from actlab.telemetry.recording import Recording
from actlab.telemetry.updates import Updates

_NUMBERS = ("dead_share", "saturated_share", "zero_share", "mean", "variance", "gradient_rms")


def payload(recording: Recording, updates: Updates) -> dict[str, Any]:
    """Return the last measured step: `site/quantity` and `parameter/update` as numbers, `site/histogram` as bins."""
    found: dict[str, Any] = {}
    sites = list(recording.rows.values())
    for number, point in recording.points(recording.moments[-1]).items():
        name = sites[number].site.name
        found.update({f"{name}/{each}": getattr(point, each) for each in _NUMBERS})
        histogram = sites[number].table.histogram_total[sites[number].at].tolist()
        found[f"{name}/histogram"] = {"borders": list(BORDERS), "counts": histogram}
    if rows := updates.rows:
        _, places, ratios = rows[-1]
        found.update({f"{updates.names[at]}/update": ratio for at, ratio in zip(places, ratios.tolist(), strict=True)})
    return found
