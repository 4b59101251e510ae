"""Names as users type them: `LeakyReLU`, `leaky-relu` and `Leaky ReLU` are one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import final

from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation

_DROPPED = str.maketrans({"_": None, "-": None, " ": None, ".": None, "^": None, "²": "2"})


def squashed(name: str) -> str:
    """Return the name without case, underscores, hyphens, spaces, full stops and carets."""
    return name.translate(_DROPPED).lower()


@final
class Names(Mapping[str, Activation | AxisActivation]):
    """Activations by name and alias in any spelling; iteration yields the catalog's spelling."""

    def __init__(self, activations: Iterable[Activation | AxisActivation]) -> None:
        self._spelled: dict[str, Activation | AxisActivation] = {}
        for act in activations:
            self._spelled.update(dict.fromkeys((act.name, *act.aliases), act))
        self._squashed = {squashed(name): act for name, act in self._spelled.items()}

    def __getitem__(self, name: str) -> Activation | AxisActivation:
        return self._squashed[squashed(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._spelled)

    def __len__(self) -> int:
        return len(self._spelled)
