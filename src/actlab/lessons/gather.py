"""Gather what the lessons on training quote from the benchmarks, for `python -m actlab.lessons.generate`.

The numbers are stored beside the lessons, since an installed package does not contain bench/results.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from actlab.lessons.training_numbers import FILE, slug

ROOT = Path(__file__).parents[3]
HEAD = ("table", "row", "column", "value", "low", "high")

Row = tuple[str, str, str, str, str, str]

MACHINES = {"intel": "cpu: Intel", "amd": "cpu: AMD"}
TIMED = ("relu", "sigmoid", "tanh", "elu", "silu", "gelu", "mish", "swiglu")
# Sentences of a study that hold a number outside its tables: page, table, row, column, pattern.
SENTENCES = (
    ("transfer", "tau", "mean", "tau", r"Mean over all pairs of tasks: ([-+.\d]+) \(([-+.\d]+) to ([-+.\d]+)\)"),
    ("transfer", "winner", "elsewhere", "mean", r"loses ([.\d]+) times what matters there on average"),
    ("transfer", "winner", "elsewhere", "worst", r"and ([.\d]+) times at worst"),
    ("adult", "boosting", "adult", "test", r"default settings\) has ([.\d]+) points"),
)


def gathered(root: Path) -> list[Row]:
    """Return every number, sorted; `root` is the folder that holds bench and docs.

    Raises:
        ValueError: a study does not hold the sentence with a number that the lessons quote.
    """
    results = root / "bench" / "results"
    newest: dict[tuple[str, str, str], Row] = {}
    for row in (*_speed(results), *_memory(results), *_steps(results), *_error_rates(results)):
        newest[row[:3]] = row  # later rows of a file replace earlier ones
    return sorted([*newest.values(), *_sentences(root / "docs" / "studies")])


def _read(file: Path) -> Iterator[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def _speed(folder: Path) -> Iterator[Row]:
    """Yield PyTorch's own times in copies of the same tensor: table speed-MACHINE, a row an activation."""
    for row in _read(folder / "speed.csv"):
        machine = next((name for name, start in MACHINES.items() if row["device"].startswith(start)), None)
        wanted = (row["name"] in TIMED, row["contender"] == "eager", row["threads"] == "1", row["dtype"] == "float32")
        if machine and all(wanted) and row["direction"] in {"forward", "both"} and row["reported"] == "True":
            copies = float(row["median"]) / float(row["copy_median"])
            yield (f"speed-{machine}", row["name"], f"{row['direction']}-{row['shape']}", repr(copies), "", "")


def _memory(folder: Path) -> Iterator[Row]:
    """Yield the bytes that a training step saves: a row a network, a column a choice."""
    for row in _read(folder / "memory.csv"):
        if " with " in row["question"] and row["unit"] == "bytes":
            network, _, activation = row["question"].partition(" with ")
            yield ("memory", f"{slug(network)}-{activation}", slug(row["contender"]), row["median"], "", "")


def _steps(folder: Path) -> Iterator[Row]:
    """Yield the seconds of a training step on one thread, with PyTorch's own activation and with actlab's."""
    for row in _read(folder / "real_step.csv"):
        if row["threads"] == "1" and row["unit"] == "s":
            yield ("step", slug(row["name"]), row["contender"], row["median"], "", "")


def _error_rates(folder: Path) -> Iterator[Row]:
    """Yield the share of comparisons of identical arms that claimed a difference, and of those of different arms."""
    for row in _read(folder / "aa.csv"):
        name = {"identical arms": "false-claims", "known effect": f"power-{float(row['effect']):g}"}.get(
            row["question"]
        )
        if name:
            yield (name, row["task"], row["arms"], row["share"], row["low"], row["high"])


def _sentences(folder: Path) -> Iterator[Row]:
    for page, table, row, column, pattern in SENTENCES:
        found = re.search(pattern, (folder / f"{page}.md").read_text(encoding="utf-8"))
        if found is None:
            raise ValueError(f"docs/studies/{page}.md: a sentence like '{pattern}' is required.")
        value, low, high = (*found.groups(), "", "")[:3]
        yield (table, row, column, value, low, high)


def write() -> None:
    """Write the file beside the lessons."""
    rows = gathered(ROOT)
    with FILE.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([HEAD, *rows])
