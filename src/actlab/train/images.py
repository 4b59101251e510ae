"""Make a task from images in folders: the name of a folder is the class of its images."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actlab.errors import BadTask, shortened, visible
from actlab.train.cnn import cnn
from actlab.train.size import MIN_CLASS_ROWS, MIN_ROWS, chosen_rows, epochs_for
from actlab.train.task import Task

SIDE = 32
"""Height and width to which images are resized, so that a comparison takes minutes."""

MAX_IMAGES = 8_000
BATCH = 64
STEPS = 400

PARTS = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation"),
    "test": ("test", "testing"),
}
"""Names of folders that hold the parts of a data set, each with a folder for every class."""

Labelled = list[tuple[Path, str]]


def image_task(path: str, *, side: int = SIDE) -> Task:
    """Make the task of telling the class of an image: the name of the folder that it is in.

    Images are resized to `side` by `side` pixels with brightness from −1 to 1, in color unless all are gray. If the
    folder holds `train` and `test` (and `valid`), these are the parts. The task's `notes` list what was chosen.

    Raises:
        BadTask: the folder does not hold images of two classes or more.
    """
    folder = Path(path)
    notes: list[str] = []
    parts = _labelled_parts(folder)
    classes = _classes(parts["train"], folder=folder, notes=notes)
    pixels = {part: _read(labelled, classes, side=side, notes=notes) for part, labelled in parts.items()}
    channels = 1 if all(_is_gray(images) for images, _ in pixels.values()) else 3
    rows = {part: (_scaled(images, channels), targets) for part, (images, targets) in pixels.items()}
    for part, (_, targets) in rows.items():
        if len(targets) < (MIN_ROWS if part == "train" else MIN_CLASS_ROWS):
            raise BadTask(f"'{path}' must have at least {MIN_ROWS} images for training; got {len(targets)} in {part}.")
    color = "gray" if channels == 1 else "color"
    notes.append(f"Images are resized to {side} x {side} pixels, in {color}.")
    model = partial(cnn, nn.ReLU, channels=channels, outputs=len(classes))
    return Task(
        visible(folder.resolve().name),
        model,
        train=rows["train"],
        valid=rows.get("valid"),
        test=rows.get("test"),
        kind="classification",
        sentence=f"{len(classes)} classes of images on a small convolutional network.",
        epochs=epochs_for(len(rows["train"][1]), batch=BATCH, steps=STEPS),
        batch_size=BATCH,
        rates=(3e-4, 2e-2),
        notes=tuple(map(visible, notes)),
        origin=("images", str(folder.resolve()), str(side)),
    )


def _labelled_parts(folder: Path) -> dict[str, Labelled]:
    """Return the files of each part with their classes; only "train" unless the folder is divided."""
    folders = {each.name.lower(): each for each in _folders(folder)}
    found = {part: folders[name] for part, names in PARTS.items() for name in names if name in folders}
    if "train" in found and "test" in found:
        return {part: list(_labelled(each)) for part, each in found.items()}
    return {"train": list(_labelled(folder))}


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    except OSError as error:
        raise BadTask(f"cannot read the folder '{folder}': {error.strerror}.") from error


def _labelled(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files in the folders of the classes, in order, with their classes."""
    from PIL import Image

    suffixes = Image.registered_extensions()
    for each in _folders(folder):
        for file in sorted(each.rglob("*")):
            if file.suffix.lower() in suffixes and not file.name.startswith(".") and file.is_file():
                yield file, each.name


def _classes(labelled: Labelled, *, folder: Path, notes: list[str]) -> list[str]:
    """Return the classes with enough images; note the others."""
    counts: dict[str, int] = {}
    for _, name in labelled:
        counts[name] = counts.get(name, 0) + 1
    classes = [name for name, count in counts.items() if count >= MIN_CLASS_ROWS]
    rare = [name for name in counts if name not in classes]
    if len(classes) < 2:
        raise BadTask(
            f"'{folder}' must hold a folder for each of two classes or more, with {MIN_CLASS_ROWS} images or more in"
            f" each; got {_counted(counts)}."
        )
    if rare:
        notes.append(f"left out: {shortened(', '.join(rare), limit=120)} (fewer than {MIN_CLASS_ROWS} images).")
    return classes


def _counted(counts: dict[str, int]) -> str:
    return shortened(", ".join(f"{name} ({count})" for name, count in counts.items()) or "no images", limit=120)


def _read(labelled: Labelled, classes: list[str], *, side: int, notes: list[str]) -> tuple[np.ndarray, Tensor]:
    """Return the images as bytes (rows, side, side, 3), and their classes."""
    labelled = [(file, name) for file, name in labelled if name in classes]
    kept = chosen_rows(np.array([name for _, name in labelled]), most=MAX_IMAGES)
    if len(kept) < len(labelled):
        notes.append(f"{len(kept):,} of {len(labelled):,} images are used, drawn at random.")
    images, targets, damaged = [], [], []
    for row in kept:
        file, name = labelled[row]
        image = _image(file, side=side)
        if image is None:
            damaged.append(file.name)
        else:
            images.append(image)
            targets.append(classes.index(name))
    if damaged:
        names = shortened(", ".join(damaged), limit=80)
        notes.append(
            f"left out: {len(damaged)} {'file' if len(damaged) == 1 else 'files'} not readable as images: {names}."
        )
    stacked = np.stack(images) if images else np.zeros((0, side, side, 3), np.uint8)
    return stacked, torch.tensor(targets, dtype=torch.int64)


def _image(file: Path, *, side: int) -> np.ndarray[Any, Any] | None:
    """Return an image as bytes of red, green and blue; None if it cannot be read."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as the one for an image that would fill the memory
            with Image.open(file) as opened:
                image = ImageOps.exif_transpose(opened)
                if image.mode.startswith("I"):  # 16 bits; a plain conversion would cut them off
                    image = Image.fromarray((np.asarray(image).astype(float) / 257).clip(0, 255).astype(np.uint8))
                return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))
    # Pillow raises any of these for a damaged file.
    except (OSError, ValueError, SyntaxError, TypeError, EOFError, Image.DecompressionBombError, Warning):
        return None


def _is_gray(images: np.ndarray) -> bool:
    return bool((images == images[..., :1]).all())


def _scaled(images: np.ndarray, channels: int) -> Tensor:
    """Return images (rows, channels, height, width) with values from −1 to 1."""
    return torch.from_numpy(images[..., :channels]).permute(0, 3, 1, 2).float() / 127.5 - 1
