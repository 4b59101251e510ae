"""A stretch of vector code, run on tensors: what tests of single operations and functions ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import pytest
from torch import Tensor

from actlab.kernels.elementwise.loop_ir import Plan
from actlab.kernels.elementwise.strategies import evaluated
from actlab.kernels.runtime.cpu import machine
from actlab.kernels.runtime.loop import Memory
from actlab.lower.arithmetic import Arithmetic, Num, Recipe, Strategy

Body = Callable[[Arithmetic, Sequence[Num]], Sequence[Num]]

# Every way in which kernels compute, by a name; all of them also without AVX-512's own instruction.
RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "plain float": Recipe("single"),
        "light float": Recipe("single", Strategy.LIGHT),
        "paired float": Recipe("single", Strategy.PAIRED),
        "short double": Recipe("short"),
        "plain double": Recipe("full"),
        "light double": Recipe("full", Strategy.LIGHT),
        "paired double": Recipe("full", Strategy.PAIRED),
        "tabled float": Recipe("single", scalef=True, tabled=True),
        "firm float": Recipe("single", Strategy.FIRM_ARGUMENTS, scalef=True, tabled=True),
        "firm outer float": Recipe("single", Strategy.FIRM_SUMS, scalef=True, tabled=True),
        "tabled light float": Recipe("single", Strategy.LIGHT, scalef=True, tabled=True),
    }
)


def memory_of(recipe: Recipe) -> Memory:
    """The dtype that the recipe serves: `short` is float64 for the sake of float32."""
    return "double" if recipe.accuracy == "full" else "float"


def computed(body: Body, tensors: Sequence[Tensor], *, recipe: Recipe, outputs: int) -> list[Tensor]:
    """What the code makes of contiguous tensors of one length, each element for itself."""
    if (recipe.scalef or recipe.tabled) and not machine().scalef:
        pytest.skip("this CPU has no AVX-512 to scale by a power of two in one instruction")
    inputs = ("stream",) * len(tensors)
    return evaluated(Plan(memory_of(recipe), recipe, inputs, outputs, 0, body), tensors)
