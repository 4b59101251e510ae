"""List the activations of the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actlab.catalog.index import CATALOG
from actlab.errors import BadInput
from actlab.verbs.activation_lookup import AnyActivation, param_facts


@dataclass(frozen=True)
class Listing:
    """Activations of the catalog."""

    activations: tuple[AnyActivation, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """Return one object per activation."""
        return [
            {
                "name": act.name,
                "family": act.family,
                "inputs": list(act.inputs),
                "parameters": [param_facts(param) for param in act.params],
                "aliases": list(act.aliases),
                "source": act.source,
                "summary": act.summary,
            }
            for act in self.activations
        ]

    def lines(self) -> list[str]:
        """Return the names and summaries, grouped by family."""
        lines: list[str] = []
        width = max((len(act.name) for act in self.activations), default=0)
        family = ""
        for act in self.activations:
            if act.family != family:
                family = act.family
                lines += ["", family]
            lines.append(f"  {act.name:<{width}}  {act.summary}")
        count = len(self.activations)
        total = f"{count} activation{'' if count == 1 else 's'}; `actlab show NAME` shows one in detail."
        return [*lines[1:], "", total] if lines else [total]


def listing(*, family: str | None = None, search: str | None = None) -> Listing:
    """List the activations of the catalog.

    Args:
        family: list this family only.
        search: list only activations with this text in their name, aliases or summary.

    Raises:
        BadInput: the family does not exist.
    """
    families = list(dict.fromkeys(act.family for act in CATALOG.values()))
    chosen = list(CATALOG.values())
    if family is not None:
        wanted = family.strip().lower().replace(" ", "_").replace("-", "_")
        if wanted not in families:
            raise BadInput(f"there is no family '{family}'; choose one of {', '.join(families)}.")
        chosen = [act for act in chosen if act.family == wanted]
    if search is not None:
        chosen = [act for act in chosen if search.lower() in " ".join((act.name, act.summary, *act.aliases)).lower()]
    return Listing(tuple(chosen))
