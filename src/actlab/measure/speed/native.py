"""Choose where PyTorch's own operator runs instead of a kernel: `python -m actlab.measure.speed.native`, five minutes.

It may run where its certificate has no fault in the mode, and does where it is faster, for values and gradient or for
the values alone. The choices of other kinds of processors are left as they are. An activation along an axis has no
certificate; only its fast mode, which sets no bound, takes the operator.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import torch

from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.expr import Call, walk
from actlab.kernels.elementwise import native_choices
from actlab.kernels.elementwise.native_choices import Part
from actlab.kernels.elementwise.native_operator import EXACT_ATOMS, ValuesByOperator
from actlab.kernels.elementwise.native_reference import native_of
from actlab.kernels.elementwise.strategies import Mode
from actlab.measure.accuracy.certificate import MODES, certificate
from actlab.measure.accuracy.ulp import FORMATS
from actlab.measure.implementations import Function, by_operator
from actlab.measure.speed.case import Case, calls_of
from actlab.measure.speed.timing import calls_per_sample, in_turn, steadied
from actlab.nn.axis_operator import apply_along_axis, axiswise
from actlab.nn.operator import apply, apply_with_values, pointwise_of

SIZES = (100_000, 1_000_000)
DIRECTIONS = ("forward", "backward", "both")

# The operator is taken if the kernel takes this many times as long, so that a repetition finds the same.
CLEARLY = 1.1


def choices(*, seconds: float = 0.5) -> Iterator[tuple[str, Part]]:
    """Measure and yield what PyTorch's operators compute on this processor, by key."""
    for act, mode, dtype in product(CATALOG.values(), MODES, FORMATS):
        found = _admitted(act, mode, dtype)
        if not found:
            continue
        times = _times(act, mode, dtype, found, seconds=seconds)
        best = min(times, key=times.__getitem__)
        said = ", ".join(f"{part} {time:.2f}" for part, time in times.items())
        print(f"{act.name} {mode} {dtype}: {said}", file=sys.stderr, flush=True)
        if best != "kernel" and times["kernel"] > CLEARLY * times[best]:
            yield native_choices.key_of(act, mode, getattr(torch, dtype)), best  # type: ignore[misc]  # a part


def _admitted(act: Activation | AxisActivation, mode: Mode, dtype: str) -> dict[Part, Function]:
    """Return what may run instead of the kernel, as functions that PyTorch can differentiate."""
    own = native_of(act, dtype=getattr(torch, dtype))
    if own is None:
        return {}
    if isinstance(act, AxisActivation):
        return {"both": partial(own, dim=-1)} if mode == "fast" and dtype == "float32" else {}
    plain = act.samplers or any(param.trainable for param in act.params) or len(act.inputs) > 1 or not _is_curved(act)
    if plain:
        return {}
    made = pointwise_of(act, mode=mode)
    runs = ValuesByOperator(made.kernels, own)
    tried: dict[Part, Function] = {
        "both": own,
        "forward": partial(apply_with_values, runs, made),
    }
    # whoever takes float64 wants the tails, in any mode
    bound = "accurate" if dtype == "float64" else mode
    return {
        part: function
        for part, function in tried.items()
        if not certificate(act, dtype=dtype, mode=bound, function=by_operator(act, part, mode=mode)).faults
    }


def _is_curved(act: Activation) -> bool:
    return any(isinstance(node, Call) and node.atom not in EXACT_ATOMS for node in walk(act.formula))


def _times(
    act: Activation | AxisActivation, mode: Mode, dtype: str, found: Mapping[Part, Function], *, seconds: float
) -> dict[str, float]:
    """Return the time of the kernel and of each candidate, in those of the fastest, averaged over all cases."""
    if isinstance(act, AxisActivation):
        kernel: Function = partial(apply_along_axis, axiswise(act), axis=-1)
    else:
        kernel = partial(apply, pointwise_of(act, mode=mode))
    contenders = {"kernel": kernel, **found}
    ratios: dict[str, list[float]] = {name: [] for name in contenders}
    with steadied(threads=1):
        for size in SIZES:
            given = Case(act.name, act, dtype, size, 1).given()
            calls: dict[Any, Any] = {
                (name, way): call
                for name, function in contenders.items()
                for way, call in calls_of(function, given, DIRECTIONS).items()  # type: ignore[arg-type]  # directions
            }
            counts = {key: calls_per_sample(call) for key, call in calls.items()}
            samples = in_turn(calls, counts, seconds=seconds)
            for way in DIRECTIONS:
                medians = {name: median(samples[name, way]) for name in contenders}
                for name, time in medians.items():
                    ratios[name].append(time / min(medians.values()))
    return {name: geometric_mean(each) for name, each in ratios.items()}


def main() -> None:
    """Write this processor's choices into the package's data."""
    file = Path(native_choices.__file__).with_name(native_choices.DATA)
    kinds = {**native_choices.stored(), native_choices.kind(): dict(choices())}
    sections = []
    for kind, found in sorted(kinds.items()):
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(part)}" for key, part in sorted(found.items()))
        sections.append(f"{json.dumps(kind)}: {{\n{lines}\n}}")
    file.write_text("{\n" + ",\n".join(sections) + "\n}\n", encoding="utf-8")
    print(f"{len(kinds[native_choices.kind()])} choices for {native_choices.kind()} processors in {file.name}")


if __name__ == "__main__":
    main()
