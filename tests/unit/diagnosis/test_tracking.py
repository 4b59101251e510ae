"""The findings at the end of a watched training run."""

from __future__ import annotations

import logging
import re

import pytest

from actlab.diagnosis.report import FindingsFound, Report
from actlab.diagnosis.tracking import finish, tracked
from actlab.telemetry.metric_names import metric_name
from unit.extras.small_training import dead_model, trained

# mlflow.utils.validation: "alphanumerics, underscores, dashes, periods, spaces, colon and slashes"
ACCEPTED = re.compile(r"[\w\-. :/]+", flags=re.ASCII)


class Notes:
    """A tracker that keeps what it gets."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails, self.values, self.reports = fails, [], []

    def __call__(self, values, step):
        self.values.append(values)

    def log_report(self, report):
        if self.fails:
            raise ConnectionError("offline")
        self.reports.append(report)


@pytest.mark.parametrize("path", ["", "encoder.layers.0.act", "a#b", "ä [0]", "x\n"])
def test_every_name_is_one_that_the_strictest_tracker_accepts(path):
    assert ACCEPTED.fullmatch(metric_name("dead_share", path, 3))


def test_different_paths_have_different_names():
    paths = ["a#b", "a_b", "a b", "a$b"]
    assert len({metric_name("mean", path, 0) for path in paths}) == len(paths)


def test_the_measurements_and_the_findings_reach_the_tracker(caplog):
    model, notes = dead_model(), Notes()
    with caplog.at_level(logging.INFO, logger="actlab"), tracked(model, None, notes, every=1) as watched:
        trained(model, watched)
    assert all(ACCEPTED.fullmatch(name) for values in notes.values for name in values)
    assert len({frozenset(values) for values in notes.values}) == 1  # the same sites at every step
    assert {"actlab/dead_share/1.0", "actlab/update/0.weight"} <= notes.values[-1].keys()
    (report,) = notes.reports
    assert report.alarms
    (record,) = caplog.records
    assert (record.levelname, report.alarms[0].id in record.message) == ("WARNING", True)


def test_a_loop_that_raises_still_hands_its_findings_over():
    model, notes = dead_model(), Notes()
    with pytest.raises(RuntimeError, match="on purpose"), tracked(model, None, notes, every=1) as watched:
        trained(model, watched, fails_at=2)
    assert notes.reports[0].quantities.measured == 2
    assert not model[1]._forward_hooks


def test_findings_raise_only_if_asked_to():
    model = dead_model()
    with tracked(model, None, Notes(), every=1) as watched:
        trained(model, watched)
    report = watched.report()
    finish(report, raise_if_found=["AL2"])
    with pytest.raises(FindingsFound):
        finish(report, raise_if_found=True)


def test_a_tracker_that_is_offline_is_named_once():
    with pytest.warns(UserWarning, match="Notes did not log the findings: ConnectionError: offline") as said:
        finish(Report(()), sinks=(Notes(fails=True),))
    assert len(said) == 1
