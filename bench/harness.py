"""The measurements of all benchmarks, and the rows of `bench/results/*.csv`.

A script in this folder answers one question. It calls `options`, measures with `seconds_of` and `peak_bytes`, or in
turn with a copy by `actlab.measure.speed.timing`, and hands its rows to `record` or `keep`. Rows are appended, never
edited.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from actlab.measure.speed.timing import Spread

ROOT = Path(__file__).parents[1]
VERSIONS_OF = ("actlab", "torch", "numpy")


@dataclass(frozen=True)
class Percentiles:
    """The middle of repeated measurements and where most of them lie."""

    p20: float
    median: float
    p80: float


@dataclass(frozen=True)
class Row:
    """One measurement of one contender, with all that is needed to repeat it."""

    question: str
    contender: str
    device: str
    dtype: str
    shape: str
    unit: str
    p20: float
    median: float
    p80: float
    note: str
    versions: str
    commit: str
    date: str


@dataclass(frozen=True)
class Timing:
    """One contender's time for one call, with that of the copy beside it where there was one."""

    question: str
    name: str
    contender: str
    mode: str
    direction: str
    device: str
    threads: int
    dtype: str
    shape: str
    unit: str
    p10: float
    median: float
    p90: float
    copy_p10: float | None
    copy_median: float | None
    copy_p90: float | None
    reported: bool
    versions: str
    commit: str
    date: str


@dataclass(frozen=True)
class Options:
    """The command line: a quick run that is only shown or a full one, the folder for the rows, and which part."""

    quick: bool
    results: Path | None
    only: str = ""

    def repeats(self, full: int) -> int:
        return min(full, 2) if self.quick else full


