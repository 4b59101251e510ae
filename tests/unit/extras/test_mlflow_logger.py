"""What MLflow stores in SQLite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed")

import mlflow

from actlab.diagnosis.report import FindingsFound
from actlab.errors import BadInput
from actlab.extras.mlflow_logger import MlflowSink, activation_watch
from unit.extras.small_training import dead_model, trained

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, about SQLAlchemy and pydantic


def test_a_database_holds_measurements_findings_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    try:
        experiment = mlflow.create_experiment("test", artifact_location=(tmp_path / "artifacts").as_uri())
        model = dead_model()
        with (
            mlflow.start_run(experiment_id=experiment) as run,
            pytest.raises(FindingsFound, match="dead"),
            activation_watch(model, every=1, raise_if_found=True) as watched,
        ):
            trained(model, watched)
        client = mlflow.MlflowClient()
        history = client.get_metric_history(run.info.run_id, "actlab/dead_share/1.0")
        assert [(one.step, one.value) for one in history] == [(0, 1.0), (1, 1.0), (2, 1.0)]
        metrics = client.get_run(run.info.run_id).data.metrics
        assert metrics["actlab/findings/error"] + metrics["actlab/findings/warning"] >= 1
        assert not any("histogram" in name for name in metrics)
    finally:
        mlflow.set_tracking_uri(before)
    (found,) = tmp_path.rglob("findings.json")
    assert json.loads(found.read_text())["findings"]
    (page,) = tmp_path.rglob("report.html")
    assert "dead" in page.read_text()


def test_without_a_run_it_says_how_to_start_one():
    with pytest.raises(BadInput, match=r"Call mlflow.start_run\(\) first"):
        MlflowSink()


class Refuses:
    """A client whose server cannot be reached."""

    calls = 0

    def log_batch(self, *_: object) -> None:
        self.calls += 1
        raise mlflow.exceptions.MlflowException("the server cannot be reached")


def test_a_server_that_refuses_does_not_end_the_training():
    client, model = Refuses(), dead_model()
    from actlab.diagnosis.watch import watch

    with (
        pytest.warns(UserWarning, match="MlflowException: the server cannot be reached") as said,
        watch(model, every=1, sinks=(MlflowSink("1", client=client),)) as watched,
    ):
        trained(model, watched, steps=4)
    assert watched.report().quantities.steps == 4
    assert client.calls == len(said) == 1
