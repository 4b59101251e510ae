"""The plan: fair points, disjoint seeds, and what it can decide, said before the run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from actlab.errors import BadStudy
from actlab.study.plan import CONFIRM, TUNE, Look, Plan, Trial, rate_points, seed_stream


def plan_of(arms: int = 9, *, seeds: int = 9) -> Plan:
    return Plan(
        task="t",
        fingerprint="f",
        arms=tuple(f"arm{number}" for number in range(arms)),
        points=rate_points((1e-4, 1e-1), budget=4, seed=0),
        tuning_seeds=seed_stream(0, role=TUNE, count=1),
        seeds=seed_stream(0, role=CONFIRM, count=seeds),
        looks=(Look(seeds, 0.05),),
        margin=0.5,
        margin_is_relative=False,
        init="as-is",
        seed=0,
    )


def test_rates_fill_the_range_evenly_in_the_logarithm() -> None:
    rates = rate_points((1e-4, 1e-1), budget=8, seed=3)
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    places = (np.log10(rates) + 4) / 3 * 8
    assert sorted(np.floor(places).astype(int)) == list(range(8))  # one in every eighth


def test_a_larger_budget_begins_with_the_smaller_ones_points() -> None:
    assert rate_points((1e-4, 1e-1), budget=11, seed=1)[:5] == rate_points((1e-4, 1e-1), budget=5, seed=1)
    assert rate_points((1e-4, 1e-1), budget=5, seed=2) != rate_points((1e-4, 1e-1), budget=5, seed=1)


def test_seeds_for_tuning_and_for_the_verdict_are_disjoint() -> None:
    tuning, fresh = seed_stream(7, role=TUNE, count=50), seed_stream(7, role=CONFIRM, count=50)
    assert len(set(tuning) | set(fresh)) == 100
    assert fresh[:9] == seed_stream(7, role=CONFIRM, count=9)
    assert seed_stream(8, role=CONFIRM, count=50) != fresh


def test_every_arm_has_the_same_points_and_the_same_seeds() -> None:
    plan = plan_of(3)
    tuning, fresh = list(plan.tuning()), list(plan.confirming(dict.fromkeys(plan.arms, 1), look=0))
    assert len(tuning) + len(fresh) == plan.trials == 3 * 4 + 3 * 9
    for trials in (tuning, fresh):
        kinds = {arm: {(one.point, one.seed) for one in trials if one.arm == arm} for arm in plan.arms}
        assert kinds["arm0"] == kinds["arm1"] == kinds["arm2"]
    assert fresh[0] == Trial("arm0", 1, plan.seeds[0], CONFIRM)


def test_a_look_takes_the_seeds_up_to_it() -> None:
    plan = replace(plan_of(3), looks=(Look(7, 0.02), Look(9, 0.03)))
    winners = dict.fromkeys(plan.arms, 0)
    assert [len(list(plan.confirming(winners, look=look))) for look in (0, 1)] == [21, 27]
    assert plan.alpha == 0.05


def test_a_plan_warns_that_it_can_never_decide() -> None:
    assert (plan_of(9, seeds=9).can_decide(), plan_of(9, seeds=9).warnings()) == (True, ())
    hopeless = plan_of(9, seeds=8)
    assert not hopeless.can_decide()
    assert hopeless.warnings() == (
        "With 8 seeds no difference between 9 arms can be shown, however clear; at least 9 are needed.",
    )
    assert hopeless.warnings()[0] in hopeless.sentences()


def test_a_plan_says_what_it_will_do() -> None:
    text = " ".join(plan_of().sentences())
    for part in (
        "9 arms, arm0 is the control",
        "4 learning rates each",
        "117 trials",
        "p-value is 0.0039",
        "significant at 0.0063 or less",
    ):
        assert part in text, text


def test_a_plan_of_one_rate_one_seed_and_one_candidate_is_said_in_the_singular() -> None:
    plan = replace(plan_of(2, seeds=1), points=(0.015,))
    warning, *said = plan.sentences()
    assert warning == "With 1 seed no difference between 2 arms can be shown, however clear; at least 6 are needed."
    assert said[0] == "2 arms, arm0 is the control; one learning rate (0.015) each; then 1 fresh seed: 4 trials."
    assert said[1] == (
        "The test set is read once, after the only seed; the significance level is 0.05. With 1 pair the smallest"
        " possible p-value is 1, so no difference can be shown."
    )


def test_a_plan_of_several_looks_names_the_level_of_each() -> None:
    plan = replace(plan_of(3), looks=(Look(7, 0.02), Look(9, 0.03)))
    assert plan.sentences()[1] == (
        "The test set is read 2 times: after 7 seeds (level 0.02), after 9 seeds (level 0.03), with Holm's correction"
        " for 2 comparisons. At the last look (9 pairs) the smallest possible p-value is 0.0039; the clearest"
        " difference is significant at 0.015 or less."
    )


@pytest.mark.parametrize("change", [{"seed": 1}, {"init": "gain"}, {"margin": 1.0}, {"fingerprint": "g"}], ids=str)
def test_digest_tells_plans_apart(change: dict[str, object]) -> None:
    assert plan_of().digest() == plan_of().digest()
    assert replace(plan_of(), **change).digest() != plan_of().digest()


FAULTS = {
    "one arm": ({"arms": ("a",)}, "two arms or more; got 1"),
    "same name": ({"arms": ("a", "a")}, "the arms must have different names; got a, a"),
    "no point": ({"points": ()}, "budget must be at least 1"),
    "init": ({"init": "he"}, "init must be as-is or gain; got 'he'"),
    "looks": ({"looks": (Look(5, 0.05),)}, "end with all 9; got [5]"),
    "order": ({"looks": (Look(9, 0.02), Look(9, 0.03))}, "looks must have increasing numbers of seeds"),
    "alpha": ({"looks": (Look(9, 0.0),)}, "must be above 0"),
    "seeds": (
        {"tuning_seeds": seed_stream(0, role=CONFIRM, count=1)},
        "the seeds for tuning and for the verdict must differ",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_plan_that_cannot_be_carried_out_is_refused(fault: str) -> None:
    change, message = FAULTS[fault]
    with pytest.raises(BadStudy) as raised:
        replace(plan_of(), **change)
    assert message in str(raised.value)
