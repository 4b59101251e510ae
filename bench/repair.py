"""How many faulty programs does `actlab fix` repair, and is it better than chance?

The programs are texts in `tests/corpus/trainings.py`: correct networks, and the same with one mistake. A mistake counts
if it is harmful: with six paired seeds the correct program is better by the exact test, and by more than the region of
practical equivalence. Then, for each harmful program,

- `mutants`: a repair with 40 runs: whether it is repaired by the definition of `actlab fix`, whether it then is as good
  as the correct program on fresh seeds, whether the diff gives the measured metric, and what it took;
- `budgets`: with 4, 8 and 16 runs, the change that the repair holds best against the best of as many random remedies,
  both on fresh seeds;
- `correct`: correct programs, of which nothing may be changed;
- `identity`: how often the test calls a training better than itself, on real runs with disjoint seeds.

Each program is stored as soon as it is done, so an interrupted run goes on where it stopped. A program takes 10 to 40
seconds on one core. `--programs 0` measures all, `--table` writes the table of `actlab fix --explain` from what is
stored.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from harness import ROOT, Options, commit, device_name, keep, options, versions
from scipy.stats import beta, binom

from actlab.errors import ActlabError
from actlab.remedy.apply import applied
from actlab.remedy.evidence import BETTER, EQUIVALENT, judge, level_of, pairs_needed
from actlab.remedy.facts import Facts
from actlab.remedy.fix import fix as repair
from actlab.remedy.handover import handover
from actlab.remedy.learned import DATA
from actlab.remedy.measured import Budget
from actlab.remedy.programs import training_of
from actlab.remedy.registry import every_proposal
from actlab.remedy.training import Origin, Training, diagnose, run
from actlab.study.signed_rank import SignedRank
from actlab.train.taskfile import file_task

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the programs are the tests' own
from corpus.trainings import BASES, Program, correct, mutants

RUNS = Path(os.environ.get("ACTLAB_REPAIR_RUNS", ROOT / "bench" / "results" / ".repair-runs.jsonl"))
HARM, TWIN, FRESH = range(100, 106), range(200, 206), range(300, 304)
"""The seeds that show the harm, that compare with the correct program, and that judge a choice."""

BUDGETS = (4, 8, 16)
PARTS = ("mutants", "budgets", "correct", "identity")
DEFAULT, QUICK = 24, 1
IDENTITIES = 1000
POOL = 40


@dataclass(frozen=True)
class Row:
    """A share of programs, or a mean, with its 95 % interval."""

    question: str
    group: str
    count: int
    unit: str
    low: float
    share: float
    high: float
    note: str
    device: str
    versions: str
    commit: str
    date: str


class Store:
    """What was measured, one JSON object a line; the last one of a key counts."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.known: dict[str, Any] = {}
        if file is not None and file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                found = json.loads(line)
                self.known[found["key"]] = found["value"]

    def of(self, key: str, measure: Callable[[], Any]) -> Any:
        """Return what is stored under a key; measure and store it if nothing is."""
        if key not in self.known:
            self.known[key] = measure()
            if self.file is not None:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                with self.file.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps({"key": key, "value": self.known[key]}) + "\n")
        return self.known[key]


def training_from(program: Program, folder: Path) -> Training:
    """Write the program to a file of its own and load it."""
    name = "".join(letter if letter.isalnum() else "_" for letter in program.name)
    file = folder / f"{name}.py"
    file.write_text(program.text, encoding="utf-8")
    return training_of(file_task(f"{file}:make_task"), origin=Origin(str(file), "make_task"))


def metrics(training: Training, seeds: Iterable[int]) -> list[float]:
    return [run(training, seed).metric for seed in seeds]


def gains(one: Sequence[float], other: Sequence[float], training: Training) -> list[float]:
    """Return by how much the first metrics are better, in regions of practical equivalence."""
    task = training.task
    width = max(task.region(mean(other), task.valid), 1e-12)
    return [task.metric.gain(value, over=against) / width for value, against in zip(one, other, strict=True)]


def harm_of(program: Program, folder: Path, store: Store) -> dict[str, Any]:
    """Return whether a mistake is harmful, and what the correct program scores."""
    base = next(each for each in BASES if each.name == program.name.partition("/")[0])
    right = store.of(f"base {base.name}", lambda: metrics(training_from(base, folder), HARM))

    def measured() -> dict[str, Any]:
        try:
            faulty = training_from(program, folder)
        except ActlabError as error:
            return {"harmful": False, "refused": str(error)}
        lost = gains(right, metrics(faulty, HARM), faulty)
        test = SignedRank(tuple(lost))
        return {"harmful": test.estimate > 0 and test.p / 2 <= 0.05 and mean(lost) > 1, "loss": mean(lost)}

    found: dict[str, Any] = store.of(f"harm {program.name}", measured)
    return found


