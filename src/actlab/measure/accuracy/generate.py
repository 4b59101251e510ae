"""Measures the certificates of the catalog and writes them down: `python -m actlab.measure.accuracy.generate`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from actlab.catalog.index import CATALOG
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.jsonable import plain
from actlab.measure.accuracy import stored
from actlab.measure.accuracy.certificate import MODES, certificate
from actlab.measure.accuracy.record import Certificate, Measured, Worst
from actlab.measure.accuracy.summary import CertifiedAll
from actlab.measure.accuracy.ulp import FORMATS

# How many are done, how many there are, the seconds left, and what is being measured.
Progress = Callable[[int, int, float | None, str], None]

Task = tuple[Activation, str, str]


def tasks(*, modes: Sequence[str] = MODES, dtypes: Sequence[str] = tuple(FORMATS)) -> list[Task]:
    """Every activation of the catalog that is computed element by element, in each mode and dtype."""
    return [
        (act, mode, dtype)
        for act in CATALOG.values()
        if isinstance(act, Activation)
        for mode in modes
        for dtype in dtypes
    ]


def entry(told: Certificate) -> dict[str, Any]:
    """A certificate in the form in which it is stored."""
    return {
        "formula": told.formula,
        "kernels": told.kernels,
        "forward": _figures(told.measured.forward),
        "backward": _figures(told.measured.backward or told.measured.forward),
        "non_finite": plain(told.measured.non_finite),
        "zero_gradient": {"left": told.zero_gradient.left, "right": told.zero_gradient.right},
        "faults": list(told.faults),
        **{other.name: _both(other) for other in told.others},
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
    """Four digits: more would change with every other machine's last bits."""
    return float(f"{ulp:.4g}")


def certified_all(
    output: Path | None = None, *, progress: Progress, chosen: Sequence[Task] | None = None
) -> CertifiedAll:
    """The certificates of the catalog, written to `output` or to the package's own file.

    Args:
        output: the file; in a checkout the package's own if left out.
        progress: told how many are done, how many there are, the seconds left, and what is measured.
        chosen: which; all if left out.

    Raises:
        BadInput: the folder of `output` does not exist, or none is given and the package is no checkout.
    """
    path, started = _path(output), time.perf_counter()
    todo = tasks() if chosen is None else chosen
    entries: dict[str, Any] = {}
    faults = []
    for number, (act, mode, dtype) in enumerate(todo):
        left = (time.perf_counter() - started) / number * (len(todo) - number) if number else None
        progress(number, len(todo), left, f"{act.name} {dtype} {mode}")
        told = certificate(act, mode=mode, dtype=dtype, against=_others(mode, dtype))
        entries[stored.key_of(act, mode=mode, dtype=dtype)] = entry(told)
        faults += [(told.formula, dtype, mode, fault) for fault in told.faults]
    progress(len(todo), len(todo), 0.0, "written")
    # by formula, and of each in the order in which they were measured, which is the order in which they are shown
    ordered = sorted(entries.items(), key=lambda pair: pair[0].partition(":")[0])
    lines = [f"{json.dumps(key)}: {json.dumps(one, ensure_ascii=False)}" for key, one in ordered]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return CertifiedAll(str(path), len(lines), time.perf_counter() - started, tuple(faults))


def _others(mode: str, dtype: str) -> tuple[str, ...]:
    """What else is measured: in the default mode and dtype what runs where kernels cannot."""
    return ("composite", "compiled", "onnx") if (mode, dtype) == ("accurate", "float32") else ()


def _path(output: Path | None) -> Path:
    own = Path(__file__).with_name(stored.DATA)
    if output is None and not (own.parents[3] / "pyproject.toml").is_file():
        raise BadInput("actlab is installed, not checked out: say where the certificates go, with --output FILE.")
    path = own if output is None else output
    if not path.absolute().parent.is_dir():
        raise BadInput(f"the certificates cannot be written: there is no folder {path.absolute().parent}.")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="the file; the package's own if left out")
    print(*certified_all(parser.parse_args().output, progress=lambda *_: None).lines(), sep="\n")


if __name__ == "__main__":
    main()
