"""How fast is every activation, in units of a plain copy, beside PyTorch's own or the composite one would write?

Prints which of the goals below are reached, and what misses them; `--only fast` measures the fast mode's goal alone,
`--only page` what docs/speed.md lists. A goal is judged on one thread, in float32, by the rows whose copy was steady.
The accurate mode need not be as fast where PyTorch's own result breaks the bound on errors.
"""

from __future__ import annotations

import csv
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from itertools import product
from pathlib import Path
from statistics import geometric_mean

import torch
from harness import ROOT, Options, Timing, commit, device_name, keep, options, timing, versions

from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation
from actlab.formula.expr import Call, walk
from actlab.kernels.elementwise.strategies import Mode
from actlab.measure.accuracy.certificate import certificate
from actlab.measure.implementations import AnyActivation, eager, has_own
from actlab.measure.speed.case import Case, Direction, cores
from actlab.measure.speed.timing import Speed, timed

SIZES = (1_000, 10_000, 100_000, 1_000_000, 16_000_000)
MILLION, LARGE = SIZES[3], SIZES[4]
# The identity computes nothing: there is nothing to time.
NAMES = tuple(name for name in CATALOG if name != "identity")
KNOWN = tuple(name for name in NAMES if has_own(CATALOG[name]))
# Their composites at the largest size would take most of the time, and are the slower the larger the tensor.
LACKED = tuple(name for name in NAMES if name not in KNOWN)
# torch.compile takes seconds a function; these are the ones most used, and one of each kind.
COMPILED = ("relu", "gelu", "gelu_tanh", "silu", "mish", "elu", "softplus", "phish", "swiglu", "softmax")

# The points at which PyTorch's errors are compared with the bound: every tail, in a tenth of a second.
POINTS = 4000

# How often the cases whose copy was unsteady are timed again when all others are done.
AGAIN = 2

# Atoms that take one exponential and no other series.
EXP_CLASS = frozenset({"exp", "expm1", "sigmoid", "tanh", "normal_pdf"})
PLAIN = frozenset({"abs", "sign", "min", "max", "sqrt"})


@dataclass(frozen=True)
class Part:
    """A part of what is measured, of every name it is for."""

    sizes: tuple[int, ...]
    dtypes: tuple[str, ...] = ("float32",)
    threads: int = 1
    directions: tuple[Direction, ...] = ("forward", "backward", "both")
    modes: tuple[Mode, ...] = ("accurate",)
    against: tuple[str, ...] = ("eager",)
    names: tuple[str, ...] = NAMES
    seconds: float = 0.3
    attempts: int = 2

    def cases(self, name: str) -> Iterator[Case]:
        act = CATALOG[name]
        whole = tuple(way for way in self.directions if way != "out" or isinstance(act, Activation))
        for dtype, size in product(self.dtypes, self.sizes if name in self.names and whole else ()):
            yield Case(name, act, dtype, size, self.threads, whole, self.modes, self.against)


PARTS = (
    Part(sizes=SIZES[:4], modes=("accurate", "fast")),
    Part(sizes=(LARGE,), modes=("accurate", "fast"), directions=("forward", "backward"), names=KNOWN, attempts=1),
    Part(sizes=(LARGE,), directions=("forward", "backward"), names=LACKED, seconds=0, attempts=1),
    Part(sizes=(LARGE,), dtypes=("float32", "bfloat16"), directions=("out",), against=()),
    Part(sizes=(MILLION,), dtypes=("float64", "bfloat16", "float16"), directions=("forward", "backward"), seconds=0.1),
    Part(sizes=(MILLION,), threads=2, seconds=0.2),
    Part(sizes=(MILLION,), against=("compile",), names=COMPILED),
)
# What can be measured alone: the rows of the fast mode's goal, in five minutes, and those of the page, in two.
ALONE: Mapping[str, tuple[Part, ...]] = {
    "fast": (
        Part(sizes=SIZES[2:4], modes=("fast",)),
        Part(sizes=(LARGE,), modes=("fast",), directions=("forward", "backward"), names=KNOWN, seconds=0.2, attempts=1),
    ),
    "page": (Part(sizes=(MILLION,), modes=("accurate", "fast"), directions=("both",)),),
}
QUICK = (
    Part(sizes=SIZES[:1], modes=("accurate", "fast"), names=("relu", "mish"), seconds=0),
    Part(sizes=SIZES[:1], dtypes=("bfloat16",), directions=("out",), against=(), names=("relu", "swiglu"), seconds=0),
)


