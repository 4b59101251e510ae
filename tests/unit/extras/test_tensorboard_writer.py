"""TensorBoard reads back what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from actlab.diagnosis.watch import watch
from actlab.extras.tensorboard_writer import TensorBoardWriter

BORDERS, COUNTS = [-1.0, 0.0, 1.0], [2.0, 3.0, 5.0, 7.0]


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"histograms": 0, "scalars": 0})
    events.Reload()
    return events


def test_numbers_become_scalars_at_their_step(tmp_path: Path) -> None:
    with TensorBoardWriter(tmp_path) as sink:
        for step in (0, 5):
            sink({"act[0]/dead_share": 0.25 + step, "loss": 1.5}, step)
    scalars = read(tmp_path).Scalars("act[0]/dead_share")
    assert [(one.step, one.value) for one in scalars] == [(0, 0.25), (5, 5.25)]
    assert read(tmp_path).Scalars("loss")[0].value == 1.5


def test_a_histogram_is_kept_as_it_was_binned(tmp_path: Path) -> None:
    with TensorBoardWriter(tmp_path) as sink:
        sink({"act[0]/z": {"borders": BORDERS, "counts": COUNTS}}, 3)
    (found,) = read(tmp_path).Histograms("act[0]/z")
    value = found.histogram_value
    assert found.step == 3
    assert list(value.bucket) == COUNTS
    assert list(value.bucket_limit) == [-1.0, 0.0, 1.0, 2.0]
    assert (value.min, value.max, value.num) == (-2.0, 2.0, 17.0)
    assert value.sum == pytest.approx(
        sum(place * count for place, count in zip([-1.5, -0.5, 0.5, 1.5], COUNTS, strict=True))
    )


def test_without_the_package_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    with pytest.raises(ImportError, match="tensorboard"):
        TensorBoardWriter(tmp_path)


def test_what_the_real_watch_measures_is_read_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with TensorBoardWriter(tmp_path) as sink, watch(model, sinks=(sink,), every=1) as watched:
        for _ in range(3):
            optimizer.zero_grad()
            loss = model(torch.randn(16, 4)).square().mean()
            loss.backward()
            optimizer.step()
            watched.step(loss)
        sink.log_report(watched.report())
    tags = read(tmp_path).Tags()
    assert {"actlab/dead_share/1.0", "actlab/update/0.weight", "actlab/findings/error"} <= set(tags["scalars"])
    assert tags["histograms"] == ["actlab/histogram/1.0"]
    assert tags["tensors"] == ["actlab/findings/text/text_summary"]
