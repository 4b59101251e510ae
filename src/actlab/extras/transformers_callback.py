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
    """A Transformers callback: watches the model while it trains; afterwards `report()` says what was found.

    A `Trainer` does not tell its callbacks of an exception; used as a context manager around `train()`, this one takes
    everything off then too.

    Args:
        sinks: told what was measured: each called with a dict of numbers and histograms, and the step.
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
        """Begin to watch; whatever a run that raised left behind is taken off first."""
        self._open.close()
        self._watched = self._open.enter_context(watch(given["model"], sinks=self.sinks, **self.options))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count a step of the optimizer."""
        if self._watched is not None:
            self._watched.step()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take everything off."""
        self._open.close()

    def report(self) -> Report:
        """What was found.

        Raises:
            BadInput: nothing was trained yet.
        """
        if self._watched is None:
            raise BadInput("nothing was watched yet: hand this callback to a Trainer and call train.")
        return self._watched.report()
