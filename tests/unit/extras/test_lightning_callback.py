"""The Lightning callback, in a real Trainer."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

pytest.importorskip("lightning", reason="the extra 'lightning' is not installed")

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger

from actlab.diagnosis.report import FindingsFound
from actlab.errors import BadInput
from actlab.extras import lightning_callback
from actlab.extras.lightning_callback import ActivationWatch
from unit.extras.watched import NotedWatch

# Lightning's own advice, given on machines with more cores, or a GPU, than the test uses.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:GPU available but not used"),
]
ROWS, BATCH = 64, 8


class Module(LightningModule):
    """A small classifier; `fails_at` is the batch in which it raises."""

    def __init__(self, *, fails_at: int = -1) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
        self.fails_at = fails_at

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        if batch_idx == self.fails_at:
            raise RuntimeError("on purpose")
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(module: LightningModule, callback: ActivationWatch, folder: Path, **options: Any) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(ROWS, 4)
    loader = DataLoader(TensorDataset(inputs, (inputs[:, 0] > 0).long()), batch_size=BATCH)
    quiet = {
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    options = {"logger": False, **options}
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", default_root_dir=folder, callbacks=[callback], **quiet, **options
    )
    trainer.fit(module, loader)


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> NotedWatch:
    watched = NotedWatch()
    monkeypatch.setattr(lightning_callback, "watch", watched)
    return watched


def test_every_step_is_counted_with_its_loss_and_everything_comes_off(noted: NotedWatch, tmp_path: Path) -> None:
    callback, module = ActivationWatch(every=2), Module()
    fit(module, callback, tmp_path)
    assert noted.model is module
    assert noted.given == {"sinks": (), "every": 2}
    assert len(noted.losses) == ROWS // BATCH
    assert all(loss is not None and loss > 0 for loss in noted.losses)
    assert (noted.entered, noted.left) == (1, 1)


def test_batches_whose_gradients_are_gathered_are_one_step(noted: NotedWatch, tmp_path: Path) -> None:
    fit(Module(), ActivationWatch(), tmp_path, accumulate_grad_batches=4)
    assert len(noted.losses) == ROWS // BATCH // 4


def test_numbers_go_to_the_trainers_logger_and_histograms_do_not(noted: NotedWatch, tmp_path: Path) -> None:
    fit(Module(), ActivationWatch(sinks=[print]), tmp_path, logger=(logger := CSVLogger(tmp_path)), log_every_n_steps=1)
    own, to_logger = noted.given["sinks"]
    assert own is print
    to_logger({"actlab/dead_share/act.0": 0.25, "actlab/histogram/act.0": {"borders": [0.0], "counts": [1, 2]}}, 3)
    logger.save()
    rows = csv.DictReader(Path(logger.log_dir, "metrics.csv").read_text().splitlines())
    assert {row["actlab/dead_share/act.0"]: row["step"] for row in rows}["0.25"] == "3"


def test_a_part_can_be_named(noted: NotedWatch, tmp_path: Path) -> None:
    module = Module()
    fit(module, ActivationWatch("net"), tmp_path)
    assert noted.model is module.net


def test_after_an_exception_everything_is_off(noted: NotedWatch, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="on purpose"):
        fit(Module(fails_at=3), ActivationWatch(), tmp_path)
    assert (noted.entered, noted.left) == (1, 1)


def test_a_report_before_the_training_is_refused() -> None:
    with pytest.raises(BadInput, match="no training has been watched yet"):
        ActivationWatch().report()


def test_the_real_watch_knows_the_steps_and_the_sites_and_leaves_no_trace(tmp_path: Path) -> None:
    callback, module = ActivationWatch(every=1), Module()
    fit(module, callback, tmp_path)
    quantities = callback.report().quantities
    assert quantities is not None
    assert quantities.steps == ROWS // BATCH
    assert [one.site.activation for one in quantities.sites] == ["relu"]
    assert len(quantities.losses) == ROWS // BATCH
    assert not any(
        part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part) for part in module.modules()
    )


def dead(module: Module) -> Module:
    with torch.no_grad():
        module.net[0].bias.fill_(-1000.0)
    return module


def test_findings_end_up_in_the_logger_and_raise_if_asked_to(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    with pytest.raises(FindingsFound, match="AL"):
        fit(dead(Module()), ActivationWatch(every=1, raise_if_found=True), tmp_path, logger=logger, log_every_n_steps=1)
    logger.save()
    heading = Path(logger.log_dir, "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"actlab/dead_share/net.1.0", "actlab/findings/error", "actlab/findings/warning"} <= set(heading)


class CallsItsPart(Module):
    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])


def test_a_module_that_calls_its_part_is_measured_there(tmp_path: Path) -> None:
    callback, module = ActivationWatch(every=1), CallsItsPart()
    fit(module, callback, tmp_path)
    report = callback.report()
    assert report.quantities is not None
    (site,) = report.quantities.sites
    assert (site.site.path, len(site.points)) == ("net.1", ROWS // BATCH)
    assert any("the loop calls only its parts (net)" in each.why for each in report.unseen)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


class ComputesInItsStep(Module):
    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net[2](torch.relu(self.net[0](batch[0]))), batch[1])


def test_a_module_that_computes_in_its_step_is_warned(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"measures nothing of this ComputesInItsStep: .*functions between them"):
        fit(ComputesInItsStep(), ActivationWatch(every=1), tmp_path)
