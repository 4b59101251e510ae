"""Parameters of activations: which site has them, and after which layers it is applied."""

from __future__ import annotations

from collections.abc import Mapping

from actlab.rules.dataflow import is_layer, parameters_of
from actlab.sites.recognize.torch_ops import LAYERS
from actlab.sites.site import Site
from actlab.sites.trace.trace import Trace


def activation_parameters(trace: Trace) -> Mapping[str, tuple[Site, frozenset[tuple[str, ...]]]]:
    """Return, by the name of each parameter of an activation, its first site and the weights it is applied after."""
    found: dict[str, tuple[Site, frozenset[tuple[str, ...]]]] = {}
    for place, at in sorted(trace.site_of.items()):
        step, site = trace.steps[place], trace.sites[at]
        if step.function in LAYERS:
            continue
        for name in parameters_of(trace, step):
            weights = _nearest_weights(trace, step.inputs)
            first, others = found.get(name, (site, frozenset()))
            found[name] = (first, others | ({weights} if weights else frozenset()))
    return found


def _nearest_weights(trace: Trace, values: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of the nearest weights upstream of the values."""
    waiting, visited = list(values), set(values)
    while waiting:
        step = trace.maker(waiting.pop(0))
        if step is None:
            continue
        if step.function in LAYERS or is_layer(trace, step):
            return parameters_of(trace, step)
        new = [value for value in step.inputs if value not in visited]
        visited.update(new)
        waiting += new
    return ()
