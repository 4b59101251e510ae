"""`watch` inside a Transformers `Trainer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, final

from actlab.diagnosis.report import Report
from actlab.diagnosis.tracking import finish
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

    At the end of training a summary of the findings goes to Python's logger `actlab`. A `Trainer` does not notify its
    callbacks of an exception. As a context manager around `train()`, this one removes its hooks then too.

    Args:
        sinks: called at every measured step with a dict of numbers and histograms, and the step.
        raise_if_found: whether findings raise at the end of training, or their ids or prefixes, such as `["AL1"]`.
        options: as for `actlab.watch`: every, settings, ...

    Example:
        ``with ActivationWatch() as watch: Trainer(model, args, callbacks=[watch], ...).train()``
    """

    def __init__(
        self,
        *,
        sinks: Sequence[Callable[[Mapping[str, Any], int], None]] = (),
        raise_if_found: bool | Sequence[str] = False,
        **options: Any,
    ) -> None:
        self.sinks, self.raise_if_found, self.options = tuple(sinks), raise_if_found, options
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
        """Stop watching, remove all hooks, and log the findings.

        Raises:
            FindingsFound: `raise_if_found` selects a finding.
        """
        self._open.close()
        if self._watched is not None:
            finish(self._watched.report(), sinks=self.sinks, raise_if_found=self.raise_if_found)

    def report(self) -> Report:
        """Return the findings.

        Raises:
            BadInput: training has not started.
        """
        if self._watched is None:
            raise BadInput("no training has been watched yet; pass this callback to a Trainer and call train.")
        return self._watched.report()
