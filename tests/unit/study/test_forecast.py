"""A forecast runs a pilot that is not part of the study, and says what the plan can decide."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from actlab.report.forecast import forecast_lines
from actlab.study.advise import study_of
from actlab.study.compare import Study
from actlab.study.detectable import detectable
from actlab.study.forecast import Forecast, forecast
from actlab.study.options import AdviseOptions
from actlab.study.outcome import Outcome
from actlab.study.plan import Trial
from actlab.study.runner import Claim, Crew, Setting
from actlab.train.loop import Epoch
from unit.study.small_task import ring


class Scripted:
    """A runner whose validation metrics are chosen, and whose test metrics must not be read."""

    def __init__(self, spread: float = 2.0) -> None:
        self.spread = spread
        self.trials: list[Trial] = []

    def notes(self, setting: Setting) -> tuple[str, ...]:
        return ()

    @contextmanager
    def crew(self, setting: Setting) -> Iterator[Crew]:
        def run(trials: Sequence[Trial], claim: Claim) -> Iterator[Outcome]:
            for trial in trials:
                self.trials.append(trial)
                place = len({each.seed for each in self.trials})
                valid = 80.0 + (self.spread * (-1) ** place if trial.arm != setting.plan.control else 0.0)
                yield Outcome(trial, 0.01, valid, math.nan, False, False, 1, 10, (Epoch(1.0, valid),) * 8, 0.5)

        yield run


def study(*, seeds: int = 9, candidates: Sequence[str] = ("tanh",)) -> Study:
    return study_of(ring(), AdviseOptions(activations=candidates, seeds=seeds, budget=3))


def found(runner: Scripted, **changes: object) -> Forecast:
    return forecast(study(**changes), runner=runner)


def test_no_trial_of_the_study_is_run() -> None:
    runner, planned = Scripted(), study(candidates=("tanh", "silu", "gelu"))
    forecast(planned, runner=runner)
    assert {trial.seed for trial in runner.trials} & set(planned.plan.seeds) == set()
    assert {trial.arm for trial in runner.trials} == {"relu", "tanh", "silu"}
    assert {trial.point for trial in runner.trials} == {1}
    assert len(runner.trials) == 4 * 3


def test_the_numbers_follow_from_the_pilot() -> None:
    forecast = found(Scripted(spread=2.0))
    deviation = 2.0 * math.sqrt(4 / 3)  # +2, −2, +2, −2 about their mean
    assert forecast.pilot.deviation == pytest.approx(deviation)
    assert forecast.pilot.low < deviation < forecast.pilot.high
    assert forecast.trial_seconds > 0
    assert forecast.expected_seconds == pytest.approx(forecast.trial_seconds * 54 / forecast.parallel)
    assert forecast.smallest_p == 2 / 2**9
    shift = detectable(9, level=0.04)
    assert shift is not None
    assert forecast.detectable == pytest.approx(shift * deviation)


def test_a_plan_that_cannot_decide_says_what_would() -> None:
    forecast = found(Scripted(), seeds=5, candidates=("tanh", "silu"))
    assert forecast.detectable is None
    assert forecast.verdict == (
        "This plan cannot decide: with 5 seeds no difference can be shown, however clear; at least 7 seeds are needed"
        " (--seeds 7)."
    )
    assert "no difference, however large" in "\n".join(forecast_lines(forecast, width=100))


def test_a_plan_that_decides_only_clear_differences_says_so() -> None:
    noisy = found(Scripted(spread=12.0))
    assert noisy.detectable is not None
    assert noisy.detectable > noisy.region
    assert noisy.verdict.startswith("This plan decides clear differences only")
    assert f"--seeds {noisy.seeds_to_detect}" in noisy.verdict
    assert found(Scripted(spread=0.5)).verdict.startswith("This plan can decide")


def test_no_noise_at_all_is_no_error() -> None:
    forecast = found(Scripted(spread=0.0))
    assert forecast.pilot.deviation == 0
    json.dumps(forecast.to_json(), allow_nan=False)


def test_the_lines_fit_the_width_and_hold_every_number() -> None:
    forecast = replace(found(Scripted()), expected_seconds=123.0)
    lines = forecast_lines(forecast, width=80)
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    for part in ("2: relu (the control), tanh", "3, from 0.003 to 0.03", "9 seeds", "54", "2 min 3 s", "0.0039"):
        assert part in text
    assert set(forecast.to_json()) >= {"plan", "error_rate", "detectable", "seeds_to_detect", "expected_seconds"}
