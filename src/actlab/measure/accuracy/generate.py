"""Measure the catalog's certificates and write them down: `python -m actlab.measure.accuracy.generate`.

Certificates of the present kernels are left as they are, unless `--all` is passed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from actlab.catalog.index import CATALOG
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.jsonable import plain
from actlab.kernels.elementwise.native_choices import chosen_anywhere
from actlab.kernels.elementwise.strategies import Mode
from actlab.kernels.runtime.version import VERSION
from actlab.measure.accuracy import stored
from actlab.measure.accuracy.certificate import MODES, certificate
from actlab.measure.accuracy.record import Certificate, Measured, Worst
from actlab.measure.accuracy.summary import CertifiedAll
from actlab.measure.accuracy.ulp import FORMATS
from actlab.measure.implementations import by_operator, kernels

# Takes how many are done, how many there are, the seconds left, and what is being measured.
Progress = Callable[[int, int, float | None, str], None]

Task = tuple[Activation, Mode, str]


def tasks(*, modes: Sequence[Mode] = MODES, dtypes: Sequence[str] = tuple(FORMATS)) -> list[Task]:
    """List every element-wise activation of the catalog in each mode and dtype."""
    return [
        (act, mode, dtype)
        for act in CATALOG.values()
        if isinstance(act, Activation)
        for mode in modes
        for dtype in dtypes
    ]


def measured(act: Activation, mode: Mode, dtype: str, *, against: Sequence[str] = ()) -> Certificate:
    """Measure what runs; where it depends on the processor whether PyTorch's operator does, the worse of both."""
    part = chosen_anywhere(act, mode, getattr(torch, dtype))
    if part is None:
        return certificate(act, mode=mode, dtype=dtype, against=against)
    kernel = certificate(act, mode=mode, dtype=dtype, function=kernels(act, mode=mode), against=against)
    operator = certificate(act, mode=mode, dtype=dtype, function=by_operator(act, part, mode=mode))
    one, other = kernel.measured, operator.measured
    forward = max(one.forward, other.forward, key=lambda worst: worst.max_ulp)
    behind = max(kernel, operator, key=lambda each: max(worst.max_ulp for _, worst in each.measured.gradients))
    both = replace(behind.measured, forward=forward, non_finite=(*one.non_finite, *other.non_finite))
    return replace(kernel, measured=both, zero_gradient=behind.zero_gradient)


def entry(found: Certificate) -> dict[str, Any]:
    """Write a certificate in the form in which it is stored."""
    return {
        "formula": found.formula,
        "kernels": found.kernels,
        "forward": _figures(found.measured.forward),
        "backward": _figures(found.measured.backward or found.measured.forward),
        "non_finite": plain(found.measured.non_finite),
        "zero_gradient": {"left": found.zero_gradient.left, "right": found.zero_gradient.right},
        "faults": list(found.faults),
        **{other.name: _both(other) for other in found.others},
    }


def _both(other: Measured) -> dict[str, Any]:
    backward = other.backward
    return {"forward": _figures(other.forward), "backward": None if backward is None else _figures(backward)}


def _figures(worst: Worst) -> dict[str, Any]:
    figures: dict[str, Any] = plain(
        {
            "max_ulp": _rounded(worst.max_ulp),
            "at": worst.at,
            "near_root": _rounded(worst.near_root),
            "bound": worst.bound,
        }
    )
    return figures


def _rounded(ulp: float) -> float:
    # four digits: further ones differ between machines
    return float(f"{ulp:.4g}")


def certified_all(
    output: Path | None = None, *, progress: Progress, kept: Mapping[str, Any] = MappingProxyType({})
) -> CertifiedAll:
    """Measure the catalog's certificates and write them to `output` or to the package's own file.

    Args:
        output: the file; in a checkout the package's own if left out.
        progress: is called with how many are done, how many there are, the seconds left, and what is measured.
        kept: entries by key that are written as they are, instead of being measured.

    Raises:
        BadInput: the folder of `output` does not exist, or `output` is left out and the package is not a checkout.
    """
    path, started = _path(output), time.perf_counter()
    wanted = {stored.key_of(act, mode=mode, dtype=dtype): (act, mode, dtype) for act, mode, dtype in tasks()}
    entries = {key: kept[key] for key, (act, *_) in wanted.items() if key in kept and kept[key]["formula"] == act.label}
    todo = [key for key in wanted if key not in entries]
    for number, key in enumerate(todo):
        act, mode, dtype = wanted[key]
        left = (time.perf_counter() - started) / number * (len(todo) - number) if number else None
        progress(number, len(todo), left, f"{act.name} {dtype} {mode}")
        entries[key] = entry(measured(act, mode, dtype, against=_others(mode, dtype)))
    progress(len(todo), len(todo), 0.0, "written")
    # by formula, and of each in the order of the tasks, which is the order in which they are shown
    ordered = [(key, entries[key]) for key in sorted(wanted, key=lambda key: key.partition(":")[0])]
    lines = [f"{json.dumps(key)}: {json.dumps(one, ensure_ascii=False)}" for key, one in ordered]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    faults = [
        (act.label, dtype, mode, fault)
        for key, (act, mode, dtype) in wanted.items()
        for fault in entries[key]["faults"]
    ]
    return CertifiedAll(str(path), len(lines), time.perf_counter() - started, tuple(faults))


def up_to_date(output: Path | None = None) -> dict[str, Any]:
    """Read the entries of the file that were measured of these kernels."""
    path = _path(output)
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {key: one for key, one in found.items() if one["kernels"] == VERSION}


def _others(mode: str, dtype: str) -> tuple[str, ...]:
    # in the default mode and dtype, what runs where kernels cannot
    return ("composite", "compiled", "onnx") if (mode, dtype) == ("accurate", "float32") else ()


def _path(output: Path | None) -> Path:
    own = Path(__file__).with_name(stored.DATA)
    if output is None and not (own.parents[4] / "pyproject.toml").is_file():
        raise BadInput("actlab is installed, not checked out: name the file for the certificates with --output FILE.")
    path = own if output is None else output
    if not path.absolute().parent.is_dir():
        raise BadInput(f"the certificates cannot be written: the folder {path.absolute().parent} does not exist.")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="the file; the package's own if left out")
    parser.add_argument("--all", action="store_true", help="measure all, also those that are of these kernels")
    asked = parser.parse_args(arguments)
    kept = {} if asked.all else up_to_date(asked.output)
    print(*certified_all(asked.output, progress=_told, kept=kept).lines(), sep="\n")


def _told(done: int, count: int, left: float | None, what: str) -> None:
    if done == 0:
        print(f"{count} certificates to measure, at about half a second each", file=sys.stderr)
    elif done % 20 == 0 or done == count:
        print(f"{done} of {count}, {left or 0:.0f} s left: {what}", file=sys.stderr)


if __name__ == "__main__":
    main()