def options(about: str, arguments: Sequence[str] | None = None, *, parts: Sequence[str] = ()) -> Options:
    """Parse the command line of a benchmark; `parts` are those that can be run alone."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="few repeats, to check that it runs; no rows are saved")
    parser.add_argument("--results", type=Path, help="append to the files in this folder (bench/results)")
    if parts:
        parser.add_argument("--only", choices=parts, default="", help="run this part alone")
    asked = parser.parse_args(arguments)
    kept = None if asked.quick else ROOT / "bench" / "results"
    return Options(quick=asked.quick, results=asked.results or kept, only=asked.only if parts else "")


def seconds_of(
    call: Callable[[], object],
    *,
    warm_up: int = 3,
    repeats: int = 20,
    calls: int = 1,
    wait: Callable[[], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Percentiles:
    """Measure the seconds for one call; each repeat averages over `calls`.

    Args:
        call: the call to measure, with all its inputs ready.
        warm_up: calls before the first that counts: compilation, caches, page faults.
        repeats: how many measurements the percentiles are taken from.
        calls: calls within one measurement, for what is too short for the clock.
        wait: what blocks until the device has finished, such as `torch.cuda.synchronize`.
        clock: the time in seconds.
    """
    for _ in range(warm_up):
        call()
    return percentiles_of([_one(call, calls=calls, wait=wait, clock=clock) for _ in range(repeats)])


def _one(
    call: Callable[[], object],
    *,
    calls: int,
    wait: Callable[[], object] | None,
    clock: Callable[[], float],
) -> float:
    if wait:
        wait()
    start = clock()
    for _ in range(calls):
        call()
    if wait:
        wait()
    return (clock() - start) / calls


def percentiles_of(values: Sequence[float]) -> Percentiles:
    """Return the 20th percentile, the median and the 80th percentile."""
    if len(values) == 1:
        return Percentiles(values[0], values[0], values[0])
    tenths = quantiles(values, n=10, method="inclusive")
    return Percentiles(tenths[1], tenths[4], tenths[7])


def peak_bytes(call: Callable[[], object], *, device: str = "cpu") -> int:
    """Measure the peak of tensor memory during one call, beyond what was allocated before."""
    import torch

    call()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)
    return _peak_bytes_on_cpu(call)


def _peak_bytes_on_cpu(call: Callable[[], object]) -> int:
    """Read the peak from the profiler's record of allocations: resident memory includes the allocator's cache."""
    from torch.autograd.profiler import profile  # torch.profiler brings the compiler with it, 2 s

    with profile(profile_memory=True) as profiler:
        result = call()
    del result
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    held, peak = 0, 0
    for event in sorted((event for event in events if event.get("name") == "[memory]"), key=lambda event: event["ts"]):
        held += int(event["args"]["Bytes"])
        peak = max(peak, held)
    return peak


def row(
    question: str,
    contender: str,
    *,
    unit: str,
    measured: Percentiles,
    device: str = "cpu",
    dtype: str = "",
    shape: str = "",
    note: str = "",
) -> Row:
    """Make a row of a measurement and the circumstances that the machine knows."""
    return Row(
        question=question,
        contender=contender,
        device=device_name(device),
        dtype=dtype,
        shape=shape,
        unit=unit,
        p20=measured.p20,
        median=measured.median,
        p80=measured.p80,
        note=note,
        versions=versions(),
        commit=commit(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def timing(
    question: str,
    name: str,
    contender: str,
    *,
    measured: Spread,
    shape: str,
    threads: int,
    copy: Spread | None = None,
    reported: bool = True,
    mode: str = "",
    direction: str = "",
    dtype: str = "float32",
    unit: str = "s",
) -> Timing:
    """Make a row of a time on this processor, rounded to four digits, the resolution of the clock."""
    p10, median, p90 = (float(f"{value:.4g}") for value in (measured.p10, measured.median, measured.p90))
    of_copy = [float(f"{value:.4g}") for value in (copy.p10, copy.median, copy.p90)] if copy else [None] * 3
    return Timing(
        question=question,
        name=name,
        contender=contender,
        mode=mode,
        direction=direction,
        device=device_name("cpu"),
        threads=threads,
        dtype=dtype,
        shape=shape,
        unit=unit,
        p10=p10,
        median=median,
        p90=p90,
        copy_p10=of_copy[0],
        copy_median=of_copy[1],
        copy_p90=of_copy[2],
        reported=reported,
        versions=versions(),
        commit=commit(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def record(name: str, rows: Iterable[Row], *, asked: Options) -> None:
    """Print the rows and append them to `name`.csv, unless the run is quick."""
    rows = list(rows)
    width = max((len(found.contender) for found in rows), default=0)
    for found in rows:
        spread = f"{found.median:12.6g} {found.unit:<8} ({found.p20:.4g} to {found.p80:.4g})"
        print(f"{found.contender:<{width}} {spread} {found.note}".rstrip())
    keep(name, rows, asked=asked)


def keep(name: str, rows: Sequence[DataclassInstance], *, asked: Options) -> None:
    """Append the rows to `name`.csv, unless the run is quick."""
    if asked.results is None or not rows:
        return
    asked.results.mkdir(parents=True, exist_ok=True)
    append(asked.results / f"{name}.csv", rows)


def append(file: Path, rows: Sequence[DataclassInstance]) -> None:
    """Append rows of one kind to the file, under a header that must match."""
    names = [field.name for field in fields(rows[0])]
    if file.exists() and (found := file.read_text(encoding="utf-8").split("\n", 1)[0].split(",")) != names:
        raise SystemExit(f"{file.name} has the columns {found}; rows of {names} do not fit below them")
    is_new = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows(asdict(found) for found in rows)


@cache
def versions() -> str:
    ours = " ".join(f"{name}={version(name)}" for name in VERSIONS_OF)
    return f"python={platform.python_version()} {ours}"


@cache
def commit() -> str:
    """Return the commit, with a mark if the tree differs from it."""
    try:
        named = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return named.stdout.strip()


@cache
def device_name(device: str) -> str:
    """Return the maker's name of the device, with the number of cores that this process may use."""
    if device.startswith("cuda"):
        import torch

        return f"{device}: {torch.cuda.get_device_name(device)}"
    return f"{device}: {_processor()}, {_cores()} cores"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
