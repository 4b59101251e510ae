"""The names of metrics, the same in every tracker."""

from __future__ import annotations

import re

# What MLflow accepts, the strictest of the trackers, without the space.
_UNFIT = re.compile(r"[^A-Za-z0-9_\-./:]")


def metric_name(quantity: str, path: str, index: int | None = None) -> str:
    """Return `actlab/<quantity>/<module.path>.<n>`: letters, digits, `_-.:/`, which every tracker accepts.

    Another character becomes `_x` and its number in hexadecimal, so different paths have different names.

    Args:
        quantity: what was measured, such as `dead_share`.
        path: the dotted path of the module or parameter; the model itself is `model`.
        index: the number of the call within the module, from 0; None for a parameter.

    Example:
        >>> metric_name("dead_share", "encoder.act", 0), metric_name("update", "my #1.weight")
        ('actlab/dead_share/encoder.act.0', 'actlab/update/my_x20_x231.weight')
    """
    place = _UNFIT.sub(lambda found: f"_x{ord(found.group()):x}", path or "model")
    return f"actlab/{quantity}/{place}" + ("" if index is None else f".{index}")
