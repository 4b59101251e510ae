"""Trials on a real Ray cluster of this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor
from torch.nn import functional

pytest.importorskip("ray", reason="the extra 'ray' is not installed")

import ray

from actlab.errors import BadInput, BadStudy, BadTask
from actlab.extras import ray_runner
from actlab.extras.ray_runner import RayRunner
from actlab.study.compare import compare
from actlab.study.store import Store
from actlab.train.task import Task
from small_study import SETTINGS, compared, dots, numbers


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def disturbed(disturb: Callable[[int], None]) -> Task:
    """The small task, with a disturbance at every step that is not taken by this process."""
    here, steps = os.getpid(), []

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        steps.append(None)
        if os.getpid() != here:
            disturb(len(steps))
        return functional.cross_entropy(outputs, targets)

    return replace(dots(), loss=loss)


@pytest.mark.usefixtures("cluster")
def test_a_cluster_gives_the_numbers_of_this_machine_though_a_process_dies_in_mid_trial(tmp_path: Path) -> None:
    killed = tmp_path / "killed"

    def die_once(step: int) -> None:
        if step >= 15 and not killed.exists():
            killed.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)

    task = disturbed(die_once)
    found = compare(task, **SETTINGS, runner=RayRunner(), store=tmp_path / "runs.db")
    assert killed.exists()
    here = compare(task, **SETTINGS)
    # The plan's digest of the loss changes with its count of steps.
    assert {**numbers(found), "plan": None} == {**numbers(here), "plan": None}
    with Store(tmp_path / "runs.db") as store:
        assert store.studies()[0].done == sum(arm.runs for arm in found.arms)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_loss_that_raises_on_the_cluster_is_the_error_that_it_is_here() -> None:
    def fail(step: int) -> None:
        raise RuntimeError("no such loss")

    with pytest.raises(BadTask, match="task 'dots': the model raised RuntimeError: no such loss") as raised:
        compare(disturbed(fail), **SETTINGS, runner=RayRunner())
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_process_that_dies_each_time_ends_the_study_and_the_rest_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_runner, "RETRIES", 1)

    def die(step: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(BadStudy, match=r"the process that trained .* died 2 times") as raised:
        compare(disturbed(die), **SETTINGS, runner=RayRunner(), store=tmp_path / "runs.db")
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_a_cluster_that_cannot_be_reached_is_one_line() -> None:
    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(BadStudy, match=r"the Ray cluster 'ray://127\.0\.0\.1:1' cannot be reached") as raised:
        compared(runner=RayRunner("ray://127.0.0.1:1"))
    assert "\n" not in str(raised.value)


def test_an_address_that_is_none_is_one_line() -> None:
    with pytest.raises(BadInput, match=r"address must begin with ray://, such as .*; got 'ray:/head'") as raised:
        RayRunner("ray:/head")
    assert "\n" not in str(raised.value)
