"""STUB."""

from __future__ import annotations

from typing import Any

from torch import nn

from actlab.watch.report import Report


def check(
    model: nn.Module, batch: Any, loss: Any, *, settings: Any = None, optimiser: Any = None, train_steps: int = 0
) -> Report:
    from actlab.catalog.index import get
    from actlab.sites.site import Site
    from actlab.watch.finding import Finding

    s = Site("softmax", {}, "2", "nn.Softmax", "net.py", 9, 0, (4, 2), "float32", get("softmax"))
    has = any(isinstance(m, nn.Softmax) for m in model.modules())
    return Report(
        (Finding("AL201", "error", "The loss takes softmax itself.", s, {"examples": 8}, ("drop-softmax",)),)
        if has
        else (),
        (),
        (s,),
    )
