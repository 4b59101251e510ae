"""Make a task from the arrays of an .npz file."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actlab.errors import BadTask, shortened, visible
from actlab.train.cnn import cnn
from actlab.train.examples import Examples, examples
from actlab.train.mlp import mlp
from actlab.train.size import MIN_ROWS, chosen_rows, epochs_for
from actlab.train.split import Division, Standardized, all_parts, divided
from actlab.train.task import Task

MAX_ROWS = 40_000
MAX_IMAGES = 8_000
STEPS = 900
STEPS_OF_IMAGES = 400
HIDDEN = (64, 64)
FEW_VALUES = 20
"""Whole numbers with at most so many distinct values are classes, as in a table."""

MANY_CLASSES = 1_000
"""Integers from 0 or 1 without a gap are classes up to this number."""

INPUTS = ("x", "inputs", "input", "data", "images", "features")
TARGETS = ("y", "targets", "target", "labels", "label")
PARTS = {"train": ("train", "training"), "valid": ("valid", "val", "validation"), "test": ("test", "testing")}

Pair = tuple[np.ndarray, np.ndarray]


def arrays_task(path: str) -> Task:
    """Make the task of predicting the targets in an .npz file from its inputs.

    The arrays are named `X` and `y` (or `inputs` and `targets`, `data` and `target`, `images` and `labels`), with rows
    along the first axis; names such as `x_train` and `y_test` hold the parts. Inputs with one axis of values are
    standardized, for a ReLU network of two hidden layers; images of two or three axes are scaled to −1 to 1, for a
    small convolutional network. The task's `notes` list what was chosen.

    Raises:
        BadTask: the file cannot be read, or no task can be made of it.
    """
    file = Path(path)
    notes: list[str] = []
    pairs = _pairs(_arrays(file), file=file)
    _check_shapes(pairs, file=file)
    kind, convert = _targets(pairs, notes=notes)
    is_image = pairs["train"][0].ndim in (3, 4)
    most = MAX_IMAGES if is_image else MAX_ROWS
    largest, is_signed = _largest(pairs["train"][0]), bool((pairs["train"][0] < 0).any())
    parts: dict[str, Examples] = {}
    for part, (inputs, targets) in pairs.items():
        kept = chosen_rows(None, most=most, rows=len(inputs))
        if len(kept) < len(inputs):
            notes.append(f"{len(kept):,} of {len(inputs):,} rows in {part} are used, drawn at random.")
        chosen = inputs[kept].astype(np.float32)
        numbers = _images(chosen, largest=largest, is_signed=is_signed) if is_image else chosen.reshape(len(kept), -1)
        parts[part] = examples((numbers, convert(targets[kept])), part=f"'{file.name}': {part}")
    return _task(file, parts, kind=kind, is_image=is_image, notes=notes)


def _task(file: Path, parts: dict[str, Examples], *, kind: str, is_image: bool, notes: list[str]) -> Task:
    train, targets = parts["train"], parts["train"].targets
    outputs = _outputs(parts, kind=kind)
    model: Callable[[], nn.Module]
    settings: dict[str, Any] = {}
    if is_image:
        model = partial(cnn, nn.ReLU, channels=train.inputs.shape[1], outputs=outputs)
        parts, what, steps = all_parts(parts), "a small convolutional network", STEPS_OF_IMAGES
    else:
        model = partial(mlp, nn.ReLU, sizes=(train.inputs.shape[1], *HIDDEN, outputs))
        fixed = {part: rows for part, rows in parts.items() if part != "train"}
        is_scaled = kind == "regression" and targets.dim() == 1
        if len(fixed) < 2:
            settings = dict(divided(Standardized(Division(train, fixed), targets=is_scaled), 0))
        else:
            settings = dict(Standardized(_Passed(parts), targets=is_scaled).parts(0))
        what, steps = "a ReLU network of two hidden layers", STEPS
    rows = len(settings.get("train", parts["train"]))
    batch = 64 if is_image else 1 << min(8, max(4, round(math.log2(rows / 50))))
    name = visible(file.name)
    shape = " x ".join(map(str, train.inputs.shape[1:]))
    return Task(
        visible(file.stem),
        model,
        **{**parts, **settings},
        kind=kind,
        sentence=f"{name}: {_said(kind, outputs)} from inputs of {shape}, on {what}.",
        epochs=epochs_for(rows, batch=batch, steps=steps),
        batch_size=batch,
        rates=(3e-4, 2e-2),
        notes=tuple(map(visible, notes)),
        origin=("arrays", str(file.resolve())),
    )


class _Passed:
    """Three parts that were passed."""

    sentence = ""

    def __init__(self, parts: dict[str, Examples]) -> None:
        self.passed = parts

    def parts(self, number: int) -> Any:
        return self.passed


def _said(kind: str, outputs: int) -> str:
    if kind == "classification":
        return f"one of {outputs} classes"
    return f"{outputs} labels" if kind == "binary" else "a number" if outputs == 1 else f"{outputs} numbers"


def _outputs(parts: Mapping[str, Examples], *, kind: str) -> int:
    targets = parts["train"].targets
    if kind == "classification":
        return 1 + int(max(part.targets.max() for part in parts.values()))
    return 1 if targets.dim() == 1 else targets.shape[1]


def _arrays(file: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file by their names in lower case; nothing in it is run."""
    if not file.is_file():
        raise BadTask(f"there is no file '{file}'; give the path of an .npz file.")
    try:
        stored = np.load(io.BytesIO(file.read_bytes()), allow_pickle=False)
        if isinstance(stored, np.ndarray):
            raise BadTask(f"'{file}' must be an .npz file with inputs and targets; got a single array.")
        return {name.lower(): stored[name] for name in stored.files}
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        NotImplementedError,
        MemoryError,
    ) as error:
        text = shortened(str(error), limit=120)
        raise BadTask(f"cannot read '{file}' as .npz with arrays of numbers or text: {text}.") from error


