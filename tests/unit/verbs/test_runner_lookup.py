"""The names of runners."""

from __future__ import annotations

import pytest

from actlab.errors import BadInput
from actlab.study.runner import LocalRunner
from actlab.verbs.runner_lookup import runner_named


def test_this_machine_is_the_default_and_a_runner_stays_as_it_is() -> None:
    runner = LocalRunner(2)
    assert runner_named(runner) is runner
    assert runner_named(None) is None
    assert runner_named("local") is None


def test_a_ray_cluster_is_named_by_its_address() -> None:
    ray_runner = pytest.importorskip("actlab.extras.ray_runner", reason="Ray is not installed", exc_type=ImportError)
    assert runner_named("ray") == ray_runner.RayRunner()
    assert runner_named("ray://head:10001") == ray_runner.RayRunner("ray://head:10001")


def test_another_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(BadInput, match=r"runner must be local, ray, or the address of a cluster.*; got 'slurm'"):
        runner_named("slurm")
