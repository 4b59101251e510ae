"""The Transformers callback, in a real Trainer with a model of random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers", reason="the extra 'transformers' is not installed")

from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

from actlab.errors import BadInput
from actlab.extras import transformers_callback
from actlab.extras.transformers_callback import ActivationWatch
from unit.extras.watched import NotedWatch

ROWS, BATCH = 32, 8


def model() -> BertForSequenceClassification:
    """One layer, sixteen features."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return BertForSequenceClassification(BertConfig(vocab_size=20, max_position_embeddings=8, **sizes))


def train(callback: Any, folder: Path, *others: Any, **options: Any) -> None:
    data = [{"input_ids": torch.randint(20, (6,)), "labels": row % 2} for row in range(ROWS)]
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=ROWS // BATCH,
        per_device_train_batch_size=BATCH,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **options,
    )
    Trainer(model(), arguments, train_dataset=data, callbacks=[callback, *others]).train()


class Fails(TrainerCallback):
    """Raises at the second step."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 1:
            raise RuntimeError("on purpose")


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> NotedWatch:
    watched = NotedWatch()
    monkeypatch.setattr(transformers_callback, "watch", watched)
    return watched


def test_every_step_is_counted_and_everything_comes_off(noted: NotedWatch, tmp_path: Path) -> None:
    train(ActivationWatch(every=2), tmp_path)
    assert isinstance(noted.model, BertForSequenceClassification)
    assert noted.given == {"sinks": (), "every": 2}
    assert len(noted.losses) == ROWS // BATCH
    assert (noted.entered, noted.left) == (1, 1)


def test_batches_whose_gradients_are_gathered_are_one_step(noted: NotedWatch, tmp_path: Path) -> None:
    train(ActivationWatch(), tmp_path, gradient_accumulation_steps=2)
    assert len(noted.losses) == ROWS // BATCH


def test_after_an_exception_everything_is_off_at_the_end_of_the_block(noted: NotedWatch, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="on purpose"), ActivationWatch() as callback:
        train(callback, tmp_path, Fails())
    assert (noted.entered, noted.left) == (1, 1)


def test_a_report_before_the_training_is_refused() -> None:
    with pytest.raises(BadInput, match="no training has been watched yet"):
        ActivationWatch().report()


def test_the_real_watch_knows_the_steps_and_the_sites(tmp_path: Path) -> None:
    callback = ActivationWatch(every=1)
    train(callback, tmp_path)
    quantities = callback.report().quantities
    assert quantities is not None
    assert quantities.steps == ROWS // BATCH
    assert {one.site.activation for one in quantities.sites} == {"gelu", "tanh"}


def test_findings_raise_at_the_end_if_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(transformers_callback, "finish", lambda report, **options: asked.append(options))
    callback = ActivationWatch(every=1, sinks=(print,), raise_if_found=["AL1"])
    train(callback, tmp_path)
    assert asked == [{"sinks": (print,), "raise_if_found": ["AL1"]}]
