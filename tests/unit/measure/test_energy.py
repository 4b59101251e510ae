"""Energy counters: a tree of files as Linux shows it, a counter that starts again, and a graphics library."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from actlab.measure.energy import Nvml, Powercap, energy_of, gpu_counter, processor_counter


def zone(root: Path, folder: str, name: str, energy: int, *, most: int = 1_000_000) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    for file, text in (("name", name), ("energy_uj", energy), ("max_energy_range_uj", most)):
        (path / file).write_text(f"{text}\n")
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    zone(tmp_path, "intel-rapl:0", "package-0", 100)
    zone(tmp_path, "intel-rapl:0:0", "core", 50)
    zone(tmp_path, "intel-rapl:0:1", "dram", 10)
    zone(tmp_path, "intel-rapl:1", "package-1", 999_999)
    zone(tmp_path, "intel-rapl:2", "psys", 7)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 100)
    return tmp_path


def test_packages_and_memory_are_counted_once(tree: Path) -> None:
    counter = processor_counter(tree)
    assert isinstance(counter, Powercap)
    assert counter.names == ("package-0", "dram", "package-1")
    assert counter.read() == (100, 10, 999_999)
    assert "package-0, dram, package-1" in counter.source


def test_the_energy_is_that_between_two_readings_also_of_a_counter_that_started_again(tree: Path) -> None:
    counter = processor_counter(tree)
    assert isinstance(counter, Powercap)
    ran: list[int] = []
    times: Iterator[float] = iter([0.0, 0.2, 0.4, 0.6])

    def run() -> None:
        ran.append(1)
        (tree / "intel-rapl:0" / "energy_uj").write_text(str(100 + 3_000_000 * len(ran)))
        (tree / "intel-rapl:1" / "energy_uj").write_text(str(2_000_000 - 1))

    object.__setattr__(counter, "ranges", (10**9, 10**6, 10**6 - 1))
    (tree / "intel-rapl:1" / "energy_uj").write_text("999999")
    found = energy_of(run, counter=counter, seconds=0.5, clock=lambda: next(times))
    assert len(ran) == 3
    assert (found.kind, found.source) == ("measured", counter.source)
    assert found.joules == pytest.approx(3.0)
    assert counter.joules((0, 0, 999_000), (0, 0, 1_000)) == pytest.approx(0.002)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("absent", "this system has no energy counters"),
        ("empty", "has no counter of a processor"),
        ("garbled", "cannot be read"),
        ("secret", "can be read by the administrator alone"),
    ],
)
def test_a_counter_that_cannot_be_read_is_a_reason_and_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, reason: str
) -> None:
    root = tmp_path / "powercap"
    if broken != "absent":
        root.mkdir()
    if broken == "garbled":
        (zone(root, "intel-rapl:0", "package-0", 1) / "energy_uj").write_text("much")
    if broken == "secret":
        file = zone(root, "intel-rapl:0", "package-0", 1) / "energy_uj"
        known = Path.read_text

        def read(path: Path, *args: object, **named: object) -> str:
            if path == file:
                raise PermissionError(13, "Permission denied", str(path))
            return known(path, *args, **named)

        monkeypatch.setattr(Path, "read_text", read)
    found = processor_counter(root)
    assert isinstance(found, str)
    assert reason in found


def library(*, joules: int = 5, fails: bool = False, gpus: int = 2) -> ModuleType:
    module = ModuleType("pynvml")
    error = type("NVMLError", (Exception,), {})

    def start() -> None:
        if fails:
            raise error("no driver")

    values = {
        "__spec__": SimpleNamespace(name="pynvml"),
        "NVMLError": error,
        "nvmlInit": start,
        "nvmlDeviceGetCount": lambda: gpus,
        "nvmlDeviceGetHandleByIndex": lambda number: number,
        "nvmlDeviceGetTotalEnergyConsumption": lambda handle: 1000 * joules * (handle + 1),
    }
    for name, value in values.items():
        setattr(module, name, value)
    return module


def test_graphics_processors_are_counted_in_millijoules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library())
    counter = gpu_counter()
    assert isinstance(counter, Nvml)
    assert counter.read() == (5000, 10000)
    assert counter.joules((1000, 2000), (1500, 3000)) == 1.5


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (library(fails=True), "NVML cannot be read (no driver)"),
        (library(gpus=0), "NVML shows no GPU"),
    ],
)
def test_without_a_driver_there_is_a_reason(monkeypatch: pytest.MonkeyPatch, module: ModuleType, reason: str) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", module)
    assert gpu_counter() == reason
