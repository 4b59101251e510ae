"""`watch` logged to MLflow."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from torch import nn

from actlab.diagnosis.report import Report
from actlab.diagnosis.tracking import finding_counts, tracked
from actlab.diagnosis.watch import Sink, Watch
from actlab.errors import BadInput
from actlab.extras_import import need
from actlab.report.diagnosis_page import diagnosis_page

if TYPE_CHECKING:
    import mlflow
else:
    mlflow = need("mlflow", extra="mlflow")


@final
class MlflowSink:
    """A sink for `actlab.watch` that logs numbers to an MLflow run, and at the end the findings as artifacts.

    MLflow has no histograms, so they are left out, and so is what is NaN.

    Args:
        run_id: the run; by default the active one.
        client: an `MlflowClient` of another server or database; by default that of the current tracking URI.

    Raises:
        BadInput: no run is active.
        MissingExtra: MLflow is not installed.
    """

    def __init__(self, run_id: str | None = None, *, client: Any = None) -> None:
        active: Any = mlflow.active_run() if run_id is None else None
        if run_id is None and active is None:
            raise BadInput("run_id: MLflow needs a run; got none. Call mlflow.start_run() first, or pass run_id.")
        self._run_id: str = run_id or active.info.run_id
        self._client = mlflow.MlflowClient() if client is None else client
        self._last = 0

    def __call__(self, values: Mapping[str, Any], step: int) -> None:
        """Log the measurements of one step in one call."""
        self._last = step
        self._log({name: value for name, value in values.items() if not isinstance(value, Mapping)}, step)

    def log_report(self, report: Report) -> None:
        """Log the numbers of findings as metrics, the findings as JSON, and the report as HTML."""
        self._log(finding_counts(report), self._last)
        found = json.dumps(report.to_json(), indent=2, allow_nan=False)
        self._client.log_text(self._run_id, found, "actlab/findings.json")
        page = diagnosis_page(report, title="Watched training", root=Path.cwd())
        self._client.log_text(self._run_id, page, "actlab/report.html")

    def _log(self, numbers: Mapping[str, float], step: int) -> None:
        now = time.time_ns() // 1_000_000
        metrics = [
            mlflow.entities.Metric(name, float(value), now, step)
            for name, value in numbers.items()
            if not math.isnan(value)
        ]
        for first in range(0, len(metrics), _MOST):
            self._client.log_batch(self._run_id, metrics[first : first + _MOST])


_MOST = 1000
"""Metrics that MLflow takes in one call."""


def activation_watch(
    model: nn.Module,
    loss: Any = None,
    *,
    run_id: str | None = None,
    sinks: Sequence[Sink] = (),
    raise_if_found: bool | Sequence[str] = False,
    **options: Any,
) -> AbstractContextManager[Watch]:
    """Watch a training loop and log it to MLflow: `with activation_watch(model) as watched:` around the loop.

    Args:
        model, loss: as for `actlab.watch`.
        run_id: the run; by default the active one.
        sinks: further sinks.
        raise_if_found: whether findings raise at the end, or their ids or prefixes.
        options: as for `actlab.watch`: every, settings, ...

    Raises:
        BadInput: no run is active, or as `actlab.watch`.
        FindingsFound: `raise_if_found` selects a finding.
    """
    return tracked(model, loss, MlflowSink(run_id), sinks=sinks, raise_if_found=raise_if_found, **options)
