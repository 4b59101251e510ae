"""Tasks from folders of images, from .npz files and from texts: what is chosen is said, damage is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from actlab.errors import BadTask
from actlab.study.compare import compare
from actlab.train import images as images_module
from actlab.train import text as text_module
from actlab.train.arrays import arrays_task
from actlab.train.images import image_task
from actlab.train.load import directions_to
from actlab.train.loop import train
from actlab.train.options import TaskOptions
from actlab.train.task import Task
from actlab.train.text import text_task
from actlab.verbs.task_lookup import task_named

CHANCE = np.random.default_rng(0)


def photo(color: tuple[int, int, int], *, size: tuple[int, int] = (40, 30)) -> Image.Image:
    noise = CHANCE.integers(0, 40, (size[1], size[0], 3))
    return Image.fromarray((np.array(color) + noise).clip(0, 255).astype(np.uint8))


def photos(folder: Path, counts: dict[str, int], *, suffix: str = "png") -> Path:
    colors = {"apple": (200, 30, 30), "banana": (200, 200, 40)}
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            photo(colors.get(name, (90, 90, 90))).save(folder / name / f"{number}.{suffix}")
    return folder


def test_folders_of_images_are_classes(tmp_path: Path) -> None:
    folder = photos(tmp_path / "fruit", {"apple": 40, "banana": 30}, suffix="jpg")
    task = image_task(str(folder))
    assert (task.name, task.classes, task.rows) == ("fruit", 2, 70)
    assert task.train.inputs.shape[1:] == (3, 32, 32)
    assert -1 <= task.train.inputs.min() < 0 < task.train.inputs.max() <= 1
    red, green, _ = task.train.inputs[task.train.targets == 0].mean((0, 2, 3))
    assert red > green, "an apple is red, in the first channel"
    assert "Images are resized to 32 x 32 pixels, in color." in task.notes
    assert directions_to(task.with_split(2)).followed().fingerprint() == task.with_split(2).fingerprint()
    run = train(task.build(), replace(task, epochs=8), rate=1e-2, seed=0)
    assert run.test == 100.0


def test_gray_images_have_one_channel_and_sixteen_bits_are_not_cut_off(tmp_path: Path) -> None:
    for name, bright in (("dark", 9_000), ("light", 50_000)):
        (tmp_path / name).mkdir()
        for number in range(30):
            pixels = np.full((12, 12), bright, np.uint16) + number
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    task = image_task(str(tmp_path), side=8)
    assert task.train.inputs.shape[1:] == (1, 8, 8)
    assert "in gray" in task.notes[-1]
    dark, light = (task.train.inputs[task.train.targets == kind].mean().item() for kind in (0, 1))
    assert (dark, light) == (pytest.approx(9_000 / 32_767 - 1, abs=0.02), pytest.approx(50_000 / 32_767 - 1, abs=0.02))


def test_parts_in_folders_are_the_parts(tmp_path: Path) -> None:
    photos(tmp_path / "train", {"apple": 30, "banana": 30})
    photos(tmp_path / "test", {"apple": 7, "banana": 6})
    task = image_task(str(tmp_path))
    assert [len(part) for part in (task.train, task.valid, task.test)] == [48, 12, 13]
    assert torch.equal(task.with_split(1).test.inputs, task.test.inputs)
    photos(tmp_path / "val", {"apple": 5, "banana": 5})
    task = image_task(str(tmp_path))
    assert ([len(part) for part in (task.train, task.valid, task.test)], task.can_resplit) == ([60, 10, 13], False)


def test_damaged_images_and_small_classes_are_left_out_with_a_note(tmp_path: Path) -> None:
    folder = photos(tmp_path / "f", {"apple": 30, "banana": 30, "cherry": 2})
    whole = (folder / "apple" / "0.png").read_bytes()
    (folder / "apple" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "apple" / "te\x1bxt.png").write_bytes(b"no image")
    (folder / "apple" / "empty.jpg").write_bytes(b"")
    (folder / "apple" / "notes.txt").write_text("not an image")
    (folder / ".hidden").mkdir()
    task = image_task(str(folder))
    assert task.rows == 60
    text = " ".join(task.notes)
    assert "3 files not readable as images: cut.png, empty.jpg, te\\u001bxt.png" in text
    assert "left out: cherry (fewer than 5 images)" in text


def test_many_images_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(tmp_path / "f", {"apple": 40, "banana": 40})
    monkeypatch.setattr(images_module, "MAX_IMAGES", 60)
    task = image_task(str(folder))
    assert task.rows == 60
    assert "60 of 80 images are used, drawn at random." in task.notes


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "must hold a folder for each of two classes or more, with 5 images or more in each; got no images"),
        ({"apple": 60}, "got apple (60)"),
        ({"apple": 60, "banana": 4}, "got apple (60), banana (4)"),
        ({"apple": 20, "banana": 20}, "must have at least 50 images for training; got 40 in train"),
    ],
)
def test_a_folder_without_a_task_is_refused(counts: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadTask) as raised:
        image_task(str(photos(tmp_path, counts)))
    assert message in str(raised.value)


def saved(folder: Path, **arrays: np.ndarray) -> str:
    np.savez(folder / "data.npz", **arrays)
    return str(folder / "data.npz")


def test_arrays_of_columns_are_standardized_on_the_training_rows(tmp_path: Path) -> None:
    inputs = CHANCE.normal(50, 10, (100, 3))
    task = arrays_task(saved(tmp_path, X=inputs, y=inputs.sum(1)))
    assert (task.kind.name, [len(part) for part in (task.train, task.valid, task.test)]) == ("regression", [60, 20, 20])
    for each in (task, task.with_split(5)):
        assert each.train.inputs.mean(0).abs().max() < 1e-4
        assert each.train.targets.std().item() == pytest.approx(1, abs=1e-3)
        assert each.target_unit == pytest.approx(inputs.sum(1).std(), rel=0.3)
    assert directions_to(task).followed().fingerprint() == task.fingerprint()


@pytest.mark.parametrize(
    ("targets", "kind", "outputs"),
    [
        (np.arange(100) % 3, "classification", 3),
        (np.arange(100) % 3 + 1.0, "classification", 3),
        (np.array(["no", "yes"])[np.arange(100) % 2], "classification", 2),
        (np.arange(100) % 2 == 0, "classification", 2),
        (np.eye(4)[np.arange(100) % 4], "classification", 4),
        (CHANCE.integers(0, 2, (100, 4)), "binary", 4),
        (CHANCE.normal(size=100), "regression", 1),
        (CHANCE.normal(size=(100, 1)), "regression", 1),
        (CHANCE.normal(size=(100, 2)), "regression", 2),
        (CHANCE.integers(0, 90, 100) * 7, "regression", 1),
    ],
)
def test_the_targets_decide_the_kind(targets: np.ndarray, kind: str, outputs: int, tmp_path: Path) -> None:
    task = arrays_task(saved(tmp_path, inputs=CHANCE.normal(size=(100, 3)), targets=targets))
    assert task.kind.name == kind
    assert task.build()(task.train.inputs[:2]).shape == (2, outputs)
    assert any(kind in note or "labels" in note for note in task.notes)


@pytest.mark.parametrize(("shape", "channels"), [((8, 9), (1, 8, 9)), ((8, 9, 3), (3, 8, 9)), ((3, 8, 9), (3, 8, 9))])
def test_arrays_of_images_feed_a_convolution(shape: tuple[int, ...], channels: tuple[int, ...], tmp_path: Path) -> None:
    images = CHANCE.integers(0, 256, (60, *shape)).astype(np.uint8)
    task = arrays_task(saved(tmp_path, images=images, labels=np.arange(60) % 2))
    assert task.train.inputs.shape[1:] == channels
    assert (task.train.inputs.min(), task.train.inputs.max()) == (-1, 1)
    assert isinstance(task.build()[0], nn.Conv2d)


def test_named_parts_are_the_parts(tmp_path: Path) -> None:
    arrays = {
        f"{name}_{part}": values
        for part, count in (("train", 60), ("val", 15), ("test", 12))
        for name, values in (("x", CHANCE.normal(size=(count, 2)) * 5), ("y", np.arange(count) % 2))
    }
    task = arrays_task(saved(tmp_path, **arrays))
    assert [len(part) for part in (task.train, task.valid, task.test)] == [60, 15, 12]
    assert task.train.inputs.std(0).sub(1).abs().max() < 1e-4
    del arrays["x_val"], arrays["y_val"]
    task = arrays_task(saved(tmp_path, **arrays))
    assert ([len(part) for part in (task.train, task.valid, task.test)], task.can_resplit) == ([48, 12, 12], True)
    assert torch.equal(task.test.targets, task.with_split(3).test.targets)


X = CHANCE.normal(size=(60, 3))
Y = np.arange(60) % 2
FILES: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "names": ({"a": X, "b": Y}, "must hold X and y, or inputs and targets, or x_train"),
    "lengths": ({"X": X, "y": Y[:50]}, "must have one target per input; got inputs of shape (60, 3) and targets of"),
    "few": ({"X": X[:40], "y": Y[:40]}, "must have at least 50 rows; got 40"),
    "constant": ({"X": X, "y": np.ones(60, int)}, "must have two values or more"),
    "nan": ({"X": np.where(X > 1, np.nan, X), "y": Y}, "inputs must be finite"),
    "text": ({"X": X.astype(str), "y": Y}, "must have inputs of numbers"),
    "axes": ({"X": np.ones((60, 2, 2, 2, 2)), "y": Y}, "must have inputs of numbers with one axis of values"),
    "cube": ({"X": X, "y": np.ones((60, 2, 2))}, "the targets must have one axis, or two"),
    "empty": ({"X": np.ones((60, 0)), "y": Y}, "must have inputs of numbers"),
    "parts": ({"X_train": X, "y_train": Y, "X_test": X[:, :2], "y_test": Y}, "rows of one shape in all parts"),
    "objects": ({"X": np.array([{}] * 60), "y": Y}, "cannot read"),
    "none": ({}, "must hold X and y"),
}


@pytest.mark.parametrize("fault", FILES)
def test_arrays_without_a_task_are_refused(fault: str, tmp_path: Path) -> None:
    arrays, message = FILES[fault]
    with pytest.raises(BadTask) as raised:
        arrays_task(saved(tmp_path, **arrays))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_damaged_array_files_are_refused(tmp_path: Path) -> None:
    whole = Path(saved(tmp_path, X=X, y=Y)).read_bytes()
    path = tmp_path / "damaged.npz"
    single = io.BytesIO()
    np.save(single, X)
    changed = [whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :] for place in range(0, len(whole), 37)]
    for content in (b"", b"text", whole[: len(whole) // 2], single.getvalue(), *changed):
        path.write_bytes(content)
        with suppress(BadTask):  # nothing else may be raised
            arrays_task(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", b"\x93NUMPY no header")
    with pytest.raises(BadTask, match="cannot read"):
        arrays_task(str(path))
    with pytest.raises(BadTask, match="there is no file"):
        arrays_task(str(tmp_path / "nowhere.npz"))


def story(folder: Path, *, characters: int = 6_000) -> Path:
    words = ["one ", "two ", "three ", "four\n"]
    text = "".join(words[number] for number in CHANCE.integers(0, 4, characters // 4))
    path = folder / "story.txt"
    path.write_text(text[:characters], encoding="utf-8")
    return path


def test_a_text_is_cut_into_rows_whose_targets_are_the_next_characters(tmp_path: Path) -> None:
    path = story(tmp_path)
    task = text_task(str(path))
    assert (task.metric.unit, task.kind.name, task.train.inputs.shape[1]) == ("bits", "classification", 32)
    assert torch.equal(task.train.inputs[0, 1:], task.train.targets[0, :-1])
    assert task.train.targets[0, -1] == task.train.inputs[1, 0]
    rows = task.rows
    assert rows == (len(path.read_text()) - 1) // 32
    other = task.with_split(3)
    assert [len(part) for part in (other.train, other.valid, other.test)] == [
        rows - 2 * (rows // 5),
        rows // 5,
        rows // 5,
    ]
    assert not torch.equal(other.test.inputs, task.test.inputs)
    assert torch.equal(other.test.inputs[:-1, -1] * 0, other.test.targets[:-1, -1] * 0)
    assert (other.test.targets[:-1, -1] == other.test.inputs[1:, 0]).double().mean() > 0.9, "rows of one passage"
    assert directions_to(other).followed().fingerprint() == other.fingerprint()


def test_the_transformer_sees_only_what_is_before_and_learns(tmp_path: Path) -> None:
    task = text_task(str(story(tmp_path)))
    model = task.build().eval()
    codes = task.train.inputs[:1].clone()
    before = model(codes)
    codes[0, 20] = (codes[0, 20] + 1) % task.classes
    after = model(codes)
    assert torch.allclose(before[0, :20], after[0, :20], atol=1e-6)
    assert not torch.allclose(before[0, 20:], after[0, 20:], atol=1e-3)
    run = train(task.build(), replace(task, epochs=10), rate=1e-2, seed=0)
    assert 0.3 < run.test < 0.6 * task.baseline(task.test)


def test_rare_characters_share_a_code_and_long_texts_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = story(tmp_path)
    path.write_text("äöü" + "ß" * 9 + path.read_text(), encoding="utf-8")
    monkeypatch.setattr(text_module, "MAX_DISTINCT", 14)
    task = text_task(str(path))
    assert task.classes == 14
    assert any("different characters share one code" in note for note in task.notes)
    monkeypatch.setattr(text_module, "MAX_CHARACTERS", 5_500)
    assert any(note.startswith("the first 5,500 of") for note in text_task(str(path)).notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no file"),
        (b"short", "must have at least 5,000 characters; got 5"),
        (b"\xff\xfe" * 5000, "is not UTF-8 text"),
        (b"a" * 6000, "must have two different characters"),
    ],
)
def test_a_text_without_a_task_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadTask, match=message):
        text_task(str(path))


def of_images(folder: Path) -> Task:
    where = photos(folder / "fruit", {"apple": 30, "banana": 30})
    return task_named(where, target=None, task=None, verb="advise", options=TaskOptions(epochs=1))


def of_arrays(folder: Path) -> Task:
    return task_named(saved(folder, X=X, y=Y), target=None, task=None, verb="advise", options=TaskOptions(epochs=1))


def of_text(folder: Path) -> Task:
    options = TaskOptions(epochs=1, text=story(folder))
    return task_named(None, target=None, task=None, verb="advise", options=options)


@pytest.mark.parametrize("make", [of_images, of_arrays, of_text])
def test_activations_are_compared_on_such_data(make: Callable[[Path], Task], tmp_path: Path) -> None:
    found = compare(make(tmp_path), candidates=["tanh"], seeds=2, budget=1)
    assert [arm.activation for arm in found.arms] == ["relu", "tanh"]
    assert all(np.isfinite(arm.tests).all() for arm in found.arms)


def test_a_path_that_is_not_understood_is_said(tmp_path: Path) -> None:
    path = story(tmp_path)
    with pytest.raises(BadTask, match=r"read it as a text: actlab advise --text .*story\.txt"):
        task_named(path, target=None, task=None, verb="advise")
    with pytest.raises(BadTask, match="--text names the whole task"):
        task_named(path, target=None, task=None, verb="advise", options=TaskOptions(text=path))
    with pytest.raises(BadTask, match="there is no file or folder"):
        task_named(tmp_path / "nowhere", target=None, task=None, verb="advise")
    (tmp_path / "data.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadTask, match="must be a CSV file; got one of the kind"):
        task_named(tmp_path / "data.parquet", target="y", task=None, verb="advise")
