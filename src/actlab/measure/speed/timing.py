"""Time activations in units of a plain copy of the same tensor.

All contenders of a case and the copy are timed in turn, round by round, so that disturbances of the machine affect all
alike; a run with an unsteady copy is repeated.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from statistics import quantiles
from time import perf_counter_ns
from types import MappingProxyType
from typing import TypeVar

import torch

from actlab.measure.speed.allocator import freed_memory_kept
from actlab.measure.speed.case import Call, Case, contenders

Key = TypeVar("Key")

# A sample takes at least this long: 200 µs are some thousand ticks of the clock and hide its own cost.
SAMPLE_NS = 200_000
# More rounds do not improve the percentiles, fewer do not give any.
MOST_ROUNDS, LEAST_ROUNDS = 25, 3
# If the slow tenth of a copy takes this many times its fast tenth, the run was disturbed.
UNSTEADY = 1.5
ATTEMPTS = 3


@dataclass(frozen=True)
class Spread:
    """The spread of repeated measurements: the 10th, 50th and 90th percentile."""

    p10: float
    median: float
    p90: float


@dataclass(frozen=True)
class Speed:
    """One contender in one direction.

    Attributes:
        name: the activation.
        direction: `forward`, `backward`, `both`, or `out`: forward into an output that exists already.
        dtype, elements, threads: of the case.
        contender: `actlab`, `actlab-fast`, `eager`, `compile`, `jax`.
        mode: of actlab's kernels; empty for the others.
        seconds: for one call.
        copy: seconds for a plain copy of the same input, in the same run.
        reported: whether the copy was steady; if not, the row says more about the machine than about the contender.
    """

    name: str
    direction: str
    dtype: str
    elements: int
    threads: int
    contender: str
    mode: str
    seconds: Spread
    copy: Spread
    reported: bool

    @property
    def in_copies(self) -> float:
        """The median in units of the copy."""
        return self.seconds.median / self.copy.median

    def to_json(self) -> dict[str, str | float | bool]:
        """Return the row, its percentiles spread out."""
        return {
            "name": self.name,
            "direction": self.direction,
            "dtype": self.dtype,
            "elements": self.elements,
            "threads": self.threads,
            "contender": self.contender,
            "median_s": self.seconds.median,
            "copy_s": self.copy.median,
            "p10_s": self.seconds.p10,
            "p90_s": self.seconds.p90,
            "copy_p10_s": self.copy.p10,
            "copy_p90_s": self.copy.p90,
            "mode": self.mode,
            "reported": self.reported,
        }


def timed(case: Case, *, seconds: float = 0.5, attempts: int = ATTEMPTS) -> list[Speed]:
    """Time every contender of the case in every direction.

    Args:
        case: the activation, the tensor, the contenders.
        seconds: the approximate time of one attempt; three rounds are run in any case.
        attempts: the most attempts at a steady copy.
    """
    with steadied(threads=case.threads):
        given = case.given()
        ready = contenders(case, given)
        source = torch.cat(given.inputs)
        target = torch.empty_like(source)
        calls: dict[tuple[int, str], Call] = {(-1, "copy"): lambda: target.copy_(source)}
        calls |= {(at, way): call for at, one in enumerate(ready) for way, call in one.calls.items()}
        samples = steadiest(calls, seconds=seconds, gauge=(-1, "copy"), attempts=attempts)
    copy = spread(samples[-1, "copy"])
    return [
        Speed(
            name=case.name,
            direction=way,
            dtype=case.dtype,
            elements=case.elements,
            threads=case.threads,
            contender=one.name,
            mode=one.mode,
            seconds=spread(samples[at, way]),
            copy=copy,
            reported=is_steady(copy),
        )
        for at, one in enumerate(ready)
        for way in one.calls
    ]


def steadiest(
    calls: Mapping[Key, Call], *, seconds: float, gauge: Key, attempts: int = ATTEMPTS
) -> Mapping[Key, list[float]]:
    """Return the seconds per call, round by round, of the attempt in which the gauge was steadiest.

    Args:
        calls: the calls to time, by any key.
        seconds: the approximate time of one attempt.
        gauge: the key of the call that shows disturbances of the machine.
        attempts: the most attempts at a steady gauge.
    """
    counts = {key: calls_per_sample(call) for key, call in calls.items()}
    best: Mapping[Key, list[float]] = {}
    for _ in range(attempts):
        found = in_turn(calls, counts, seconds=seconds)
        if not best or _ratio(spread(found[gauge])) < _ratio(spread(best[gauge])):
            best = found
        if is_steady(spread(best[gauge])):
            break
    return MappingProxyType(dict(best))


def in_turn(
    calls: Mapping[Key, Call],
    counts: Mapping[Key, int],
    *,
    seconds: float,
    clock: Callable[[], int] = perf_counter_ns,
) -> Mapping[Key, list[float]]:
    """Sample the seconds per call round by round, each round in another order.

    The contender after the copy finds the caches full of the copy's tensors, which was worth 20 % to a leaky_relu.

    Args:
        calls: the calls to time.
        counts: the number of calls in one sample.
        seconds: the time to measure, within the least and the most rounds.
        clock: the time in nanoseconds.
    """
    keys = list(calls)
    samples: dict[Key, list[float]] = {key: [] for key in keys}
    end = clock() + int(seconds * 1e9)
    for made in range(MOST_ROUNDS):
        if made >= LEAST_ROUNDS and clock() > end:
            break
        for key in Random(made).sample(keys, len(keys)):
            samples[key].append(_sample(calls[key], counts[key], clock=clock) / counts[key] / 1e9)
    return samples


def calls_per_sample(call: Call, *, clock: Callable[[], int] = perf_counter_ns) -> int:
    """Count the calls that make a sample long enough for the clock; counting warms the call up."""
    call()
    count = 1
    while (taken := _undisturbed(call, count, clock=clock)) < SAMPLE_NS:
        count = max(2 * count, -(-count * SAMPLE_NS // max(taken, 1)))
    return count


def _undisturbed(call: Call, count: int, *, clock: Callable[[], int]) -> int:
    """Take the shorter of two samples, unless the first is too long for the scheduler to matter."""
    taken = _sample(call, count, clock=clock)
    return taken if taken > 50 * SAMPLE_NS else min(taken, _sample(call, count, clock=clock))


def _sample(call: Call, count: int, *, clock: Callable[[], int]) -> int:
    """Measure the nanoseconds of so many calls."""
    start = clock()
    for _ in range(count):
        call()
    return clock() - start


def spread(values: Sequence[float]) -> Spread:
    """Return the 10th, 50th and 90th percentile."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    tenths = quantiles(values, n=10, method="inclusive")
    return Spread(tenths[0], tenths[4], tenths[8])


def is_steady(gauge: Spread) -> bool:
    """Say whether the machine was undisturbed during the measurement."""
    return _ratio(gauge) <= UNSTEADY


def _ratio(gauge: Spread) -> float:
    return gauge.p90 / gauge.p10


@contextmanager
def steadied(*, threads: int) -> Iterator[None]:
    """Set PyTorch's threads, disable garbage collection and keep freed memory within the block; undo it on every way
    out.
    """
    before, collects = torch.get_num_threads(), gc.isenabled()
    gc.collect()
    gc.disable()
    torch.set_num_threads(threads)
    try:
        with freed_memory_kept():
            yield
    finally:
        torch.set_num_threads(before)
        if collects:
            gc.enable()
