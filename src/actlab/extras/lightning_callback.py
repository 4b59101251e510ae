"""`watch` inside a Lightning training run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, final

from actlab.diagnosis.report import Report
from actlab.diagnosis.watch import Watch, watch
from actlab.errors import BadInput
from actlab.extras_import import need

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from lightning.pytorch.loggers import Logger
else:
    Callback = need("lightning.pytorch", extra="lightning").Callback

Sink = Callable[[Mapping[str, Any], int], None]


@final
class ActivationWatch(Callback):
    """A Lightning callback: watches the module while it trains; afterwards `report()` says what was found.

    The numbers that it measures go to the trainer's loggers, as those of Lightning's own monitors do.

    Args:
        part: the dotted path of the part that is watched, where `training_step` does not call the module itself.
        sinks: told what was measured: each called with a dict of numbers and histograms, and the step.
        options: as for `actlab.watch`: every, settings, ...

    Example:
        ``Trainer(callbacks=[watch := ActivationWatch()]).fit(module, loader); watch.report().lines()``
    """

    def __init__(self, part: str = "", *, sinks: Sequence[Sink] = (), **options: Any) -> None:
        self.part, self.sinks, self.options = part, tuple(sinks), options
        self._watched: Watch | None = None
        self._open = ExitStack()
        self._steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to watch."""
        self._steps = trainer.global_step
        sinks = (*self.sinks, *map(_sink_of, trainer.loggers))
        watched = watch(pl_module.get_submodule(self.part), sinks=sinks, **self.options)
        self._watched = self._open.enter_context(watched)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a step, once the optimizer took one: gradients may be gathered over several batches."""
        if self._watched is not None and trainer.global_step > self._steps:
            self._steps = trainer.global_step
            self._watched.step(outputs["loss"] if isinstance(outputs, Mapping) else outputs)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take everything off."""
        self._open.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take everything off."""
        self._open.close()

    def report(self) -> Report:
        """What was found.

        Raises:
            BadInput: nothing was trained yet.
        """
        if self._watched is None:
            raise BadInput("nothing was watched yet: hand this callback to a Trainer and call fit.")
        return self._watched.report()


def _sink_of(logger: Logger) -> Sink:
    """A sink that hands the numbers on to a logger; histograms, which not every logger can take, are left out."""

    def log(values: Mapping[str, Any], step: int) -> None:
        logger.log_metrics({name: value for name, value in values.items() if not isinstance(value, Mapping)}, step)

    return log
