"""The stored certificates equal those measured now, for a sample that can change every day.

The environment variable ACTLAB_SAMPLE, a number, chooses the sample; without it, it is always the same.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from actlab.catalog.index import get
from actlab.formula.activation import Activation
from actlab.kernels.runtime.version import VERSION
from actlab.measure.accuracy import generate, stored
from actlab.measure.accuracy.certificate import certificate
from actlab.measure.implementations import native

# Every certificate is in one of this many samples.
SAMPLE, OF = int(os.environ.get("ACTLAB_SAMPLE", "0")), 160

# Another machine's instructions may move the place of the worst error, and with it the last digits of its size.
CLOSE = 0.02

TASKS = generate.tasks()
TOLD = pytest.mark.skipif(not stored.stored(), reason="no certificates are stored; `make generate` measures them")


def drift(kept: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """List the differences between two certificates of the same implementation."""
    found = [
        f"{direction} {name}: {kept[direction][name]} is stored, {now[direction][name]} is measured"
        for direction in ("forward", "backward")
        for name in ("max_ulp", "near_root")
        if float(now[direction][name]) != pytest.approx(float(kept[direction][name]), rel=CLOSE, abs=CLOSE)
    ]
    found += [
        f"{name}: {kept[name]} is stored, {now[name]} is measured"
        for name in ("zero_gradient", "kernels")
        if kept[name] != now[name]
    ]
    if len(kept["non_finite"]) != len(now["non_finite"]):
        found.append(
            f"{len(kept['non_finite'])} stretches that are not finite are stored, now {len(now['non_finite'])}"
        )
    return found


@TOLD
@pytest.mark.parametrize("task", TASKS[SAMPLE % OF :: OF], ids=lambda task: f"{task[0].name}-{task[1]}-{task[2]}")
def test_a_sample_is_measured_again(task: generate.Task) -> None:
    act, mode, dtype = task
    kept = stored.stored()[stored.key_of(act, mode=mode, dtype=dtype)]
    now = json.loads(json.dumps(generate.entry(generate.measured(act, mode, dtype))))
    assert drift(kept, now) == []


@TOLD
def test_exactly_the_catalog_has_certificates() -> None:
    wanted = {stored.key_of(act, mode=mode, dtype=dtype) for act, mode, dtype in TASKS}
    assert set(stored.stored()) == wanted


@TOLD
def test_certificates_are_of_the_present_kernels() -> None:
    assert {entry["kernels"] for entry in stored.stored().values()} == {VERSION}


@TOLD
@pytest.mark.parametrize("name", ["gelu", "swiglu"])
def test_show_reads_the_stored_certificates(name: str) -> None:
    act = get(name)
    assert isinstance(act, Activation)
    kept = stored.kept(act)
    assert list(kept) == ["accurate", "fast"]
    assert list(kept["accurate"]) == ["float32", "float64", "bfloat16", "float16"]


def test_a_drift_is_found() -> None:
    act = get("tanh")
    assert isinstance(act, Activation)
    few = {"count": 4000}
    kept = generate.entry(certificate(act, **few))
    assert drift(kept, generate.entry(certificate(act, **few))) == []
    faulty = generate.entry(certificate(act, function=native(act), **few))
    assert [fault.partition(":")[0] for fault in drift(kept, faulty)][-1] == "zero_gradient"
    assert "backward max_ulp" in drift(kept, faulty)[-2]


def test_certificates_of_other_kernels_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    act = get("tanh")
    assert isinstance(act, Activation)
    entry = generate.entry(certificate(act, count=2000))
    table = {stored.key_of(act, mode="accurate", dtype="float32"): entry}
    monkeypatch.setattr(stored, "stored", lambda: table)
    assert stored.kept(act) == {"accurate": {"float32": entry}}
    monkeypatch.setattr(stored, "VERSION", "of another day")
    assert stored.kept(act) == {}
    monkeypatch.setattr(stored, "VERSION", VERSION)
    assert stored.kept(get("leaky_relu")) == {}  # type: ignore[arg-type]  # of a single element
