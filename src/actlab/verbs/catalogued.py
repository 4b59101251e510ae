"""The activations of the catalog, listed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actlab.catalog.index import CATALOG
from actlab.errors import BadInput
from actlab.formula.param import Param
from actlab.verbs.meaning import AnyActivation


@dataclass(frozen=True)
class Listing:
    """Activations of the catalog."""

    activations: tuple[AnyActivation, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """One object an activation."""
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
        """The names in columns, by family."""
        lines: list[str] = []
        width = max((len(act.name) for act in self.activations), default=0)
        family = ""
        for act in self.activations:
            if act.family != family:
                family = act.family
                lines += ["", family.replace("_", " ")]
            lines.append(f"  {act.name:<{width}}  {act.summary}")
        return [*lines[1:], "", f"{len(self.activations)} activations; `actlab show NAME` tells more."]


def listing(*, family: str | None = None, search: str | None = None) -> Listing:
    """The activations of the catalog, all or some.

    Raises:
        BadInput: there is no such family.
    """
    families = list(dict.fromkeys(act.family for act in CATALOG.values()))
    if family is not None and family not in families:
        raise BadInput(f"there is no family '{family}'; there are {', '.join(families)}.")
    chosen = [act for act in CATALOG.values() if family in (None, act.family)]
    if search is not None:
        chosen = [act for act in chosen if search.lower() in " ".join((act.name, act.summary, *act.aliases)).lower()]
    return Listing(tuple(chosen))


def param_facts(param: Param) -> dict[str, Any]:
    """A parameter as plain values."""
    return {
        "name": param.name,
        "value": param.value,
        "trainable": param.trainable,
        "bounds": param.bounds(),
        "random": param.sampler is not None,
    }
