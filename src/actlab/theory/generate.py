"""Computes the properties of the catalog afresh and writes them down: `python -m actlab.theory.generate`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.theory.establish import established
from actlab.theory.properties import DATA


def computed(activations: Iterable[Activation | AxisActivation]) -> Mapping[str, object]:
    """The properties of each by its key, in the form in which they are stored."""
    return {act.key: established(act).to_json() for act in activations}


def main() -> None:
    entries = sorted(computed(CATALOG.values()).items())
    lines = [f"{json.dumps(key)}: {json.dumps(entry, ensure_ascii=False)}" for key, entry in entries]
    file = Path(__file__).with_name(DATA)
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{len(entries)} entries in {file.name}")


if __name__ == "__main__":
    main()
