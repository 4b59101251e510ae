"""Make a task from a text file: predict the next character."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from actlab.errors import BadTask, visible
from actlab.train.character_transformer import CharacterTransformer
from actlab.train.examples import Examples, Parts
from actlab.train.size import epochs_for
from actlab.train.split import divided
from actlab.train.task import Task

LENGTH = 32
"""Characters per row."""

MAX_CHARACTERS = 100_000
MIN_CHARACTERS = 5_000
MAX_DISTINCT = 256
"""The rarest characters beyond this number share one code."""

BATCH = 16
STEPS = 500


@dataclass(frozen=True, eq=False)
class TextDivision:
    """Cuts a text into training, validation and test rows, each from one passage: three, one and one fifth.

    Neighboring rows share names and topics, so rows drawn at random would make the test part too easy. Another split
    starts the passages at another place; the end of the text is followed by its beginning.

    Attributes:
        codes: the codes of the characters.
        length: the number of characters per row.
    """

    codes: Tensor
    length: int = LENGTH

    @property
    def sentence(self) -> str:
        """Which rows a new split draws, and which noise that leaves out."""
        return "Each split cuts the training, validation and test passages out of the text at other places."

    def parts(self, number: int) -> Parts:
        """Return the three parts of this split."""
        rows = (len(self.codes) - 1) // self.length
        start = int(np.random.default_rng(number).integers(rows)) if number else 0
        places = torch.arange(rows * self.length)
        inputs = self.codes[places].reshape(rows, self.length).roll(-start, 0)
        targets = self.codes[places + 1].reshape(rows, self.length).roll(-start, 0)
        fifth = rows // 5
        train, valid, test = slice(rows - 2 * fifth), slice(rows - 2 * fifth, rows - fifth), slice(rows - fifth, rows)
        return Parts(
            train=Examples(inputs[train], targets[train]),
            valid=Examples(inputs[valid], targets[valid]),
            test=Examples(inputs[test], targets[test]),
        )


def text_task(path: str) -> Task:
    """Make the task of predicting each character of a text from those before it, at most 31, with a small transformer.

    It is judged by the cross-entropy in bits per character. The task's `notes` list what was chosen.

    Raises:
        BadTask: the file cannot be read as UTF-8 text, or is too short.
    """
    file = Path(path)
    text, notes = _read(file), []
    if len(text) > MAX_CHARACTERS:
        notes.append(f"the first {MAX_CHARACTERS:,} of {len(text):,} characters are used.")
        text = text[:MAX_CHARACTERS]
    codes, distinct = _coded(text, notes=notes)
    parts = divided(TextDivision(codes), 0)
    name = visible(file.name)
    return Task(
        visible(file.stem),
        partial(CharacterTransformer, nn.ReLU, characters=distinct, length=LENGTH),
        **parts,
        metric="bits",
        sentence=f"{name}: the next of {distinct} characters, on a transformer of two blocks.",
        epochs=epochs_for(len(parts["train"]), batch=BATCH, steps=STEPS),
        batch_size=BATCH,
        rates=(5e-4, 2e-2),
        notes=tuple(notes),
        origin=("text", str(file.resolve())),
    )


def _read(file: Path) -> str:
    if not file.is_file():
        raise BadTask(f"there is no file '{file}'; give the path of a text file.")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadTask(
            f"'{file}' is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8."
        ) from error
    except OSError as error:
        raise BadTask(f"cannot read '{file}': {error.strerror}.") from error
    if len(text) < MIN_CHARACTERS:
        raise BadTask(f"'{file}' must have at least {MIN_CHARACTERS:,} characters; got {len(text):,}.")
    return text


def _coded(text: str, *, notes: list[str]) -> tuple[Tensor, int]:
    """Return the code of every character, and the number of codes."""
    counts = Counter(text)
    if len(counts) < 2:
        raise BadTask("a text must have two different characters or more; got one.")
    # Equally frequent characters in the order of their numbers, so that the codes depend on the text alone.
    frequent = sorted(counts, key=lambda each: (-counts[each], each))[:MAX_DISTINCT]
    if len(counts) > MAX_DISTINCT:
        frequent = frequent[:-1]
        rare = sum(counts[each] for each in counts) - sum(counts[each] for each in frequent)
        notes.append(
            f"the {len(counts) - len(frequent):,} rarest of {len(counts):,} different characters share one code"
            f" ({100 * rare / len(text):.2g} % of the text)."
        )
    code_of = {character: code for code, character in enumerate(sorted(frequent))}
    other = len(frequent)
    codes = torch.tensor([code_of.get(character, other) for character in text])
    return codes, len(frequent) + (len(counts) > len(frequent))