@dataclass(frozen=True)
class Rows:
    """What was measured, found by contender, direction and size; rows beside an unsteady copy are left out."""

    speeds: Sequence[Speed]

    def of(
        self, contender: str, direction: str, *, elements: int = MILLION, dtype: str = "float32"
    ) -> dict[str, Speed]:
        asked = (contender, direction, elements, dtype, 1, True)
        found: dict[str, Speed] = {}
        for row in self.speeds:
            if (row.contender, row.direction, row.elements, row.dtype, row.threads, row.reported) == asked:
                found.setdefault(row.name, row)  # the first run, so that all contenders are of the same one
        return found

    def gains(self, contender: str, direction: str, *, elements: int = MILLION) -> dict[str, float]:
        """Return by name how many times as long PyTorch takes."""
        ours = self.of(contender, direction, elements=elements)
        theirs = self.of("eager", direction, elements=elements)
        return {name: theirs[name].seconds.median / row.seconds.median for name, row in ours.items() if name in theirs}


@dataclass(frozen=True)
class Goal:
    """A goal, the result, how many of how many meet it, the worst of them, and what misses it."""

    sentence: str
    found: str
    kept: int
    count: int
    worst: float
    misses: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        mark = "missed " if self.misses else "reached"
        return [f"{mark} {self.sentence}: {self.found}", *(f"          {miss}" for miss in self.misses)]


def goals(rows: Rows) -> list[Goal]:
    """Judge every goal of which something was measured."""
    made = (
        never_slower(rows, "actlab-fast", lambda name, way: True),
        never_slower(rows, "actlab", pytorch_is_exact),
        *(little_more(rows, contender) for contender in ("actlab", "actlab-fast")),
        on_average(rows, "torch.nn", least=2, sentence="what torch.nn has, geometric mean"),
        *(
            alone(rows, name, least=least)
            for name, least in (("mish", 6), ("gelu_tanh", 4), ("elu", 3), ("softplus", 3))
        ),
        on_average(rows, "", least=6, sentence="what PyTorch lacks, geometric mean"),
        near_a_copy(rows, 1.4, [name for name in NAMES if is_light(CATALOG[name])], "up to one exp-class atom"),
        near_a_copy(rows, 3.0, [name for name in NAMES if not is_light(CATALOG[name])], "the rest"),
        sixteen_bits(rows, least=1.5),
    )
    return [goal for goal in made if goal is not None]


def pytorch_is_exact(name: str, direction: str) -> bool:
    """Say whether PyTorch meets the bounds of the accurate mode, so that the two do the same work."""
    forward, backward = bounds_kept(name)
    return {"forward": forward, "backward": backward}.get(direction, forward and backward)


@cache
def bounds_kept(name: str) -> tuple[bool, bool]:
    """Say whether PyTorch's values, and its gradients, meet the bounds in float32, natively or as a composite."""
    act = CATALOG[name]
    if not isinstance(act, Activation):
        return True, True  # a certificate is for what is computed element by element
    made = eager(act, torch.float32)
    unpacked = (lambda *inputs: made.function(torch.cat(inputs, -1))) if made.is_packed else made.function
    found = certificate(name, function=unpacked, count=POINTS).measured
    return found.forward.is_within, found.backward is None or found.backward.is_within


def never_slower(rows: Rows, contender: str, counts: Callable[[str, str], bool]) -> Goal | None:
    found = {
        f"{name} {way} {size:,}": gain
        for size, way in product(SIZES[2:], ("forward", "backward", "both"))
        for name, gain in rows.gains(contender, way, elements=size).items()
        if counts(name, way)
    }
    return _at_least(found, 0.95, f"{contender} from 100,000 elements, times PyTorch")


def little_more(rows: Rows, contender: str) -> Goal | None:
    found = {}
    for size, way in product(SIZES[:2], ("forward", "backward", "both")):
        theirs = rows.of("eager", way, elements=size)
        for name, row in rows.of(contender, way, elements=size).items():
            if name in theirs:
                found[f"{name} {way} {size:,}"] = (row.seconds.median - theirs[name].seconds.median) * 1e6
    return _at_most(found, 5.0, f"{contender} below 100,000 elements, µs more than PyTorch")


def on_average(rows: Rows, whose: str, *, least: float, sentence: str) -> Goal | None:
    gains = {name: gain for name, gain in rows.gains("actlab", "both").items() if has_own(CATALOG[name]) == whose}
    if not gains:
        return None
    mean = geometric_mean(gains.values())
    slowest = sorted(gains, key=gains.__getitem__)[:8]
    behind = (f"the least: {', '.join(f'{name} {gains[name]:.2f}' for name in slowest)}",)
    sentence = f"1,000,000 elements forward and backward, {sentence} >= {least:g}"
    reached = mean >= least
    return Goal(sentence, f"{mean:.2f} of {len(gains)}", int(reached), 1, mean, () if reached else behind)


