"""Speeds: what is timed is the same function, in turn, and a disturbed machine is noticed. No test asks how long."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch

from actlab import functional
from actlab.catalog.index import CATALOG, get
from actlab.errors import BadInput
from actlab.measure import implementations
from actlab.measure.implementations import Implementation, eager, has_own
from actlab.measure.speed import case as cases
from actlab.measure.speed import summary, timing
from actlab.measure.speed.allocator import freed_memory_kept
from actlab.measure.speed.case import Case, calls_of, contenders
from actlab.measure.speed.summary import bench
from actlab.measure.speed.table import lines
from actlab.measure.speed.timing import Speed, Spread, calls_per_sample, in_turn, spread, steadied, steadiest, timed

KEYS = {"name", "direction", "dtype", "elements", "threads", "contender", "median_s", "copy_s"}


class Clock:
    """Time that passes only in calls."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def takes(self, nanoseconds: int) -> None:
        self.now += nanoseconds


def case(name: str, *, elements: int = 60, dtype: str = "float64", **rest: object) -> Case:
    return Case(name, get(name), dtype, elements, 1, **rest)


@pytest.mark.parametrize("name", list(CATALOG))
def test_every_contender_computes_the_same(name: str) -> None:
    asked = case(name)
    given = asked.given()
    ours, theirs = contenders(asked, given)
    torch.testing.assert_close(theirs.calls["forward"](), ours.calls["forward"](), rtol=1e-12, atol=1e-13)
    for way in ("backward", "both"):
        assert ours.calls.keys() == theirs.calls.keys()
        mine, others = ours.calls[way](), theirs.calls[way]()
        packed = torch.cat(mine, -1) if len(mine) > len(others) else mine[0]
        # PyTorch's hard_sigmoid multiplies by 1/6 in single precision
        torch.testing.assert_close(others[0], packed, rtol=1e-7, atol=1e-8)


def test_the_comparison_of_contenders_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementations, "native_of", lambda act, dtype: torch.nn.functional.silu)
    with pytest.raises(AssertionError):
        test_every_contender_computes_the_same("gelu")


def test_a_gated_unit_of_pytorch_takes_value_and_gate_packed() -> None:
    found = eager(get("glu"), torch.float32)
    given = case("glu", dtype="float32").given().packed()
    assert found.is_packed
    assert found.function(*given.inputs).shape == given.dy.shape
    assert not eager(get("swiglu"), torch.float32).is_packed


def test_a_native_function_without_the_parameter_is_not_used_at_another_value() -> None:
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)
    swish = eager(get("swish(beta=2)"), torch.float64)
    torch.testing.assert_close(swish.function(x), functional("swish", beta=2)(x))
    leaky = eager(get("leaky_relu(negative_slope=0.3)"), torch.float64)
    torch.testing.assert_close(leaky.function(x), torch.nn.functional.leaky_relu(x, 0.3))


def test_where_pytorch_has_the_function() -> None:
    assert {has_own(get(name)) for name in ("mish", "tanh", "glu", "softmax", "prelu")} == {"torch.nn"}
    assert has_own(get("erf")) == "torch"
    assert {has_own(get(name)) for name in ("phish", "swiglu", "x*sigmoid(1.702*x)")} == {""}


def test_a_dtype_that_pytorch_lacks_leaves_its_contender_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: object) -> None:
        raise NotImplementedError("not implemented for 'Half'")

    monkeypatch.setattr(cases, "TIMED", {"eager": lambda act, dtype: Implementation("eager", lacking)})
    asked = case("gelu", dtype="float16")
    assert [one.name for one in contenders(asked, asked.given())] == ["actlab"]


def test_rows_along_an_axis_divide_the_tensor() -> None:
    assert case("softmax", elements=4000).given().inputs[0].shape == (4, 1000)
    assert case("softmax", elements=1024).given().inputs[0].shape == (2, 512)
    assert case("softmax", elements=7).given().inputs[0].shape == (1, 7)


def test_noise_beyond_one_tile_repeats_it() -> None:
    x = case("gelu", elements=cases.TILE + 3, dtype="float32").given().inputs[0]
    assert x.shape == (cases.TILE + 3,)
    assert torch.equal(x[:3], x[-3:])