def repaired(program: Program, folder: Path) -> dict[str, Any]:
    """Repair one program, and compare the result with the correct one."""
    start = training_from(program, folder)
    outcome = repair(start, budget=Budget(40, None))
    handed = handover(outcome)
    width = max(start.task.region(outcome.before.metric or 0.0, start.task.valid), 1e-12)
    found: dict[str, Any] = {
        "kind": program.kind,
        "verdict": outcome.verdict,
        "kept": [each.name for each in outcome.kept],
        "tier": max((each.tier for each in outcome.kept), default=None),
        "diff": handed.is_reproduced and not handed.lines,
        "runs": outcome.runs,
        "seconds": outcome.seconds,
        "tried": [
            {
                "remedies": [change.remedy for change in each.changes],
                "finding": each.finding,
                "kept": each.kept,
                "gain": None if each.difference is None else each.difference.mean / width,
            }
            for each in outcome.tried
        ],
        "twin": None,
    }
    if outcome.verdict == "repaired":
        base = next(each for each in BASES if each.name == program.name.partition("/")[0])
        right = training_from(base, folder)
        against = gains(metrics(outcome.training, TWIN), metrics(right, TWIN), right)
        (judged,) = judge([against], level=0.05, region=1.0)
        found["twin"] = judged.verdict in (BETTER, EQUIVALENT)
    return found


def at_budget(program: Program, folder: Path, budget: int) -> dict[str, float]:
    """Return the gain of the repair's choice and of random remedies after so many runs, both on fresh seeds."""
    start = training_from(program, folder)
    before = metrics(start, FRESH)
    outcome = repair(start, budget=Budget(budget, None))
    chosen = outcome.kept or outcome.best
    ours = metrics(applied(start, chosen).training, FRESH) if chosen else before
    drawn = random.Random(f"{program.name} {budget}")
    changes = list(every_proposal(Facts(start, diagnose(start))))
    drawn.shuffle(changes)
    best, score = start, run(start, 0).metric
    for change in changes[: budget - 1]:  # the unrepaired training is a run, too
        try:
            training = applied(start, (change,)).training
            found = run(training, 0).metric
        except Exception:  # a random change may not fit, and then was one run in vain
            continue
        if start.task.metric.is_better(found, than=score):
            best, score = training, found
    others = metrics(best, FRESH) if best is not start else before
    return {"ours": mean(gains(ours, before, start)), "random": mean(gains(others, before, start))}


def share(question: str, group: str, hits: int, count: int, note: str = "") -> Row:
    """Return a share with its exact interval."""
    low = float(beta.ppf(0.025, hits, count - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, count - hits)) if hits < count else 1.0
    return row(question, group, count, "share", low, hits / max(1, count), high, note)


def row(question: str, group: str, count: int, unit: str, low: float, value: float, high: float, note: str) -> Row:
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return Row(question, group, count, unit, low, value, high, note, device_name("cpu"), versions(), commit(), date)


def middle(question: str, values: Sequence[float], unit: str) -> Row:
    """Return a median with its interval by ranks."""
    ordered = sorted(values)
    low, high = ranks(len(ordered))
    return row(question, "all", len(ordered), unit, ordered[low], median(ordered), ordered[high], "median")


def ranks(count: int) -> tuple[int, int]:
    """Return the places of the values between which the median lies with at least 95 %, if there are enough."""
    low = int(binom.ppf(0.025, count, 0.5))
    return max(0, low - 1), min(count - 1, count - low)


def of_mutants(chosen: Sequence[Program], folder: Path, store: Store) -> list[Row]:
    found: list[dict[str, Any]] = []
    for program in chosen:
        value = store.of(f"repair {program.name}", lambda program=program: repaired(program, folder))
        print(
            f"{program.name:28} {value['verdict']:16} {value['runs']:3} runs {value['seconds']:6.1f} s  {value['kept']}"
        )
        found.append(value)
    good = [each for each in found if each["verdict"] == "repaired"]
    rows = [share("repaired", "all", len(good), len(found))]
    kinds = sorted({each["kind"] for each in found})
    rows += [share("repaired", kind, *_of_kind(found, kind)) for kind in kinds]
    if good:
        rows.append(
            share("as good as the correct program", "repaired", sum(bool(each["twin"]) for each in good), len(good))
        )
        literal = [each for each in good if each["tier"] in (0, 1, 3)]
        if literal:
            rows.append(share("diff reproduced", "tiers 0, 1, 3", sum(each["diff"] for each in literal), len(literal)))
        rows.append(middle("runs of a repair", [each["runs"] for each in good], "runs"))
        rows.append(middle("time of a repair", [each["seconds"] for each in good], "s"))
    return rows


def _of_kind(found: Sequence[dict[str, Any]], kind: str) -> tuple[int, int]:
    own = [each for each in found if each["kind"] == kind]
    return sum(each["verdict"] == "repaired" for each in own), len(own)


