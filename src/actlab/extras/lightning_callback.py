"""`watch` inside a Lightning training run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, final

from actlab.diagnosis.report import Report
from actlab.diagnosis.tracking import finding_counts, finish
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
    """A Lightning callback that watches the module while it trains; `report()` returns the findings.

    The measurements also go to the trainer's loggers, and at the end of training the numbers of findings. A summary of
    the findings goes to Python's logger `actlab`.

    Args:
        part: the dotted path of the only submodule to watch. Without it the module is watched, or those of its parts
            that `training_step` calls in its place, as in `self.net(x)`.
        sinks: called at every measured step with a dict of numbers and histograms, and the step.
        raise_if_found: whether findings raise at the end of training, or their ids or prefixes, such as `["AL1"]`.
        options: as for `actlab.watch`: every, settings, ...

    Example:
        ``Trainer(callbacks=[watch := ActivationWatch()]).fit(module, loader); watch.report().lines()``
    """

    def __init__(
        self,
        part: str = "",
        *,
        sinks: Sequence[Sink] = (),
        raise_if_found: bool | Sequence[str] = False,
        **options: Any,
    ) -> None:
        self.part, self.sinks, self.raise_if_found, self.options = part, tuple(sinks), raise_if_found, options
        self._every_sink = self.sinks
        self._watched: Watch | None = None
        self._open = ExitStack()
        self._steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start watching."""
        self._steps = trainer.global_step
        self._every_sink = (*self.sinks, *map(_LoggerSink, trainer.loggers))
        watched = watch(pl_module.get_submodule(self.part), sinks=self._every_sink, **self.options)
        self._watched = self._open.enter_context(watched)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End a step once the optimizer has stepped: gradients may be accumulated over several batches."""
        if self._watched is not None and trainer.global_step > self._steps:
            self._steps = trainer.global_step
            self._watched.step(outputs["loss"] if isinstance(outputs, Mapping) else outputs)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop watching, remove all hooks, and log the findings.

        Raises:
            FindingsFound: `raise_if_found` selects a finding.
        """
        self._open.close()
        if self._watched is not None:
            finish(self._watched.report(), sinks=self._every_sink, raise_if_found=self.raise_if_found)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop watching and remove all hooks."""
        self._open.close()

    def report(self) -> Report:
        """Return the findings.

        Raises:
            BadInput: training has not started.
        """
        if self._watched is None:
            raise BadInput("no training has been watched yet; pass this callback to a Trainer and call fit.")
        return self._watched.report()


@final
class _LoggerSink:
    """A sink for a logger; it leaves out histograms, which not every logger supports."""

    def __init__(self, logger: Logger) -> None:
        self._logger, self._step = logger, 0

    def __call__(self, values: Mapping[str, Any], step: int) -> None:
        self._step = step
        self._logger.log_metrics({name: one for name, one in values.items() if not isinstance(one, Mapping)}, step)

    def log_report(self, report: Report) -> None:
        self._logger.log_metrics(dict(finding_counts(report)), self._step)
