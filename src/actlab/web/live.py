"""Watch a training loop, and show it in the browser from within it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from torch import nn

from actlab.diagnosis.watch import EVERY, Sink, Watch
from actlab.diagnosis.watch import watch as plain_watch
from actlab.errors import BadInput
from actlab.extras_import import need
from actlab.telemetry.settings import Settings

_LIMIT = 65535


def watch(
    model: nn.Module,
    loss: Any = None,
    every: int = EVERY,
    *,
    evaluation: bool = False,
    scaler: Any = None,
    sinks: Sequence[Sink] = (),
    settings: Settings | None = None,
    live: bool | int = False,
) -> Watch:
    """Watch a model while it trains: `with watch(model) as w:` around a loop, then `w.report()`.

    Args:
        model: the module that the loop calls; wrapped by `torch.compile` or DDP if the loop calls the wrapper.
        loss: the loss module, whose value is then recorded; for a plain function, call `step(loss)` instead.
        every: measure one training step in so many.
        evaluation: count passes in evaluation mode or without autograd too.
        scaler: the loss scaler; only needed if it does not call the optimizer's `step` itself.
        sinks: called at every measured step with a dict of numbers and histograms, and the number of the step.
        settings: the thresholds.
        live: whether to serve a page that shows the network while it trains, on this machine alone, until the end of
            the block; its address goes to standard error. A number is the port; with True it is 8421, or a free one.

    Raises:
        BadInput: `every` is below 1, `live` is not a port, or the model is already watched or cannot be traced.
        MissingExtra: `live` requires the extra `web`.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with watch(model, every=1) as watched:
        ...     loss = model(torch.randn(16, 4)).square().mean()
        ...     loss.backward()
        ...     optimizer.step()
        >>> watched.quantities().measured
        1
    """
    watched = plain_watch(
        model, loss, every, evaluation=evaluation, scaler=scaler, sinks=sinks, settings=settings
    )  # fmt: skip
    if live is False:
        return watched
    if not isinstance(live, int) or not (live is True or 0 <= live <= _LIMIT):
        raise BadInput(f"live must be True, False or a port up to {_LIMIT}; got {live!r}.")
    need("starlette", extra="web")
    need("uvicorn", extra="web")
    page = import_module("actlab.web.live_page").LivePage(
        watched, name=type(model).__name__, every=every, port=None if live is True else live
    )
    return watched.look_closely(page.receive, during=page)