def _pairs(arrays: dict[str, np.ndarray], *, file: Path) -> dict[str, Pair]:
    """Return inputs and targets of each part; without names of parts, of the training part."""
    inputs, targets = _named(arrays, INPUTS), _named(arrays, TARGETS)
    found = {part: (inputs[part], targets[part]) for part in PARTS if part in inputs and part in targets}
    if "train" not in found:
        names = shortened(", ".join(arrays) or "no arrays", limit=120)
        raise BadTask(
            f"'{file}' must hold X and y, or inputs and targets, or x_train, y_train, x_test and y_test; got {names}."
        )
    return found


def _named(arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    found = {}
    for part, endings in PARTS.items():
        plain = names if part == "train" else ()
        spellings = [*(f"{name}_{end}" for end in endings for name in names), *plain]
        spellings += [f"{end}_{name}" for end in endings for name in names]
        for spelling in spellings:
            if spelling in arrays:
                found[part] = arrays[spelling]
                break
    return found


def _targets(pairs: dict[str, Pair], *, notes: list[str]) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    """Return the kind of task, and the conversion of its targets; note both."""
    every = np.concatenate([_squeezed(targets) for _, targets in pairs.values()])
    values = np.unique(every)
    if every.dtype.kind in "OSU" or every.dtype == bool:
        return _of_classes(values, notes=notes)
    if every.dtype.kind not in "iuf":
        raise BadTask(f"the targets must be numbers or text; got {every.dtype}.")
    if every.ndim == 2 and set(values.tolist()) <= {0, 1}:
        if (every.sum(1) == 1).all():
            notes.append("the targets have a single 1 in each row, so this is classification.")
            return "classification", lambda targets: targets.argmax(1)
        notes.append(f"the targets have {every.shape[1]} columns of 0 and 1, so these are as many labels.")
        return "binary", lambda targets: targets.astype(np.int64)
    if every.ndim > 2:
        raise BadTask(
            f"the targets must have one axis, or two for several numbers or labels a row; got shape {every.shape}."
            " Write a Task for others."
        )
    if every.ndim == 1 and _are_classes(values, rows=len(every)):
        return _of_classes(values, notes=notes)
    notes.append(f"the targets have {len(values):,} distinct values, so this is regression.")
    return "regression", lambda targets: _squeezed(targets).astype(np.float32)


def _are_classes(values: np.ndarray, *, rows: int) -> bool:
    """Return whether the distinct targets are classes: a few whole numbers, or integers from 0 or 1 without a gap."""
    if not (np.isfinite(values).all() and (values == values.round()).all()):
        return False
    in_order = values.dtype.kind in "iu" and values[0] in (0, 1) and values[-1] - values[0] == len(values) - 1
    return len(values) <= max(2, min(MANY_CLASSES if in_order else FEW_VALUES, rows // 10))


def _of_classes(values: np.ndarray, *, notes: list[str]) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    if len(values) < 2:
        raise BadTask(f"the targets must have two values or more; got {shortened(str(values.tolist()))} in every row.")
    notes.append(f"the targets have {len(values)} distinct values, so this is classification.")
    return "classification", lambda targets: np.searchsorted(values, _squeezed(targets))


def _squeezed(targets: np.ndarray) -> np.ndarray:
    return targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets


def _check_shapes(pairs: dict[str, Pair], *, file: Path) -> None:
    """Raise `BadTask` unless the arrays of all parts fit together."""
    shape = pairs["train"][0].shape[1:]
    for part, (inputs, targets) in pairs.items():
        if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) != len(targets):
            raise BadTask(
                f"'{file}' must have one target per input; got inputs of shape {inputs.shape} and targets of shape"
                f" {targets.shape} in {part}."
            )
        if inputs.ndim > 4 or inputs.dtype.kind not in "iufb" or 0 in inputs.shape:
            raise BadTask(
                f"'{file}' must have inputs of numbers with one axis of values, or images with two or three; got shape"
                f" {inputs.shape} and type {inputs.dtype} in {part}."
            )
        if inputs.shape[1:] != shape or targets.shape[1:] != pairs["train"][1].shape[1:]:
            raise BadTask(f"'{file}' must have rows of one shape in all parts; got another in {part}.")
    if len(pairs["train"][0]) < MIN_ROWS:
        raise BadTask(f"'{file}' must have at least {MIN_ROWS} rows; got {len(pairs['train'][0])}.")


def _largest(train: np.ndarray) -> float:
    """Return the value that stands for full brightness."""
    return 255.0 if train.dtype == np.uint8 else float(np.abs(train.astype(float)).max()) or 1.0


def _images(pixels: np.ndarray, *, largest: float, is_signed: bool) -> Tensor:
    """Return images (rows, channels, height, width): 0 to `largest` becomes −1 to 1, signed values keep their zero."""
    images = torch.from_numpy(pixels)
    if images.dim() == 3:
        images = images[:, None]
    elif images.shape[3] in (1, 3, 4) and images.shape[1] not in (1, 3, 4):
        images = images.permute(0, 3, 1, 2).contiguous()
    return images / largest if is_signed else images / (largest / 2) - 1