def test_backward_is_repeated_over_one_graph() -> None:
    given = case("tanh").given()
    applied = []

    def function(x: torch.Tensor) -> torch.Tensor:
        applied.append(1)
        return torch.tanh(x)

    calls = calls_of(function, given, ["backward"])
    first, second = calls["backward"](), calls["backward"]()
    assert len(applied) == 1
    assert torch.equal(first[0], second[0])
    torch.testing.assert_close(first[0], given.dy * (1 - torch.tanh(given.inputs[0]) ** 2))


def test_contenders_take_turns_in_an_order_that_changes() -> None:
    clock, order = Clock(), []

    def call(name: str) -> None:
        order.append(name)
        clock.takes(1000)

    calls = {name: partial(call, name) for name in "abc"}
    samples = in_turn(calls, dict.fromkeys("abc", 1), seconds=0, clock=clock)
    rounds = ["".join(order[start : start + 3]) for start in range(0, len(order), 3)]
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    cyclic = {"abc", "bca", "cab"}  # in which everyone always follows the same one
    assert len(set(rounds)) > 1
    assert not set(rounds) <= cyclic
    assert all(taken == [1e-6] * timing.LEAST_ROUNDS for taken in samples.values())


def test_rounds_end_when_the_time_is_up_or_enough_are_made() -> None:
    clock = Clock()
    calls = {"a": lambda: clock.takes(100_000)}
    assert len(in_turn(calls, {"a": 10}, seconds=0.01, clock=clock)["a"]) == 11
    assert len(in_turn(calls, {"a": 10}, seconds=9, clock=clock)["a"]) == timing.MOST_ROUNDS


def test_a_sample_averages_over_its_calls() -> None:
    clock = Clock()
    assert in_turn({"a": lambda: clock.takes(500)}, {"a": 8}, seconds=0, clock=clock)["a"][0] == pytest.approx(5e-7)


@pytest.mark.parametrize("nanoseconds", [1, 700, 199_999, 200_000, 10**9])
def test_a_sample_is_long_enough_for_the_clock(nanoseconds: int) -> None:
    clock = Clock()
    count = calls_per_sample(lambda: clock.takes(nanoseconds), clock=clock)
    assert count * nanoseconds >= timing.SAMPLE_NS
    assert count == 1 or count * nanoseconds < 4 * timing.SAMPLE_NS


def test_one_tick_of_the_scheduler_does_not_shorten_the_samples() -> None:
    clock = Clock()
    lengths = iter([1000, 5_000_000])
    count = calls_per_sample(lambda: clock.takes(next(lengths, 1000)), clock=clock)
    assert count >= 200


def test_percentiles_by_hand() -> None:
    assert spread([float(value) for value in range(11)]) == Spread(1.0, 5.0, 9.0)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0)


def test_an_unsteady_run_is_repeated_and_the_steadiest_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = iter([[1.0, 1.0, 9.0], [1.0, 1.0, 3.0], [1.0, 1.0, 4.0]])
    monkeypatch.setattr(timing, "in_turn", lambda *_, **__: {"copy": next(runs)})
    found = steadiest({"copy": lambda: None}, seconds=0, gauge="copy")
    assert found["copy"] == [1.0, 1.0, 3.0]
    assert not timing.is_steady(spread(found["copy"]))
    assert next(runs, None) is None


def test_a_steady_run_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = iter([[1.0, 1.0, 1.1], [1.0, 1.0, 1.0]])
    monkeypatch.setattr(timing, "in_turn", lambda *_, **__: {"copy": next(runs)})
    assert steadiest({"copy": lambda: None}, seconds=0, gauge="copy")["copy"] == [1.0, 1.0, 1.1]
    assert next(runs) == [1.0, 1.0, 1.0]


