"""What happens to the findings at the end of a watched training run."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from torch import nn

from actlab.diagnosis.report import Report
from actlab.diagnosis.watch import Sink, Watch, watch
from actlab.errors import shortened
from actlab.rules.finding import SEVERITIES

_LOG = logging.getLogger("actlab")


class Tracker(Protocol):
    """A sink that also takes the findings at the end of training."""

    def __call__(self, values: Mapping[str, Any], step: int) -> None:
        """Log the measurements of one step."""

    def log_report(self, report: Report) -> None:
        """Log the findings."""


def finding_counts(report: Report) -> dict[str, int]:
    """Return the number of findings by severity, by metric names.

    Example:
        >>> finding_counts(Report(()))
        {'actlab/findings/error': 0, 'actlab/findings/warning': 0, 'actlab/findings/information': 0}
    """
    counts = Counter(finding.severity for finding in report.findings)
    return {f"actlab/findings/{severity}": counts[severity] for severity in SEVERITIES}


def finish(report: Report, *, sinks: Sequence[Sink] = (), raise_if_found: bool | Sequence[str] = False) -> None:
    """Log a summary of the findings, hand them to the sinks that take them, and raise if asked to.

    Args:
        report: the findings.
        sinks: those of the watch; one that fails is named in a warning.
        raise_if_found: whether to raise for an error or a warning, or the ids or prefixes to raise for.

    Raises:
        FindingsFound: `raise_if_found` selects a finding.
        BadInput: no finding has such an id.
    """
    for sink in sinks:
        log_report = getattr(sink, "log_report", None)
        if log_report is None:
            continue
        try:
            log_report(report)
        except Exception as error:  # a tracker that is offline must not cost the training run
            text = shortened(str(error), limit=120) or "no message"
            name = type(sink).__name__
            warnings.warn(f"{name} did not log the findings: {type(error).__name__}: {text}", UserWarning, stacklevel=2)
    _LOG.log(logging.WARNING if report.alarms else logging.INFO, "actlab: %s", "\n".join(report.lines()))
    if raise_if_found:
        report.raise_if_found(*(() if raise_if_found is True else raise_if_found))


@contextmanager
def tracked(
    model: nn.Module,
    loss: Any,
    tracker: Tracker,
    *,
    sinks: Sequence[Sink] = (),
    raise_if_found: bool | Sequence[str] = False,
    **options: Any,
) -> Iterator[Watch]:
    """Watch a model, log what is measured, and at the end the findings, also if the training loop raises."""
    every: tuple[Sink, ...] = (tracker, *sinks)
    watched = watch(model, loss, sinks=every, **options)
    try:
        with watched:
            yield watched
    except BaseException:
        finish(watched.report(), sinks=every)
        raise
    finish(watched.report(), sinks=every, raise_if_found=raise_if_found)
