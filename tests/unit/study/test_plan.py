"""The plan: fair points, seeds that can be added, and what it can decide, said before the run."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from actlab.errors import BadStudy
from actlab.study.plan import Look, Plan, Trial, next_alpha, rate_points, seed_stream


def plan_of(arms: int = 9, *, seeds: int = 9) -> Plan:
    return Plan(
        task="t",
        fingerprint="f",
        arms=tuple(f"arm{number}" for number in range(arms)),
        points=rate_points((1e-4, 1e-1), budget=4),
        seeds=seed_stream(0, count=seeds),
        looks=(Look(seeds, 0.05),),
        margin=0.5,
        margin_is_relative=False,
        splits="fixed",
        init="as-is",
        seed=0,
    )


def test_rates_fill_the_range_evenly_in_the_logarithm() -> None:
    rates = rate_points((1e-4, 1e-1), budget=7)
    assert (rates[0], rates[-1], len(rates)) == (1e-4, 1e-1, 7)
    assert [after / before for before, after in pairwise(rates)] == pytest.approx([10**0.5] * 6, rel=1e-3)
    assert rate_points((1e-3, 1e-3), budget=8) == (1e-3,)


def test_the_grid_goes_on_beyond_its_ends_with_the_same_spacing() -> None:
    plan = plan_of()
    assert [plan.rate(point) for point in range(4)] == [1e-4, 1e-3, 1e-2, 1e-1]
    assert (plan.rate(-2), plan.rate(5)) == pytest.approx((1e-6, 10.0))


def test_a_longer_stream_of_seeds_begins_with_the_shorter_one() -> None:
    seeds = seed_stream(7, count=50)
    assert (len(set(seeds)), seeds[:9]) == (50, seed_stream(7, count=9))
    assert seed_stream(8, count=50) != seeds


def test_every_arm_has_every_point_with_every_seed_up_to_a_look() -> None:
    plan = replace(plan_of(3), looks=(Look(7, 0.02), Look(9, 0.03)))
    first, last = (list(plan.cells(range(4), look=look)) for look in (0, 1))
    assert (len(first), len(last), plan.trials) == (3 * 4 * 7, 3 * 4 * 9, 3 * 4 * 9)
    assert set(first) < set(last)
    assert first[0] == Trial("arm0", 0, plan.seeds[0])
    assert plan.alpha == 0.05


def test_added_seeds_keep_the_earlier_ones_and_spend_what_the_plan_left() -> None:
    plan = replace(plan_of(), looks=(Look(9, next_alpha(())),))
    longer = plan.with_seeds(27).with_seeds(50)
    assert longer.seeds[:9] == plan.seeds
    assert longer.looks == (Look(9, 0.04), Look(27, 0.005, added=True), Look(50, 0.0025, added=True))
    assert plan.with_seeds(9) == plan
    with pytest.raises(BadStudy, match="has 50 seeds already; got 27"):
        longer.with_seeds(27)
    with pytest.raises(BadStudy, match="has spent its error"):
        plan_of().with_seeds(27)
    for looks in range(12):
        longer = longer.with_seeds(60 + looks)
        assert longer.alpha < 0.05


def test_a_plan_is_read_back_from_json() -> None:
    plan = replace(plan_of(), looks=(Look(5, 0.02), Look(9, 0.03)), contents={"the data": "1"})
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    with pytest.raises(BadStudy, match="another version"):
        Plan.from_json({**plan.to_json(), "tuning_seeds": [1]})


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
        "4 learning rates from 0.0001 to 0.1, extended for all arms if one chooses an end; 9 seeds: 324 trials",
        "every arm chooses its own learning rate",
        "All seeds share one split",
        "p-value is 0.0039",
        "significant at 0.0063 or less",
    ):
        assert part in text, text
    assert "Each seed splits the rows anew" in " ".join(replace(plan_of(), splits="per-seed").sentences())


def test_a_plan_of_one_rate_one_seed_and_one_candidate_is_said_in_the_singular() -> None:
    plan = replace(plan_of(2, seeds=1), points=(0.015,))
    warning, *said = plan.sentences()
    assert warning == "With 1 seed no difference between 2 arms can be shown, however clear; at least 6 are needed."
    assert said[0].startswith("2 arms, arm0 is the control; one learning rate (0.015); 1 seed: 2 trials. All seeds")
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
    "splits": ({"splits": "none"}, "splits must be per-seed or fixed; got 'none'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_plan_that_cannot_be_carried_out_is_refused(fault: str) -> None:
    change, message = FAULTS[fault]
    with pytest.raises(BadStudy) as raised:
        replace(plan_of(), **change)
    assert message in str(raised.value)
