"""An activation compared with itself, on other random numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actlab.errors import BadStudy
from actlab.report.bibtex import bibliography
from actlab.report.chart import Compared
from actlab.report.charts import functions
from actlab.report.page import page
from actlab.report.table import tone
from actlab.study.again import HINT, is_again, original, repeated, stream_of
from actlab.study.arm import model_of, named_arm
from actlab.study.compare import compare, prepare
from actlab.study.lots import LotTrainer, carry_out
from actlab.study.next_seeds import seeds_to_settle
from actlab.study.options import AdviseOptions
from actlab.study.plan import Trial
from actlab.study.setting import Setting
from actlab.verbs.comparing import with_activations
from small_study import InventingRunner
from unit.report.comparisons import TESTS, made
from unit.study.small_task import ring


def prepared(*candidates: str) -> Setting:
    return prepare(ring(), candidates=list(candidates), seeds=6, budget=2).setting


def test_a_repeated_arm_trains_the_same_activation_on_other_random_numbers() -> None:
    setting = prepared("relu#2", "relu#3")
    seed = setting.plan.seeds[0]
    first, second, third = (carry_out(setting, Trial(arm, 0, seed)).curve for arm in ("relu", "relu#2", "relu#3"))
    assert first != second != third != first
    assert setting.arms["relu#2"].digest() == setting.arms["relu"].digest()
    own = Trial("relu", 0, stream_of("relu#2", seed))
    plan = replace(setting.plan, splits="fixed")
    fixed = replace(setting, plan=plan)  # with the split of the task, the stream alone makes the difference
    assert carry_out(fixed, Trial("relu#2", 0, seed)).curve == carry_out(fixed, own).curve


def test_its_rows_are_split_as_those_of_the_arm_that_it_repeats() -> None:
    setting = prepared("relu#2")
    seed = setting.plan.seeds[0]
    trials = [Trial(arm, point, seed) for arm in ("relu", "relu#2") for point in range(2)]
    parts = [lane.task.test.inputs for lane in LotTrainer(setting)._lanes(trials)]
    assert all(part.equal(parts[0]) for part in parts)


def test_lanes_and_the_plain_loop_draw_the_same_numbers() -> None:
    setting = prepared("relu#2")
    trials = [Trial("relu#2", point, seed) for seed in setting.plan.seeds for point in range(2)]
    lanes = LotTrainer(setting)._lanes(trials)
    for trial, lane in zip(trials, lanes, strict=True):
        stream = stream_of("relu#2", trial.seed)
        alone = model_of(ring(), setting.arms["relu"], where=setting.where, seed=stream)
        assert lane.seed == stream != trial.seed
        for one, other in zip(lane.model.parameters(), alone.parameters(), strict=True):
            assert one.equal(other)


def test_streams_are_disjoint() -> None:
    seeds = prepared("relu#2").plan.seeds * 1
    streams = [stream_of(name, seed) for name in ("relu", "relu#2", "relu#3", "relu#12") for seed in seeds]
    assert len(set(streams)) == len(streams)
    assert stream_of("relu#2", 7) == stream_of("gelu#2", 7)  # paired with each other, as all arms are


@pytest.mark.parametrize("name", ["relu", "relu#1", "relu#0", "#2", "relu#x", "x*sigmoid(x)"])
def test_other_names_repeat_nothing(name: str) -> None:
    assert not is_again(name)
    assert (original(name), stream_of(name, 3)) == (name, 3)


def test_the_report_calls_it_an_a_a_comparison() -> None:
    found = compare(ring(), candidates=["silu", "silu#2", "relu #2"], seeds=7, budget=1, runner=InventingRunner())
    assert [arm.activation for arm in found.arms] == ["relu", "silu", "silu#2", "relu#2"]
    assert found.plan.comparisons == 3
    notes = " ".join(found.notes)
    assert "silu#2 is silu once more, with other random numbers (an A/A comparison)" in notes
    mean = sum(one - two for one, two in zip(found.arms[2].tests, found.arms[1].tests, strict=True)) / 7
    assert f"A/A: silu#2 differs from silu by {mean:+.3g} points on average (p =" in notes
    assert "relu#2 (relu again: A/A) is" in found.arms[3].sentence
    assert "A/A: relu#2 is relu again," in found.verdict


def test_an_activation_may_be_compared_with_itself_alone() -> None:
    found = compare(ring(), candidates=["relu#2"], seeds=6, budget=1, runner=InventingRunner())
    assert found.verdict.startswith("A/A: relu#2 is relu again, ")
    assert found.recommended == "relu"


def test_a_false_claim_is_called_false_and_recommends_nothing() -> None:
    found = made({"sigmoid": TESTS["sigmoid"], "sigmoid#2": TESTS["relu"], "gelu": TESTS["gelu"]})
    assert found.arms[1].verdict == "better"
    assert "it is called better, which is false." in found.verdict
    assert "Replace" not in found.verdict
    assert (found.recommended, tone(found)) == ("sigmoid", "equivalent")
    assert "No difference that matters" in found.verdict


def test_an_undecided_repetition_asks_for_no_seeds() -> None:
    found = made({"sigmoid": TESTS["sigmoid"], "sigmoid#2": TESTS["tanh"]})
    assert found.arms[1].verdict == "undecided"
    assert "Undecided" not in found.verdict
    assert seeds_to_settle(found) is None


def test_pages_and_sources_hold_it_without_drawing_it_twice() -> None:
    found = made({"sigmoid": TESTS["sigmoid"], "sigmoid#2": TESTS["tanh"], "relu": TESTS["relu"]})
    assert "sigmoid#2" in page(found, provenance={})
    assert [each.arm for each in functions.facts(Compared(found)).arms] == ["sigmoid", "relu"]
    assert "not known" not in bibliography(original(arm.activation) for arm in found.arms)


def test_what_is_repeated_must_be_there() -> None:
    with pytest.raises(BadStudy, match=r"gelu#2 repeats gelu, which must be compared too; got relu, silu\. Name gelu"):
        prepare(ring(), candidates=["silu", "gelu#2"])
    assert repeated([named_arm("relu")]) == ((named_arm("relu"),), ())


def test_merged_names_say_how_to_keep_them_apart() -> None:
    study = prepare(ring(), candidates=["silu", "SiLU"])
    assert study.plan.arms == ("relu", "silu")
    assert HINT in study.notes
    assert HINT not in prepare(ring(), candidates=["silu"]).notes


def test_a_stored_one_is_resumed(tmp_path: Path) -> None:
    settings = {"candidates": ["relu#2"], "seeds": 6, "budget": 1, "store": tmp_path / "a.db"}
    compare(ring(), **settings, runner=InventingRunner())  # type: ignore[arg-type]  # mixed values
    rest = InventingRunner()
    compare(ring(), **settings, resume=True, runner=rest)  # type: ignore[arg-type]  # mixed values
    assert rest.trials == []


def test_an_arm_with_factors_is_repeated_with_them() -> None:
    arms = prepared("relu@clip=1", "relu@clip=1#2").arms
    assert list(arms) == ["relu", "relu@clip=1", "relu@clip=1#2"]
    assert arms["relu@clip=1#2"].clip == arms["relu@clip=1"].clip == 1.0
    options = AdviseOptions(activations=["relu@clip=1", "relu@clip=1#2"])
    assert with_activations(options, {}).activations == ["relu@clip=1", "relu@clip=1#2"]


def test_it_is_on_no_front() -> None:
    found = made({"sigmoid": TESTS["sigmoid"], "sigmoid#2": TESTS["relu"]}, costs={"sigmoid": 1.0, "sigmoid#2": 0.9})
    assert found.fronts == {"step time": ("sigmoid",)}