def alone(rows: Rows, name: str, *, least: float) -> Goal | None:
    gain = rows.gains("actlab", "both").get(name)
    return (
        None
        if gain is None
        else _at_least({name: gain}, least, f"1,000,000 elements of {name}, forward and backward, times PyTorch")
    )


def is_light(act: AnyActivation) -> bool:
    """Say whether the formula holds at most one costly atom, and that of the class of an exponential."""
    nodes = set(walk(act.formula)) if isinstance(act, Activation) else set()
    costly = [node.atom for node in nodes if isinstance(node, Call) and node.atom not in PLAIN]
    return len(costly) <= 1 and EXP_CLASS.issuperset(costly)


def near_a_copy(rows: Rows, most: float, names: Iterable[str], which: str) -> Goal | None:
    found = {
        name: row.in_copies for name, row in rows.of("actlab", "out", elements=LARGE).items() if name in set(names)
    }
    return _at_most(found, most, f"16,000,000 elements into an existing output, copies, {which}")


def sixteen_bits(rows: Rows, *, least: float) -> Goal | None:
    half = rows.of("actlab", "out", elements=LARGE, dtype="bfloat16")
    found = {
        name: row.seconds.median / half[name].seconds.median
        for name, row in rows.of("actlab", "out", elements=LARGE).items()
        if name in half
    }
    return _at_least(found, least, "16,000,000 elements of bfloat16, times the rate of float32")


def _at_least(found: Mapping[str, float], least: float, sentence: str) -> Goal | None:
    if not found:
        return None
    worst = min(found, key=found.__getitem__)
    misses = sorted((value, what) for what, value in found.items() if value < least)
    return _judged(f"{sentence} >= {least:g}", found, worst, misses)


def _at_most(found: Mapping[str, float], most: float, sentence: str) -> Goal | None:
    if not found:
        return None
    worst = max(found, key=found.__getitem__)
    misses = sorted(((value, what) for what, value in found.items() if value > most), reverse=True)
    return _judged(f"{sentence} <= {most:g}", found, worst, misses)


def _judged(sentence: str, found: Mapping[str, float], worst: str, misses: Sequence[tuple[float, str]]) -> Goal:
    kept = len(found) - len(misses)
    return Goal(
        sentence,
        f"{kept} of {len(found)}, the worst {worst} with {found[worst]:.3g}",
        kept,
        len(found),
        found[worst],
        tuple(f"{what} {value:.3g}" for value, what in misses),
    )


def rows_of(speeds: Iterable[Speed]) -> list[Timing]:
    return [
        timing(
            "speed",
            row.name,
            row.contender,
            measured=row.seconds,
            copy=row.copy,
            reported=row.reported,
            mode=row.mode,
            direction=row.direction,
            dtype=row.dtype,
            threads=row.threads,
            shape=str(row.elements),
        )
        for row in speeds
    ]


@dataclass(frozen=True)
class Reached:
    """A goal as a row: how many of how many measured things reach it, and the worst of them."""

    goal: str
    reached: int
    count: int
    worst: float
    device: str
    versions: str
    commit: str
    date: str


def goal_rows(found: Iterable[Goal]) -> list[Reached]:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    where = device_name("cpu"), versions(), commit(), when
    return [Reached(goal.sentence, goal.kept, goal.count, float(f"{goal.worst:.4g}"), *where) for goal in found]


def steadied(unsteady: Sequence[tuple[Part, Case]], *, asked: Options) -> list[Speed]:
    """Time the unsteady cases again, and replace their rows if the copy is steady this time."""
    speeds: list[Speed] = []
    for _ in range(AGAIN):
        left = []
        for part, case in unsteady:
            found = timed(case, seconds=part.seconds, attempts=part.attempts)
            if not all(row.reported for row in found):
                left.append((part, case))
                continue
            keep("speed", rows_of(found), asked=asked)
            speeds += found
        unsteady = left
    return speeds


def measured(parts: Sequence[Part], *, asked: Options) -> list[Speed]:
    """Measure all speeds and save each function's rows at once, so that an interrupted run keeps what it has."""
    speeds: list[Speed] = []
    unsteady: list[tuple[Part, Case]] = []
    names = [name for name in NAMES if any(name in part.names for part in parts)]
    try:
        for done, name in enumerate(names, start=1):
            found = []
            for part in parts:
                for case in part.cases(name):
                    rows = timed(case, seconds=part.seconds, attempts=part.attempts)
                    found += rows
                    if not all(row.reported for row in rows):
                        unsteady.append((part, case))
            keep("speed", rows_of(found), asked=asked)
            speeds += found
            print(f"{done} of {len(names)}: {name}", file=sys.stderr)
        speeds += steadied(unsteady, asked=asked)
    except KeyboardInterrupt:
        print("Interrupted; the rows of the finished functions are saved.", file=sys.stderr)
    return speeds


