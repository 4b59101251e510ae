"""What is claimed of an arm, and in which words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from actlab.study.power import seeds_needed
from actlab.study.verdict import best_group, judge, learned
from actlab.study.words import Findings, arm_sentence, overall, recommended
from actlab.train.kinds import ACCURACY, ERROR, OWN_UNITS, Metric

STEPS = np.arange(9) / 10


def findings(metric: Metric = ACCURACY, *, baseline: float = 10.0, **arms: np.ndarray) -> Findings:
    tests = {arm: [float(value) for value in values] for arm, values in arms.items()}
    control = next(iter(tests))
    region = metric.region(float(np.mean(tests[control])))
    return Findings(
        control=control,
        metric=metric,
        baseline=baseline,
        region=region,
        means={arm: float(np.mean(values)) for arm, values in tests.items()},
        learned=learned(tests, metric=metric, baseline=baseline),
        seeds=len(tests[control]),
        judgements=judge(tests, metric=metric, region=region, alpha=0.05, seed=0),
        group=best_group(tests, metric=metric, alpha=0.05),
        operations={"up": 10, "relu": 1, "tanh": 20},
        least=seeds_needed(len(tests) - 1),
    )


def verdicts(found: Findings) -> dict[str, str]:
    return {arm: judgement.verdict for arm, judgement in found.judgements.items()}


def test_the_four_verdicts() -> None:
    found = findings(
        relu=90 + STEPS,
        up=92 + STEPS * 1.3,
        down=85 + STEPS * 0.7,
        same=90 + STEPS + np.tile([0.1, -0.1, 0.05], 3),
        unclear=90 + STEPS + np.tile([2.0, -1.0, 0.5], 3),
    )
    assert verdicts(found) == {"up": "better", "down": "worse", "same": "equivalent", "unclear": "undecided"}


def test_where_less_is_better_a_smaller_error_is_better() -> None:
    found = findings(ERROR, baseline=80.0, relu=60 + STEPS, up=50 + STEPS * 1.3, down=70 + STEPS * 0.7)
    assert verdicts(found) == {"up": "better", "down": "worse"}
    assert "Replace relu by up: root mean square error 50.52" in overall(found)


def test_a_difference_that_is_proved_but_too_small_to_matter_is_minor() -> None:
    found = findings(relu=90 + STEPS, tiny=90.1 + STEPS * 1.01)
    assert found.judgements["tiny"].difference.p < 0.005
    assert verdicts(found) == {"tiny": "minor"}
    assert found.judgements["tiny"].more_seeds is None
    assert "tiny is better, proved, but by less than matters (0.5 points); " in arm_sentence("tiny", found)
    assert overall(found) == (
        "No candidate is shown to be better: keep relu; proved, but perhaps too small to matter: tiny."
    )


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("metric", [ACCURACY, replace(ACCURACY, larger_is_better=False)], ids=["more", "less"])
def test_better_and_worse_only_beyond_the_region(sign: int, metric: Metric) -> None:
    arms = {"near": np.linspace(0.1, 1.4, 9), "far": np.linspace(0.6, 2.0, 9)}
    found = findings(metric, relu=90 + STEPS, **{arm: 90 + STEPS + sign * each for arm, each in arms.items()})
    side = "better" if (sign > 0) == metric.larger_is_better else "worse"
    assert verdicts(found) == {"near": "minor", "far": side}
    assert f"near is {side}, proved, but perhaps by less than matters" in arm_sentence("near", found)
    assert found.judgements["near"].more_seeds is not None
    assert found.judgements["far"].more_seeds is None


def test_the_answer_is_the_cheapest_of_the_arms_that_cannot_be_told_from_the_best() -> None:
    noise = np.tile([0.3, -0.3, 0.1], 3)
    found = findings(relu=90 + STEPS, up=92 + STEPS, tanh=92.1 + STEPS + noise, behind=91 + STEPS * 0.9)
    assert found.group == ("tanh", "up")
    assert recommended(found) == "up"
    assert overall(found).startswith("Replace relu by up: accuracy 92.40 points, +2.00 on average")
    assert overall(found).endswith(
        "tanh cannot be distinguished from it; up is the cheapest of them. Better too, but behind: behind."
    )


def test_the_control_is_kept_while_it_cannot_be_told_from_the_best() -> None:
    found = findings(relu=90 + STEPS, up=90 + STEPS + np.tile([2.0, -1.0, 0.5], 3), bad=80 + STEPS)
    assert set(found.group) == {"relu", "up"}
    assert recommended(found) == "relu"


def test_the_best_arm_is_in_its_group_as_often_as_promised() -> None:
    chance = np.random.default_rng(0)
    inside = 0
    for _ in range(60):
        values = {f"arm{number}": list(row) for number, row in enumerate(90 + chance.normal(0, 1, (4, 9)))}
        inside += "arm0" in best_group(values, metric=ACCURACY, alpha=0.05)
    assert inside >= 0.9 * 60


def test_an_equivalence_is_held_to_the_bonferroni_level() -> None:
    # One of nine pairs lies outside the region: the 95 % interval is within it, that at 0.05/8 is not.
    arms = {f"arm{number}": 90 + STEPS + np.array([0.8, *[0.1, -0.1] * 4]) for number in range(8)}
    assert set(verdicts(findings(relu=90 + STEPS, arm0=arms["arm0"])).values()) == {"equivalent"}
    assert set(verdicts(findings(relu=90 + STEPS, **arms)).values()) == {"undecided"}


@pytest.mark.parametrize("seed", range(15))
def test_every_interval_excludes_zero_exactly_when_a_difference_is_claimed(seed: int) -> None:
    chance = np.random.default_rng(seed)
    arms = {f"arm{number}": 90 + np.round(chance.normal(shift, 2, 9)) for number, shift in enumerate((0, 1, 3, 3, 5))}
    found = findings(relu=90 + np.round(chance.normal(0, 1, 9)), **arms)
    for arm, judgement in found.judgements.items():
        shown = judgement.difference
        assert (shown.low > 0 or shown.high < 0) == (shown.adjusted_p <= 0.05), arm
        assert (judgement.verdict in ("better", "worse")) <= (shown.adjusted_p <= 0.05)


def test_more_seeds_are_suggested_if_they_help() -> None:
    nearly = findings(relu=90 + STEPS, up=90 + STEPS + np.array([1, 2, -1.5, -0.8, 2, 1, -1, 1.2, 3]))
    assert verdicts(nearly) == {"up": "undecided"}
    more = nearly.judgements["up"].more_seeds
    assert more is not None
    assert 1 <= more <= 30
    # A mean difference at the very border of the region: neither claim comes within reach.
    border = findings(relu=90 + STEPS * 0, edge=90.5 + np.array([40, -40, 30, -30, 20, -20, 10, -10, 0.1]))
    assert border.judgements["edge"].more_seeds is None
    assert "edge is undecided (even 209 seeds would probably not settle it); " in arm_sentence("edge", border)


def test_more_seeds_do_decide_when_they_are_run() -> None:
    chance = np.random.default_rng(2)
    differences = chance.normal(1.0, 2.0, 9)
    found = findings(relu=90 + STEPS, up=90 + STEPS + differences)
    more = found.judgements["up"].more_seeds
    assert verdicts(found) == {"up": "undecided"}
    assert more is not None
    decided = 0
    for _ in range(40):
        longer = np.concatenate([differences, chance.choice(differences, more)])
        control = np.full(9 + more, 90.0)
        decided += verdicts(findings(relu=control, up=control + longer))["up"] != "undecided"
    assert decided >= 26  # four in five promised; the estimate is rough


def test_a_control_that_does_not_learn_is_named_with_the_number_it_fails_by() -> None:
    found = findings(sigmoid=10.1 + STEPS * 0, tanh=90 + STEPS, relu=85 + STEPS)
    assert found.learned == {"sigmoid": 0, "tanh": 9, "relu": 9}
    text = overall(found)
    assert text.startswith(
        "sigmoid does not learn: accuracy 10.10 points where the best constant prediction has 10.00"
        " (0 of 9 seeds learned). Replace sigmoid by tanh: accuracy 90.40 points, +80.30 on average"
    )
    assert text.endswith(" Better too, but behind: relu.")


def test_the_activation_is_not_blamed_if_no_arm_learns() -> None:
    text = overall(findings(relu=10 + STEPS / 10, tanh=10.1 + STEPS / 10))
    assert text.startswith("Nothing learns: the best arm, tanh, reaches accuracy 10.14 points")
    assert "not what keeps this network from learning" in text


def test_no_difference_is_an_answer() -> None:
    text = overall(findings(relu=90 + STEPS, gelu=90 + STEPS + np.tile([0.1, -0.1, 0.05], 3)))
    assert text == "No difference that matters (all within 0.5 points): keep relu, or take the cheapest."


def test_all_worse_is_an_answer() -> None:
    assert overall(findings(relu=90 + STEPS, gelu=80 + STEPS * 1.1)) == "Every candidate is worse: keep relu."


def test_an_undecided_verdict_says_how_many_seeds_should_settle_it() -> None:
    text = overall(
        findings(
            relu=90 + STEPS, gelu=90 + STEPS + np.array([1, 2, -1.5, -0.8, 2, 1, -1, 1.2, 3]), bad=70 + STEPS * 1.1
        )
    )
    assert text.startswith("No candidate is shown to be better: keep relu; worse: bad. Undecided: gelu. About ")
    assert text.endswith(" seeds should settle it.")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (1, "At least 6 seeds are needed, and probably enough."),
        (2, "At least 6 seeds are needed; about 7 should settle it."),
        (None, "At least 6 seeds are needed; even 205 seeds would probably not settle it."),
    ],
)
def test_with_too_few_seeds_the_verdict_names_the_minimum(more: int | None, sentence: str) -> None:
    found = findings(relu=90 + STEPS[:5], gelu=90 + STEPS[:5] + np.array([1, 2, -1.5, -0.8, 2]))
    judgement = replace(found.judgements["gelu"], more_seeds=more)
    text = overall(replace(found, judgements={"gelu": judgement}))
    assert text == f"No candidate is shown to be better: keep relu. Undecided: gelu. {sentence}"


def test_sentences_have_the_decimal_places_of_the_metric() -> None:
    few = findings(relu=90 + STEPS[:2], tanh=91 + STEPS[:2])
    assert "tanh is undecided" in arm_sentence("tanh", few)
    assert "accuracy 91.05 points, +1.00 against relu (95 % interval −∞ to +∞)" in arm_sentence("tanh", few)
    score = Metric("score", OWN_UNITS, True, 0.02, True)
    small = findings(score, baseline=0.1, relu=0.5 + STEPS / 100, up=0.55 + STEPS / 100)
    assert "Replace relu by up: score 0.5540, +0.0500 on average (between 0.0500 and 0.0500)." in overall(small)
