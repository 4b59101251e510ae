"""Store the properties and moments of the catalog: `python -m actlab.theory.generate`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from actlab.catalog.index import CATALOG
from actlab.errors import NoMoment
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.theory import gains, properties
from actlab.theory.compute_properties import established


def computed(activations: Iterable[Activation | AxisActivation]) -> Mapping[str, object]:
    """Return the properties of each activation by its key, as they are stored."""
    return {act.key: established(act).to_json() for act in activations}


def computed_moments(activations: Iterable[Activation | AxisActivation]) -> Mapping[str, object]:
    """Return the moments at q = 1 of each activation that has them, as they are stored."""
    rows = {}
    for act in activations:
        if isinstance(act, Activation):
            with suppress(NoMoment):
                found = asdict(gains.computed(act, 1.0))
                rows[act.key] = {name: value for name, value in found.items() if name not in ("formula", "q")}
    return rows


def main() -> None:
    _write(properties.DATA, computed(CATALOG.values()))
    _write(gains.DATA, computed_moments(CATALOG.values()))


def _is_rounding(old: object, new: object) -> bool:
    """Return whether two entries differ by the last digits of their numbers at most."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_is_rounding(old[name], new[name]) for name in old)
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=1e-13, abs_tol=1e-15)
    return old == new


def _write(name: str, rows: Mapping[str, object]) -> None:
    stored = json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    rows = {key: stored[key] if _is_rounding(stored.get(key), entry) else entry for key, entry in rows.items()}
    lines = [f"{json.dumps(key)}: {json.dumps(entry, ensure_ascii=False)}" for key, entry in sorted(rows.items())]
    file = Path(__file__).with_name(name)
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{len(lines)} entries in {name}")


if __name__ == "__main__":
    main()
