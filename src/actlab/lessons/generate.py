"""Write what the lessons quote from the studies and the benchmarks: `python -m actlab.lessons.generate`.

Run it in a checkout, after a study or `bench/speed.py` has written new results. The package then has them too.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actlab.lessons import gather
from actlab.lessons.measured import FILE

ROOT = Path(__file__).parents[3]
STUDIES = ROOT / "docs" / "studies"
SPEED = ROOT / "bench" / "results" / "speed.csv"

# The rows quoted: a million elements, as a hidden layer of a large network has.
_ROWS = {"shape": "1000000", "dtype": "float32", "threads": "2"}
_CPU = "cpu: AMD EPYC, 2 cores"


def written() -> dict[str, Any]:
    """Return what the file holds: the tables of each study, and the latest times of each activation."""
    studies = {page.stem: list(_tables(page.read_text(encoding="utf-8"))) for page in sorted(STUDIES.glob("*.md"))}
    return {"studies": {name: tables for name, tables in studies.items() if tables}, "speed": _speed()}


def _tables(text: str) -> Iterator[list[list[str]]]:
    """Yield the tables of a Markdown page, each as rows of cells, the head first."""
    rows: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            yield [rows[0], *rows[2:]]
            rows = []


def _speed() -> dict[str, Any]:
    found: dict[str, dict[str, dict[str, float]]] = {}
    with SPEED.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if _is_quoted(row)]
    for row in sorted(rows, key=lambda row: row["date"]):
        found.setdefault(row["name"], {}).setdefault(row["contender"], {})[row["direction"]] = float(row["median"])
    last = max(rows, key=lambda row: row["date"])
    about = {name: last[name] for name in ("device", "versions", "commit", "date")}
    return {"about": {**_ROWS, **about}, "seconds": found}


def _is_quoted(row: dict[str, str]) -> bool:
    return row["device"] == _CPU and all(row[name] == value for name, value in _ROWS.items())


def main() -> None:
    FILE.write_text(json.dumps(written(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    gather.write()


if __name__ == "__main__":
    main()
