"""`watch` logged to Weights & Biases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, final

import numpy as np
from torch import nn

from actlab.diagnosis.report import Report
from actlab.diagnosis.tracking import finding_counts, tracked
from actlab.diagnosis.watch import Sink, Watch
from actlab.errors import BadInput
from actlab.extras_import import need
from actlab.report.diagnosis_page import write_diagnosis

if TYPE_CHECKING:
    import wandb
else:
    wandb = need("wandb", extra="wandb")

ORDINAL = "actlab/step"
"""The metric that the others are drawn over, so that they do not disturb the steps of the run's own logging."""


@final
class WandbSink:
    """A sink for `actlab.watch` that logs numbers and histograms to a W&B run, and at the end the findings.

    Args:
        run: the run; by default the current one.

    Raises:
        BadInput: no run was started.
        MissingExtra: wandb is not installed.
    """

    def __init__(self, run: Any = None) -> None:
        self._run: Any = wandb.run if run is None else run
        if self._run is None:
            raise BadInput("run: W&B needs a run; got none. Call wandb.init() first; mode='offline' needs no account.")
        self._run.define_metric(ORDINAL)
        self._run.define_metric("actlab/*", step_metric=ORDINAL)

    def __call__(self, values: Mapping[str, Any], step: int) -> None:
        """Log the measurements of one step."""
        self._run.log({ORDINAL: step, **{name: _value(value) for name, value in values.items()}})

    def log_report(self, report: Report) -> None:
        """Log the findings as a table, their numbers in the summary, and the report as an artifact."""
        table = report.table()
        rows: Any = [list(row) for row in table.rows]
        self._run.log({"actlab/findings/table": wandb.Table(columns=list(table.columns), data=rows)})
        self._run.summary.update(finding_counts(report))
        artifact = wandb.Artifact(f"actlab-report-{self._run.id}", type="report")
        with TemporaryDirectory() as folder:
            artifact.add_file(str(write_diagnosis(report, Path(folder, "report.html"), title="Watched training")))
            with artifact.new_file("findings.json", encoding="utf-8") as file:
                json.dump(report.to_json(), file, indent=2, allow_nan=False)
            self._run.log_artifact(artifact)


def activation_watch(
    model: nn.Module,
    loss: Any = None,
    *,
    run: Any = None,
    sinks: Sequence[Sink] = (),
    raise_if_found: bool | Sequence[str] = False,
    **options: Any,
) -> AbstractContextManager[Watch]:
    """Watch a training loop and log it to W&B: `with activation_watch(model) as watched:` around the loop.

    Args:
        model, loss: as for `actlab.watch`.
        run: the run; by default the current one.
        sinks: further sinks.
        raise_if_found: whether findings raise at the end, or their ids or prefixes.
        options: as for `actlab.watch`: every, settings, ...

    Raises:
        BadInput: no run was started, or as `actlab.watch`.
        FindingsFound: `raise_if_found` selects a finding.
    """
    return tracked(model, loss, WandbSink(run), sinks=sinks, raise_if_found=raise_if_found, **options)


def _value(value: Any) -> Any:
    """Return a number as it is, and a histogram with its own bins; W&B requires finite ends."""
    if not isinstance(value, Mapping):
        return value
    borders, counts = np.asarray(value["borders"]), np.asarray(value["counts"])
    ends = (2 * borders[0] - borders[1], *borders, 2 * borders[-1] - borders[-2])
    return wandb.Histogram(np_histogram=(counts, np.asarray(ends)))
