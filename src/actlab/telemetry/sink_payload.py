"""One measured step as names and numbers, for the sinks."""

from __future__ import annotations

from typing import Any

from actlab.kernels.statistics.fields import BORDERS
from actlab.telemetry.metric_names import metric_name
from actlab.telemetry.recording import Recording
from actlab.telemetry.updates import Updates

_NUMBERS = ("dead_share", "saturated_share", "zero_share", "mean", "variance", "gradient_rms")


def payload(recording: Recording, updates: Updates) -> dict[str, Any]:
    """Return the last measured step by the names of `metric_name`: numbers, and under `histogram` bins."""
    found: dict[str, Any] = {}
    sites = list(recording.rows.values())
    for number, point in recording.points(recording.moments[-1]).items():
        site = sites[number].site
        found.update({metric_name(each, site.path, site.index): getattr(point, each) for each in _NUMBERS})
        histogram = sites[number].table.histogram_total[sites[number].at].tolist()
        found[metric_name("histogram", site.path, site.index)] = {"borders": list(BORDERS), "counts": histogram}
    if rows := updates.rows:
        _, places, ratios = rows[-1]
        pairs = zip(places, ratios.tolist(), strict=True)
        found.update({metric_name("update", updates.names[at]): ratio for at, ratio in pairs})
    return found