def of_budgets(chosen: Sequence[Program], folder: Path, store: Store, budgets: Sequence[int]) -> list[Row]:
    rows = []
    for budget in budgets:
        found = [
            store.of(
                f"budget {budget} {program.name}",
                lambda program=program, budget=budget: at_budget(program, folder, budget),
            )
            for program in chosen
        ]
        differences = tuple(each["ours"] - each["random"] for each in found)
        test = SignedRank(differences)
        ends = test.interval(0.05)
        low, high = (value if abs(value) < np.inf else test.estimate for value in (ends.low, ends.high))
        note = f"Hodges-Lehmann; p = {test.p:.3g}; ours {mean(each['ours'] for each in found):.2f}"
        rows.append(
            row("gain over random remedies", f"{budget} runs", len(found), "regions", low, test.estimate, high, note)
        )
    return rows


def of_correct(folder: Path, store: Store, most: int) -> list[Row]:
    programs = list(correct())
    found = []
    for program in programs[:most] if most else programs:
        found.append(store.of(f"correct {program.name}", lambda program=program: _changed(program, folder)))
        print(f"{program.name:28} {found[-1] or 'unchanged'}")
    return [share("changed though correct", "all", sum(map(bool, found)), len(found))]


def _changed(program: Program, folder: Path) -> list[str]:
    return [each.name for each in repair(training_from(program, folder), budget=Budget(40, None)).kept]


def of_identity(folder: Path, store: Store, pool: int, studies: int) -> list[Row]:
    values = store.of(f"pool {pool}", lambda: metrics(training_from(BASES[0], folder), range(1000, 1000 + pool)))
    level = level_of(0)
    pairs = pairs_needed(level, 1)
    draw = np.random.default_rng(0)
    better = 0
    for _ in range(studies):
        drawn = draw.permutation(values)[: 2 * pairs]
        (judged,) = judge([(drawn[:pairs] - drawn[pairs:]).tolist()], level=level, region=1e-9)
        better += judged.verdict == BETTER
    return [share("identity called better", BASES[0].name, better, studies, f"pool of {pool} runs")]


def write_table(store: Store) -> int:
    """Write the table of `actlab fix --explain` from the repairs that are stored."""
    by: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for key, value in store.known.items():
        if key.startswith("repair "):
            for each in value["tried"]:
                if len(each["remedies"]) == 1 and each["finding"]:
                    by[each["remedies"][0], each["finding"]].append(each)
    table = []
    for (remedy, finding), tried in sorted(by.items()):
        values = sorted(each["gain"] for each in tried if each["gain"] is not None)
        low, high = ranks(len(values)) if len(values) > 5 else (None, None)
        table.append(
            {
                "remedy": remedy,
                "finding": finding,
                "tried": len(tried),
                "kept": sum(each["kept"] for each in tried),
                "median": round(median(values), 3) if values else None,
                "low": None if low is None else round(values[low], 3),
                "high": None if high is None else round(values[high], 3),
            }
        )
    lines = ",\n".join(json.dumps(each) for each in table)
    (ROOT / "src" / "actlab" / "remedy" / DATA).write_text(f"[\n{lines}\n]\n" if table else "[]\n", encoding="utf-8")
    return len(table)


def sample(programs: Sequence[Program], folder: Path, store: Store, most: int) -> list[Program]:
    """Return harmful programs, in an order that does not depend on how many; `most` of them, or all."""
    mixed = list(programs)
    random.Random(0).shuffle(mixed)
    found: list[Program] = []
    for program in mixed:
        if most and len(found) >= most:
            break
        if harm_of(program, folder, store)["harmful"]:
            found.append(program)
    return found


def main() -> None:
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--programs", type=int, default=DEFAULT)
    own.add_argument("--table", action="store_true")
    mine, rest = own.parse_known_args()
    asked: Options = options(__doc__ or "", rest, parts=PARTS)
    torch.set_num_threads(1)
    store = Store(None if asked.quick else RUNS)
    if mine.table:
        print(f"{write_table(store)} rows written to {DATA}")
        return
    most = QUICK if asked.quick else mine.programs
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = [asked.only] if asked.only else list(PARTS)
        needs = {"mutants", "budgets"} & set(parts)
        programs = [each for each in mutants() if not asked.quick or each.name == "plain/softmax-out"]
        chosen = sample(programs, folder, store, most) if needs else []
        if "mutants" in parts and chosen:
            rows += of_mutants(chosen, folder, store)
        if "budgets" in parts and chosen:
            rows += of_budgets(chosen, folder, store, BUDGETS[:1] if asked.quick else BUDGETS)
        if "correct" in parts:
            rows += of_correct(folder, store, most)
        if "identity" in parts:
            rows += of_identity(folder, store, 2 * pairs_needed(level_of(0), 1) if asked.quick else POOL, IDENTITIES)
    for each in rows:
        ends = f"{each.share:8.3f} ({each.low:.3f} to {each.high:.3f})"
        print(f"{each.question:32} {each.group:20} {ends} of {each.count} {each.note}")
    keep("repair", rows, asked=asked)


if __name__ == "__main__":
    main()