Row = Mapping[str, str]
Medians = dict[tuple[str, str], float]


def medians(rows: Iterable[Row]) -> Medians:
    """Return the latest medians by function and contender; later rows stand for earlier ones."""
    asked = ("both", "float32", "1", str(MILLION), "True")
    return {
        (row["name"], row["contender"]): float(row["median"])
        for row in rows
        if (row["direction"], row["dtype"], row["threads"], row["shape"], row["reported"]) == asked
    }


def _gains(found: Medians, contender: str) -> dict[str, float]:
    """Return by function how many times as long PyTorch takes."""
    return {
        name: found[name, "eager"] / found[name, contender]
        for name in NAMES
        if (name, contender) in found and (name, "eager") in found
    }


def sorted_by_speed(found: Medians, *, device: str) -> list[str]:
    """Sort the functions into sentences."""
    accurate, fast = _gains(found, "actlab"), _gains(found, "actlab-fast")
    ordered = sorted((name for name in KNOWN if name in accurate), key=lambda name: -accurate[name])
    lacked = [gain for name, gain in accurate.items() if name not in KNOWN]

    def listed(names: Iterable[str]) -> str:
        shown = (f"{name} {accurate[name]:.2f}{in_fast(name)}" for name in names)
        return ", ".join(shown) or "none"

    def in_fast(name: str) -> str:
        return f" (fast {fast[name]:.2f})" if accurate[name] < FASTER < fast.get(name, 0) / accurate[name] else ""

    slow = [name for name in ordered if accurate[name] < SLOWER]
    exact = [name for name in slow if not pytorch_is_exact(name, "both")]
    groups = {
        "**faster:**": [name for name in ordered if accurate[name] > FASTER],
        "**as fast:**": [name for name in ordered if SLOWER <= accurate[name] <= FASTER],
        "**slower because more exact** (PyTorch breaks the accurate mode's bound):": exact,
        "**slower:**": [name for name in slow if name not in exact],
    }
    said = [f"- {head} {listed(names)}" for head, names in groups.items()]
    if lacked:
        mean = geometric_mean(lacked)
        said.append(
            f"- **what PyTorch lacks**, beside its composite: {mean:.2f} in the geometric mean of {len(lacked)}"
        )
    size = f"{MILLION:,} elements of float32, forward and backward, one thread, {device}"
    return [
        *_broken(f"PyTorch's time divided by actlab's, {size}:"),
        "",
        *(each for one in said for each in _broken(one)),
    ]


def _broken(line: str) -> list[str]:
    """Break a line at its width, and indent what follows in a list."""
    indent = "  " if line.startswith("- ") else ""
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def with_list(page: str, results: Path) -> str:
    """Replace the list between the page's marks by that of the last machine's latest rows."""
    with results.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    device = next(row["device"] for row in reversed(rows) if row["contender"] == "actlab")
    found = medians(row for row in rows if row["device"] == device)
    said = sorted_by_speed(found, device=device.removeprefix("cpu: "))
    before, _, rest = page.partition(BEGIN)
    return "\n".join([f"{before}{BEGIN}", "", *said, "", END]) + rest.partition(END)[2]


BEGIN, END = "<!-- by bench/speed.py from bench/results/speed.csv -->", "<!-- end -->"
# Within these, the two are as fast as each other.
SLOWER, FASTER = 0.95, 1.05
WIDTH = 140


def main() -> None:
    asked = options(__doc__ or "", parts=tuple(ALONE))
    parts = QUICK if asked.quick else ALONE.get(asked.only, PARTS)
    usable = [replace(part, threads=min(part.threads, cores())) for part in parts]
    speeds = measured(usable, asked=asked)
    doubtful = [row for row in speeds if not row.reported]
    print(f"{len(speeds)} rows; beside {len(doubtful)} the copy was unsteady, and they count for no goal")
    judged = goals(Rows(speeds))
    keep("speed_goals", goal_rows(judged), asked=asked)
    for goal in judged:
        print("\n".join(goal.lines()))
    if asked.results == ROOT / "bench" / "results":
        page = ROOT / "docs" / "speed.md"
        page.write_text(with_list(page.read_text(encoding="utf-8"), asked.results / "speed.csv"), encoding="utf-8")


if __name__ == "__main__":
    main()
