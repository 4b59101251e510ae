"""How much data and how many epochs a task of someone's data has, so that a comparison takes minutes."""

from __future__ import annotations

import numpy as np

MIN_ROWS = 50
"""Fewer rows leave fewer than ten for the test part."""

MIN_CLASS_ROWS = 5
"""A class with fewer rows cannot be in all three parts."""

MAX_EPOCHS = 60
MIN_EPOCHS = 5


def epochs_for(rows: int, *, batch: int, steps: int) -> int:
    """Return the number of epochs for about so many training steps.

    Example:
        >>> epochs_for(1000, batch=32, steps=900), epochs_for(100_000, batch=256, steps=900)
        (28, 5)
    """
    return max(MIN_EPOCHS, min(MAX_EPOCHS, steps * batch // rows))


def chosen_rows(strata: np.ndarray | None, *, most: int, rows: int = 0) -> np.ndarray:
    """Return the numbers of the rows to use, in order: all, or as many as allowed with equal shares of the classes.

    Args:
        strata: the class of each row, or None.
        most: the largest number of rows.
        rows: the number of rows, without `strata`.
    """
    count = rows if strata is None else len(strata)
    if count <= most:
        return np.arange(count)
    from sklearn.model_selection import train_test_split

    kept, _ = train_test_split(np.arange(count), train_size=most, random_state=0, stratify=strata)
    return np.sort(kept)
