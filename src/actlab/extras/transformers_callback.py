"""`watch` inside a Transformers `Trainer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, final

from actlab.diagnosis.report import Report
from actlab.diagnosis.watch import Watch, watch
from actlab.errors import BadInput
from actlab.extras_import import need

if TYPE_CHECKING:
    from transformers import TrainerCallback
else:
    TrainerCallback = need("transformers", extra="transformers").TrainerCallback


@final
class ActivationWatch(TrainerCallback):
    """A Transformers callback that watches the model while it trains; `report()` returns the findings.

    A `Trainer` does not notify its callbacks of an exception. As a context manager around `train()`, this one removes
    its hooks then too.

    Args:
        sinks: called at every measured step with a dict of numbers and histograms, and the step.
        options: as for `actlab.watch`: every, settings, ...

    Example:
        ``with ActivationWatch() as watch: Trainer(model, args, callbacks=[watch], ...).train()``
    """

    def __init__(self, *, sinks: Sequence[Callable[[Mapping[str, Any], int], None]] = (), **options: Any) -> None:
        self.sinks, self.options = tuple(sinks), options
        self._watched: Watch | None = None
        self._open = ExitStack()

    def __enter__(self) -> ActivationWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Start watching; remove the hooks that a failed run left behind first."""
        self._open.close()
        self._watched = self._open.enter_context(watch(given["model"], sinks=self.sinks, **self.options))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End a step."""
        if self._watched is not None:
            self._watched.step()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop watching and remove all hooks."""
        self._open.close()

    def report(self) -> Report:
        """Return the findings.

        Raises:
            BadInput: training has not started.
        """
        if self._watched is None:
            raise BadInput("no training has been watched yet; pass this callback to a Trainer and call train.")
        return self._watched.report()
