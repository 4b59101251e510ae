"""What W&B writes to its file while it is offline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("wandb", reason="the extra 'wandb' is not installed")

import wandb

from actlab.errors import BadInput
from actlab.extras.wandb_logger import WandbSink, activation_watch
from unit.extras.small_training import dead_model, trained

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("DATA_DIR", "CACHE_DIR", "CONFIG_DIR", "ARTIFACT_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / name))
    monkeypatch.setenv("WANDB_SILENT", "true")
    settings = wandb.Settings(console="off", x_disable_stats=True, x_disable_meta=True, disable_git=True)
    with wandb.init(mode="offline", project="test", dir=tmp_path, settings=settings) as found:
        yield found


def test_the_run_holds_measurements_findings_and_report(run, tmp_path):
    model = dead_model()
    with activation_watch(model, run=run, every=1) as watched:
        trained(model, watched)
    summary = dict(run.summary)
    run.finish()
    assert summary["actlab/step"] == 2
    assert summary["actlab/dead_share/1.0"] == 1.0
    histogram = summary["actlab/histogram/1.0"]
    assert len(histogram["values"]) + 1 == len(histogram["bins"])
    assert sum(histogram["values"]) == 3 * 4096  # at most so many values of each pass
    assert summary["actlab/findings/error"] + summary["actlab/findings/warning"] >= 1
    (table,) = tmp_path.rglob("media/table/**/*.table.json")
    assert "AL101" in {row[1] for row in json.loads(table.read_text())["data"]}
    staged = [file.read_text(encoding="utf-8") for file in (tmp_path / "DATA_DIR").rglob("*") if file.is_file()]
    assert any("<html" in text and "dead units" in text for text in staged)
    assert any('"findings"' in text and '"AL101"' in text for text in staged)
    assert [file for file in tmp_path.rglob("*.wandb") if file.stat().st_size > 1000]


def test_without_a_run_it_says_how_to_start_one():
    with pytest.raises(BadInput, match=r"Call wandb.init\(\) first"):
        WandbSink()
