"""The energy of a computation: read from a counter, estimated from a power that the user names, or unavailable."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, final

MEASURED, ESTIMATED, UNAVAILABLE = "measured", "estimated", "unavailable"

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows the energy counters of the processors (RAPL), in microjoules."""

MICRO, MILLI = 1e-6, 1e-3

SECONDS = 0.5
"""A counter moves about once a millisecond, so shorter measurements would say little."""


@final
@dataclass(frozen=True)
class Energy:
    """The energy of one run of something.

    Attributes:
        kind: "measured", "estimated" or "unavailable".
        joules: the energy; None if it is unavailable.
        source: the counter that was read, the model of the estimate, or why there is neither.
    """

    kind: str
    joules: float | None
    source: str


class Counter(Protocol):
    """A counter of energy."""

    @property
    def source(self) -> str:
        """What is counted."""

    def read(self) -> tuple[int, ...]:
        """Return where the counters are now."""

    def joules(self, before: Sequence[int], after: Sequence[int]) -> float:
        """Return the energy between two readings."""


@final
@dataclass(frozen=True)
class Powercap:
    """The counters of the processors.

    Attributes:
        zones: the folders of the counters.
        names: their names.
        ranges: where each starts again at 0, in microjoules.
    """

    zones: tuple[Path, ...]
    names: tuple[str, ...]
    ranges: tuple[int, ...]

    @property
    def source(self) -> str:
        """What is counted."""
        return f"RAPL, {', '.join(self.names)}: all that ran on the processors meanwhile, idle power included"

    def read(self) -> tuple[int, ...]:
        """Return the counters, in microjoules."""
        return tuple(_number(zone / "energy_uj") for zone in self.zones)

    def joules(self, before: Sequence[int], after: Sequence[int]) -> float:
        """Return the energy between two readings; a counter may have started again at 0 once."""
        spent = ((end - start) % (most + 1) for start, end, most in zip(before, after, self.ranges, strict=True))
        return MICRO * sum(spent)


@final
@dataclass(frozen=True)
class Nvml:
    """The counters of NVIDIA's graphics processors, from the package pynvml."""

    library: Any
    handles: tuple[Any, ...]

    @property
    def source(self) -> str:
        """What is counted."""
        return f"NVML, {len(self.handles)} GPU{'s' if len(self.handles) > 1 else ''}: all that ran there meanwhile"

    def read(self) -> tuple[int, ...]:
        """Return the counters, in millijoules."""
        return tuple(int(self.library.nvmlDeviceGetTotalEnergyConsumption(handle)) for handle in self.handles)

    def joules(self, before: Sequence[int], after: Sequence[int]) -> float:
        """Return the energy between two readings."""
        return MILLI * sum(end - start for start, end in zip(before, after, strict=True))


def processor_counter(root: Path = POWERCAP) -> Powercap | str:
    """Return the counters of the processors and their memory, or why none can be read.

    Counted are the zones `package-N` and, inside them, `dram`. The other zones are parts of these, or hold them.

    Args:
        root: the folder of the counters.
    """
    if not root.is_dir():
        return f"this system has no energy counters ({root} is absent)"
    zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if _text(zone / "name").startswith(("package", "dram"))]
    if not zones:
        return f"{root} has no counter of a processor"
    try:
        counter = Powercap(
            tuple(zones),
            tuple(_text(zone / "name") for zone in zones),
            tuple(_number(zone / "max_energy_range_uj") for zone in zones),
        )
        counter.read()
    except PermissionError as error:
        return f"{error.filename} can be read by the administrator alone"
    except (OSError, ValueError) as error:
        return f"the counters in {root} cannot be read ({error})"
    return counter


def gpu_counter() -> Nvml | str:
    """Return the counters of the graphics processors, or why none can be read."""
    if find_spec("pynvml") is None:
        return "the energy of a GPU requires pynvml, which is not installed"
    library: Any = import_module("pynvml")
    try:
        library.nvmlInit()
        counter = Nvml(library, tuple(map(library.nvmlDeviceGetHandleByIndex, range(library.nvmlDeviceGetCount()))))
        counter.read()
    except library.NVMLError as error:
        return f"NVML cannot be read ({error})"
    return counter if counter.handles else "NVML shows no GPU"


def energy_of(
    run: Callable[[], object],
    *,
    counter: Counter,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Energy:
    """Return the energy of one run, from a counter read before and after so many runs as fill `seconds`.

    Args:
        run: what to measure.
        counter: what to read.
        seconds: how long to run it.
        clock: tells the time.
    """
    runs, before, start = 0, counter.read(), clock()
    while not runs or clock() - start < seconds:
        run()
        runs += 1
    return Energy(MEASURED, counter.joules(before, counter.read()) / runs, counter.source)


def estimated(*, watts: float, seconds: float) -> Energy:
    """Return an estimate: a power that the user names, times a measured time.

    Example:
        >>> estimated(watts=65.0, seconds=0.002)
        Energy(kind='estimated', joules=0.13, source='65 W as named, times the measured seconds')
    """
    return Energy(ESTIMATED, watts * seconds, f"{watts:g} W as named, times the measured seconds")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))
