"""Where PyTorch's own operator is faster than the kernel and keeps the mode's bound, though its numbers are others.

`native_choices.json`, written by `python -m actlab.measure.speed.native`, has a section for each kind of processor:
PyTorch takes elementary functions from Intel's library, which is several times slower on others' processors. Nothing is
timed on the user's machine, so that equal machines give equal bits.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

import torch

from actlab.catalog.index import CATALOG
from actlab.errors import NoKernels
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.kernels.elementwise.strategies import Mode
from actlab.kernels.runtime.cpu import machine

DATA = "native_choices.json"

Part = Literal["forward", "both"]
"""What the operator computes: the values, or the gradient too."""

# LLVM's names of the processors of other makers than Intel begin so.
_OTHERS = ("znver", "bdver", "btver", "amdfam", "athlon", "k8", "opteron")


def chosen(act: Activation | AxisActivation, mode: Mode, dtype: torch.dtype) -> Part | None:
    """Return what PyTorch's operator computes for an activation of the catalog; None if the kernel computes all."""
    part = stored().get(kind(), {}).get(key_of(act, mode, dtype))
    return part if part is not None and CATALOG.get(act.name) == act else None


def chosen_anywhere(act: Activation, mode: Mode, dtype: torch.dtype) -> Part | None:
    """Return what PyTorch's operator computes on processors of any kind."""
    key = key_of(act, mode, dtype)
    part = next((found[key] for found in stored().values() if key in found), None)
    return part if CATALOG.get(act.name) == act else None


def key_of(act: Activation | AxisActivation, mode: Mode, dtype: torch.dtype) -> str:
    """Return the name under which a choice is stored."""
    return f"{act.name} {mode} {str(dtype).removeprefix('torch.')}"


@cache
def kind() -> str:
    """Return the kind of this processor."""
    try:
        name = machine().processor
    except NoKernels:
        return "other"
    intel = platform.machine() in {"x86_64", "AMD64"} and not name.startswith(_OTHERS)
    return "intel" if intel and torch._C.has_mkl else "other"


@cache
def stored() -> Mapping[str, Mapping[str, Part]]:
    """Return all choices, by kind of processor and key."""
    found: Mapping[str, Mapping[str, Part]] = json.loads(
        (files("actlab.kernels.elementwise") / DATA).read_text(encoding="utf-8")
    )
    return found