def test_threads_and_garbage_collection_are_restored() -> None:
    before, inside = torch.get_num_threads(), []

    def fails() -> None:
        with steadied(threads=2):
            inside.append((torch.get_num_threads(), gc.isenabled()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert inside == [(2, False)]
    assert torch.get_num_threads() == before
    assert gc.isenabled()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is held steady, others are left as they are")
def test_freed_memory_stays_in_the_process_while_timing() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p

    def used() -> None:
        blocks = [ctypes.c_void_p(libc.malloc(4_000_000)) for _ in range(20)]  # more than holes in the heap could take
        for block in blocks:
            libc.memset(block, 1, 4_000_000)
        for block in blocks:
            libc.free(block)

    with freed_memory_kept():
        for _ in range(3):
            used()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            used()
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < 10_000  # of a hundred thousand if every use were of fresh pages


def test_rows_have_the_documented_keys() -> None:
    rows = bench({"mish": get("mish")}, sizes=[1000], seconds=0).to_json()
    assert {(row["direction"], row["contender"]) for row in rows} == {
        (way, name) for way in ("forward", "backward", "both") for name in ("actlab", "eager")
    }
    for row in rows:
        assert row.keys() >= KEYS
        assert (row["name"], row["dtype"], row["elements"], row["threads"]) == ("mish", "float32", 1000, 1)
        assert 0 < row["p10_s"] <= row["median_s"] <= row["p90_s"]
        assert row["copy_s"] > 0


def test_a_formula_just_typed_is_timed() -> None:
    rows = timed(case("x*sigmoid(1.702*x)", elements=100, directions=("forward",)), seconds=0)
    assert [row.contender for row in rows] == ["actlab", "eager"]


@pytest.mark.slow  # the compiler takes seconds
def test_torch_compile_is_a_contender() -> None:
    rows = timed(case("gelu", dtype="float32", against=("compile",)), seconds=0)
    assert {row.contender for row in rows} == {"actlab", "compile"}


SPEED = Speed(
    "gelu", "forward", "float32", 1000, 1, "actlab", "accurate", Spread(1.0, 2.0, 3.0), Spread(1.0, 1.0, 1.0), True
)


def test_the_table_counts_in_copies_and_marks_unsteady_rows() -> None:
    theirs = replace(SPEED, contender="eager", mode="", seconds=Spread(3.0, 3.0, 3.0), reported=False)
    table = lines([SPEED, theirs])
    assert table[0].startswith("float32, 1,000 elements, 1 thread;")
    assert table[1].split() == ["actlab", "eager", "vs", "eager"]
    assert table[2].split() == ["gelu", "forward", "2.00", "3.00*", "1.50"]
    assert table[-1].startswith("* the copy was unsteady")
    assert "*" not in "".join(lines([SPEED]))


def test_the_fast_mode_alone_is_compared_too() -> None:
    theirs = replace(SPEED, contender="eager", seconds=Spread(3.0, 3.0, 3.0))
    assert lines([replace(SPEED, contender="actlab-fast"), theirs])[2].split()[-1] == "1.50"


def test_progress_ends_with_all_done() -> None:
    told = []
    bench({"relu": get("relu")}, sizes=[10, 20], seconds=0, progress=lambda *said: told.append(said[:2]))
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_there_is_a_table_for_each_tensor() -> None:
    table = lines([SPEED, replace(SPEED, elements=10**6), replace(SPEED, threads=2)])
    assert [line.partition(";")[0] for line in table if "elements" in line] == [
        "float32, 1,000 elements, 1 thread",
        "float32, 1,000,000 elements, 1 thread",
        "float32, 1,000 elements, 2 threads",
    ]


def test_ctrl_c_returns_the_finished_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(asked: Case, *, seconds: float) -> list[Speed]:
        if asked.name == "mish":
            raise KeyboardInterrupt
        return [SPEED]

    monkeypatch.setattr(summary, "timed", stopped)
    answer = bench({"gelu": get("gelu"), "mish": get("mish")}, sizes=[1000])
    assert answer.stopped
    assert answer.rows == (SPEED,)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"sizes": []}, "nothing to time: name at least one size."),
        ({"threads": []}, "name at least one number of threads"),
        ({"sizes": [0]}, "size must be 1 to 100,000,000 elements; got 0."),
        ({"sizes": [10**12]}, "got 1,000,000,000,000"),
        ({"dtypes": ["int8"]}, "dtype must be one of float32, float64, bfloat16, float16; got 'int8'"),
        ({"threads": [10_000]}, "the processors of this process; got 10000"),
        ({"threads": [0]}, "the processors of this process; got 0"),
        ({"modes": ["best"]}, "mode must be accurate or fast; got 'best'"),
        ({"against": ["numpy"]}, "against must be among eager, compile, jax; got 'numpy'"),
    ],
)
def test_invalid_requests_are_errors(asked: dict[str, list[object]], message: str) -> None:
    with pytest.raises(BadInput) as error:
        bench({"gelu": get("gelu")}, **asked)
    assert message in str(error.value)


def test_jax_is_never_a_dependency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="JAX is not installed, and actlab does not need it"):
        bench({"gelu": get("gelu")}, against=["jax"])
