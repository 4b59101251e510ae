"""Every benchmark runs, and the harness measures what it says."""

from __future__ import annotations

import csv
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from actlab.catalog.index import CATALOG
from actlab.measure.speed.timing import Speed, Spread

COPY = Spread(1.0, 1.0, 1.0)
# How a row tells a middle and what lies around it.
SPREADS = (("p10", "median", "p90"), ("p20", "median", "p80"), ("low", "share", "high"))
BENCH = Path(__file__).parents[2] / "bench"
SCRIPTS = sorted(path for path in BENCH.glob("*.py") if path.name != "harness.py")


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    return import_module("harness")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_each_script_runs(script, tmp_path):
    command = [sys.executable, script, "--quick", "--results", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if done.stdout == "no NVIDIA GPU\n":
        pytest.skip("there is no NVIDIA GPU")
    texts = [path.read_text(encoding="utf-8").splitlines() for path in tmp_path.glob("*.csv")]
    written = [list(csv.DictReader(lines)) for lines in texts]
    assert all(written)
    spreads = [(rows, ends) for rows in written for ends in SPREADS if set(ends) <= set(rows[0])]
    assert spreads
    for rows, (low, middle, high) in spreads:
        assert all(float(row[low]) <= float(row[middle]) <= float(row[high]) for row in rows)


def test_the_page_on_watching_says_what_the_last_rows_say(harness):
    page = (BENCH.parent / "docs" / "watch.md").read_text(encoding="utf-8")
    watch = import_module("watch")
    assert watch.with_table(page, BENCH / "results" / "watch.csv") == page


def test_of_several_runs_the_table_shows_the_last(harness):
    watch = import_module("watch")
    rows = [
        {"question": asked, "contender": name, "commit": commit, "median": median}
        for asked, name, commit, median in (
            ("cnn", "bare", "one", "1"),
            ("cnn", "gone", "one", "2"),
            ("cnn", "bare", "two", "3"),
            ("mlp", "bare", "two", "4"),
        )
    ]
    assert watch.latest(rows, "cnn") == {"bare": rows[2]}
    assert watch.latest(rows, "nothing") == {}


def test_percentiles_by_hand(harness):
    found = harness.percentiles_of([5.0, 1.0, 4.0, 2.0, 3.0, 6.0])
    assert (found.p20, found.median, found.p80) == (2.0, 3.5, 5.0)
    assert harness.percentiles_of([7.0]).p20 == 7.0


def test_warm_up_is_not_counted_and_calls_are_averaged(harness):
    times = iter([0.0, 4.0, 10.0, 14.0])
    called = []
    found = harness.seconds_of(lambda: called.append(1), warm_up=3, repeats=2, calls=2, clock=lambda: next(times))
    assert len(called) == 3 + 2 * 2
    assert found.median == 2.0


def test_peak_bytes_counts_what_is_held_together(harness):
    torch = pytest.importorskip("torch")
    one = torch.ones(1 << 20)  # 4 MiB

    def two_at_a_time():
        first = one + 1
        return first + 1

    assert harness.peak_bytes(two_at_a_time) == pytest.approx(2 * 4 * 2**20, rel=0.01)
    assert harness.peak_bytes(lambda: one.add_(1)) < 2**16


def test_rows_are_appended_below_one_header(harness, tmp_path):
    row = harness.row("question", "one", unit="s", measured=harness.Percentiles(1.0, 2.0, 3.0))
    asked = harness.Options(quick=False, results=tmp_path)
    harness.record("answers", [row], asked=asked)
    harness.record("answers", [row, row], asked=asked)
    lines = (tmp_path / "answers.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("question,contender,device,dtype,shape,unit,p20,median,p80")


def test_rows_of_another_shape_are_not_mixed(harness, tmp_path):
    (tmp_path / "answers.csv").write_text("question,seconds\n", encoding="utf-8")
    row = harness.row("question", "one", unit="s", measured=harness.Percentiles(1.0, 2.0, 3.0))
    with pytest.raises(SystemExit, match="do not fit"):
        harness.append(tmp_path / "answers.csv", [row])


def test_a_timing_bears_its_copy_if_it_has_one(harness, tmp_path):
    beside = harness.timing("q", "gelu", "ours", measured=Spread(1.0, 2.0, 3.00049), shape="9", threads=1, copy=COPY)
    alone = harness.timing("q", "step", "ours", measured=Spread(1.0, 2.0, 3.0), shape="9", threads=2)
    harness.append(tmp_path / "speed.csv", [beside, alone])
    with (tmp_path / "speed.csv").open(encoding="utf-8") as stream:
        first, second = csv.DictReader(stream)
    assert (first["p90"], first["copy_median"], first["reported"]) == ("3.0", "1.0", "True")
    assert (second["copy_median"], second["threads"]) == ("", "2")


def test_a_quick_run_keeps_nothing(harness):
    assert harness.options("", ["--quick"]).results is None
    assert harness.options("", []).results == BENCH / "results"


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    return import_module("speed")


def took(seconds, contender="actlab", *, name="mish", direction="both", elements=10**6, dtype="float32", **rest):
    """A row; its copy takes one second."""
    spread = Spread(seconds, seconds, seconds)
    reported = rest.pop("reported", True)
    return Speed(name, direction, dtype, elements, rest.pop("threads", 1), contender, "", spread, COPY, reported)


def judged(speed, rows):
    """Every goal's verdict by the words its sentence begins with."""
    return {goal.sentence: (not goal.misses, goal) for goal in speed.goals(speed.Rows(rows))}


def verdict(speed, rows, words):
    return next(reached for sentence, (reached, _) in judged(speed, rows).items() if words in sentence)


@pytest.mark.parametrize(
    ("words", "enough", "too_slow"),
    [
        ("actlab from 100,000", [took(1.0, name="elu"), took(0.95, "eager", name="elu")], took(1.01, name="elu")),
        ("actlab-fast from 100,000", [took(1.0, "actlab-fast"), took(0.95, "eager")], took(1.01, "actlab-fast")),
        (
            "actlab below 100,000",
            [took(6e-6, elements=1000), took(1e-6, "eager", elements=1000)],
            took(6.1e-6, elements=1000),
        ),
        ("times PyTorch >= 6", [took(1.0), took(6.0, "eager")], took(1.01)),
        ("torch.nn has, geometric mean >= 2", [took(1.0), took(2.0, "eager")], took(1.01)),
        ("PyTorch lacks, geometric mean >= 6", [took(1.0, name="phish"), took(6.0, "eager", name="phish")],
         took(1.01, name="phish")),
        ("up to one exp-class atom <= 1.4", [took(1.4, name="silu", direction="out", elements=16 * 10**6)],
         took(1.41, name="silu", direction="out", elements=16 * 10**6)),
        ("the rest <= 3", [took(3.0, direction="out", elements=16 * 10**6)],
         took(3.01, direction="out", elements=16 * 10**6)),
        (
            "bfloat16",
            [took(1.5, direction="out", elements=16 * 10**6),
             took(1.0, direction="out", elements=16 * 10**6, dtype="bfloat16")],
            took(1.49, direction="out", elements=16 * 10**6),
        ),
    ],
)  # fmt: skip
def test_a_goal_is_reached_and_missed(speed, words, enough, too_slow):
    assert verdict(speed, enough, words)
    assert not verdict(speed, [too_slow, *enough[1:]], words)


def test_rows_of_two_threads_and_beside_an_unsteady_copy_count_for_no_goal(speed):
    for unfit in ({"threads": 2}, {"reported": False}):
        assert not speed.goals(speed.Rows([took(9.0, **unfit), took(1.0, "eager", **unfit)]))


def test_a_ratio_is_of_one_run(speed):
    rows = [took(1.0), took(9.0, "eager"), took(5.0), took(5.0, "compile")]
    assert speed.Rows(rows).gains("actlab", "both") == {"mish": 9.0}


def test_where_pytorch_is_inexact_only_the_fast_mode_must_be_as_fast(speed):
    rows = [took(2.0), took(2.0, "actlab-fast"), took(1.0, "eager")]
    reached = judged(speed, rows)
    assert not any("actlab from" in sentence for sentence in reached)
    assert any("actlab-fast from" in sentence and not well for sentence, (well, _) in reached.items())


def test_where_pytorch_keeps_the_bound_is_found_out(speed):
    assert speed.bounds_kept("relu") == speed.bounds_kept("bilinear") == (True, True)
    assert speed.bounds_kept("tanh") == (True, False)  # 1 − y² loses its tail
    # of PyTorch's own, packed and not, and of composites
    assert not any(any(speed.bounds_kept(name)) for name in ("mish", "glu", "swiglu", "logish"))
    assert speed.pytorch_is_exact("tanh", "forward")
    assert not speed.pytorch_is_exact("tanh", "both")


def test_a_case_beside_an_unsteady_copy_is_timed_again(speed, monkeypatch):
    case, answers = object(), [[took(1.0, reported=False)], [took(2.0)]]
    part = speed.Part(sizes=(1000,))
    monkeypatch.setattr(speed.Part, "cases", lambda part, name: [case])
    monkeypatch.setattr(speed, "timed", lambda asked, **_: answers.pop(0))
    monkeypatch.setattr(speed, "NAMES", ("mish",))
    found = speed.measured([part], asked=speed.Options(quick=True, results=None))
    assert [row.reported for row in found] == [False, True]
    assert not answers


def test_goals_are_rows(speed):
    rows = [took(1.0), took(4.0, "eager"), took(1.0, name="phish"), took(7.0, "eager", name="phish")]
    told = {row.goal: (row.reached, row.count, row.worst) for row in speed.goal_rows(speed.goals(speed.Rows(rows)))}
    assert told["1,000,000 elements of mish, forward and backward, times PyTorch >= 6"] == (0, 1, 4.0)
    assert told["1,000,000 elements forward and backward, what PyTorch lacks, geometric mean >= 6"] == (1, 1, 7.0)


def test_a_miss_is_named(speed):
    (goal,) = (goal for goal in speed.goals(speed.Rows([took(1.0), took(4.0, "eager")])) if ">= 6" in goal.sentence)
    assert "missed" in goal.lines()[0]
    assert "mish 4" in goal.lines()[1]


@pytest.mark.parametrize(
    ("name", "light"),
    [("relu", True), ("silu", True), ("bilinear", True), ("rational", True), ("mish", False), ("gelu", False)],
)
def test_formulas_of_one_exponential_at_most(speed, name, light):
    assert speed.is_light(CATALOG[name]) is light


def test_every_function_but_the_identity_is_timed_at_every_size(speed):
    assert set(speed.NAMES) == set(CATALOG) - {"identity"}
    for name in speed.NAMES:
        cases = [case for part in speed.PARTS for case in part.cases(name)]
        assert {case.elements for case in cases if case.dtype == "float32" and "eager" in case.against} == {
            *speed.SIZES
        }
        assert {case.dtype for case in cases} == {"float32", "float64", "bfloat16", "float16"}
        assert {case.threads for case in cases} == {1, 2}


def test_the_fast_goal_can_be_measured_alone(speed, harness):
    assert harness.options("", ["--only", "fast"], parts=("fast",)).only == "fast"
    assert harness.options("", []).only == ""
    cases = [case for part in speed.ALONE["fast"] for name in speed.NAMES for case in part.cases(name)]
    assert {case.modes for case in cases} == {("fast",)}
    assert {case.name for case in cases if case.elements == 100_000} == set(speed.NAMES)


def test_the_page_sorts_functions_by_speed_and_exactness(speed, tmp_path):
    row = {"direction": "both", "dtype": "float32", "threads": "1", "shape": "1000000", "reported": "True"}
    took = {"mish": (1, 1, 3), "relu": (1, 1, 1), "gelu": (2, 1, 1.5), "leaky_relu": (2, 2, 1), "phish": (1, 1, 5)}
    rows = [
        {**row, "name": name, "contender": contender, "median": str(median)}
        for name, medians in took.items()
        for contender, median in zip(("actlab", "actlab-fast", "eager"), medians, strict=True)
    ]
    rows += [{**row, "name": "mish", "contender": "actlab", "median": "9", "threads": "2"}]
    said = speed.sorted_by_speed(speed.medians(rows), device="a machine")
    assert said[2] == "- **faster:** mish 3.00"
    assert said[3] == "- **as fast:** relu 1.00"
    assert said[4].endswith("bound): gelu 0.75 (fast 1.50)")
    assert said[5] == "- **slower:** leaky_relu 0.50"
    assert said[6].endswith("5.00 in the geometric mean of 1")
    file = tmp_path / "speed.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [*rows[0], "device"])
        writer.writeheader()
        writer.writerows({**each, "device": "cpu: a machine"} for each in rows)
    text = speed.with_list(f"before\n{speed.BEGIN}\nold\n{speed.END}\nafter\n", file)
    assert text == "\n".join(["before", speed.BEGIN, "", *said, "", speed.END, "after", ""])


def test_the_page_on_speed_says_what_the_last_rows_say(speed):
    page = (BENCH.parent / "docs" / "speed.md").read_text(encoding="utf-8")
    assert speed.with_list(page, BENCH / "results" / "speed.csv") == page
