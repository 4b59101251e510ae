"""How often does a comparison claim a difference that is not there, and how often does it find one that is?

A pool of real trials of one activation is trained for each task: many seeds, every rate that the protocol may reach.
Studies are then drawn from it: identical arms get disjoint seeds of the pool, and each study goes through the whole
protocol, from the choice of the rates and the extension of their range to Holm's correction. Any better or worse
verdict is false. Then a known effect is added to one arm, and the share of studies that find it is the power.

`--only aa` draws such studies; `--only builds` draws them from four arms that are identical but for the random numbers
drawn while they are built, on the same seeds and splits; `--only masters` runs whole studies with one master seed
after the other, and counts contradictions between their verdicts. The trials are stored, so that an interrupted run
goes on where it stopped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from harness import ROOT, Options, commit, device_name, keep, options, versions
from scipy.stats import beta
from torch import nn

from actlab.study.arm import Arm
from actlab.study.choice import chosen, extension
from actlab.study.compare import compare, prepare
from actlab.study.outcome import Outcome
from actlab.study.plan import EXTENSION, MOST_EXTENSIONS, Plan, Trial
from actlab.study.power import seeds_needed
from actlab.study.runner import LocalRunner
from actlab.study.store import Store
from actlab.study.verdict import BETTER, WORSE, judge
from actlab.train.builtin import builtin_task
from actlab.train.mlp import mlp
from actlab.train.split import Division, Standardized
from actlab.train.table import table_task
from actlab.train.task import Task

POOL = 120
"""Seeds of a pool: a study of nine arms and nine seeds takes 81 of them."""

STUDIES = 1000
ARMS = (2, 5, 9)
EFFECTS = (1.0, 2.0, 4.0)
"""Known effects, in regions of practical equivalence."""

MASTERS = 20
CANDIDATES = ("silu", "gelu", "tanh", "elu")
BUILDS = 4

RUNS = Path(os.environ.get("ACTLAB_AA_RUNS", ROOT / "bench" / "results" / ".aa-runs.db"))


@dataclass(frozen=True)
class Row:
    """How many of the studies made a claim, with the Clopper-Pearson interval of the share."""

    question: str
    task: str
    arms: int
    seeds: int
    effect: float
    claims: int
    studies: int
    share: float
    low: float
    high: float
    proved: int
    note: str
    device: str
    versions: str
    commit: str
    date: str


@dataclass(frozen=True)
class Pool:
    """Real trials of one task: by arm, all the rates that the protocol may reach with every seed."""

    task: Task
    plan: Plan
    trials: Mapping[Trial, Outcome]


def tasks() -> Iterator[Callable[[], Task]]:
    """Yield the five small real tasks."""
    for name in ("digits-relu", "diabetes", "breast-cancer"):
        yield partial(builtin_task, name)
    yield wine
    table = Path(os.environ.get("ACTLAB_AA_TABLE", ROOT.parent / "shared" / "data" / "phoneme.csv"))
    if table.exists():
        yield partial(few_rows, table)


def wine() -> Task:
    """Three vineyards' wines, 178 rows of 13 measurements: of the size of the wheat seeds."""
    from sklearn.datasets import load_wine
    from torch import from_numpy

    from actlab.train.examples import examples
    from actlab.train.split import divided

    inputs, targets = load_wine(return_X_y=True)
    rows = examples((from_numpy(inputs), from_numpy(targets)), part="wine")
    parts = divided(Standardized(Division(rows)), 0)
    named = {part: parts[part] for part in ("train", "valid", "test")}
    return Task("wine", partial(mlp, nn.ReLU, sizes=(13, 32, 32, 3)), **named, epochs=20, batch_size=16)


def few_rows(table: Path) -> Task:
    """The first rows of a table, about as many as abalone has."""
    import pandas as pd

    short = RUNS.with_name(".aa-rows") / table.name
    short.parent.mkdir(exist_ok=True)
    pd.read_csv(table).sample(2000, random_state=0).to_csv(short, index=False)
    return table_task(str(short), target=pd.read_csv(table).columns[-1])


def pool(task: Task, *, seeds: int, store: Store, arms: Sequence[Arm] = ()) -> Pool:
    """Train the trials of the control, or of these arms, that the store does not hold yet."""
    study = prepare(task, candidates=list(arms) or ["tanh" if task.activation != "tanh" else "relu"], seeds=seeds)
    plan = study.plan
    number, _ = store.resume(f"pool of {len(arms)} {task.name}", plan)
    most = EXTENSION * MOST_EXTENSIONS
    names = plan.arms if arms else plan.arms[:1]
    cells = [
        Trial(arm, point, seed)
        for arm in names
        for point in range(-most, len(plan.points) + most)
        for seed in plan.seeds
    ]
    done = store.outcomes(number)
    left = [cell for cell in cells if cell not in done]
    with LocalRunner(os.cpu_count() or 1).crew(study.setting) as crew:
        for finished, outcome in enumerate(crew(left), start=1):
            store.keep(number, outcome)
            done[outcome.trial] = outcome
            if finished % 200 == 0:
                print(f"{task.name}: {finished} of {len(left)} trials", flush=True)
    return Pool(task, plan, done)


def drawn(found: Pool, *, arms: int, seeds: int, chance: np.random.Generator) -> tuple[Plan, dict[Trial, Outcome]]:
    """Draw a study of identical arms: each has disjoint seeds of the pool."""
    plan = _plan(found.plan, arms=[f"arm{number}" for number in range(arms)], seeds=seeds)
    taken = chance.permutation(len(found.plan.seeds))[: arms * seeds].reshape(arms, seeds)
    source = found.plan.arms[0]
    return plan, _renamed(
        found, plan, lambda arm, seed: (source, found.plan.seeds[taken[plan.arms.index(arm)][plan.seeds.index(seed)]])
    )


def drawn_together(found: Pool, *, seeds: int, chance: np.random.Generator) -> tuple[Plan, dict[Trial, Outcome]]:
    """Draw a study of the pool's own arms, all with the same seeds and splits."""
    plan = _plan(found.plan, arms=list(found.plan.arms), seeds=seeds)
    order = chance.permutation(len(plan.arms))  # no arm is the control more often than another
    taken = chance.permutation(len(found.plan.seeds))[:seeds]

    def source(arm: str, seed: int) -> tuple[str, int]:
        return found.plan.arms[order[plan.arms.index(arm)]], found.plan.seeds[taken[plan.seeds.index(seed)]]

    return plan, _renamed(found, plan, source)


def _plan(plan: Plan, *, arms: list[str], seeds: int) -> Plan:
    looks = (replace(plan.looks[0], seeds=seeds),)
    return replace(plan, arms=tuple(arms), seeds=tuple(range(seeds)), looks=looks)


def _renamed(found: Pool, plan: Plan, source: Callable[[str, int], tuple[str, int]]) -> dict[Trial, Outcome]:
    points = {trial.point for trial in found.trials}
    return {
        Trial(arm, point, seed): found.trials[Trial(source(arm, seed)[0], point, source(arm, seed)[1])]
        for arm in plan.arms
        for seed in plan.seeds
        for point in points
    }


def claims(task: Task, plan: Plan, done: Mapping[Trial, Outcome], *, effect: float = 0.0) -> tuple[bool, bool]:
    """Return whether a study claims better or worse, and whether it proves any difference.

    `effect` is added to the second arm, in regions of practical equivalence.
    """
    points = tuple(range(len(plan.points)))
    while True:
        region = task.metric.region(mean(done[trial].valid for trial in plan.cells(points, look=0)))
        more = extension(plan, done, points=points, metric=task.metric, region=region)
        if not more:
            break
        points = tuple(sorted((*points, *more)))
    choices = chosen(plan, done, points=points, look=0, metric=task.metric)
    tests = {
        arm: [done[Trial(arm, point, seed)].test for point, seed in zip(choices[arm], plan.seeds, strict=True)]
        for arm in plan.arms
    }
    region = task.region(mean(tests[plan.control]))
    tests[plan.arms[1]] = [value + effect * region for value in tests[plan.arms[1]]]
    found = judge(tests, metric=task.metric, region=region, alpha=plan.looks[0].alpha, seed=None)
    shown = [found[plan.arms[1]]] if effect else list(found.values())
    is_claimed = any(each.verdict in (BETTER, WORSE) for each in shown)
    return is_claimed, any(each.difference.adjusted_p <= plan.looks[0].alpha for each in shown)


def row(question: str, outcomes: Sequence[tuple[bool, bool]], plan: Plan, *, effect: float, note: str) -> Row:
    """Return the share of claims with its interval."""
    count, studies = sum(claimed for claimed, _ in outcomes), len(outcomes)
    low = beta.ppf(0.025, count, studies - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, studies - count) if count < studies else 1.0
    found = Row(
        question=question,
        task=plan.task,
        arms=len(plan.arms),
        seeds=len(plan.seeds),
        effect=effect,
        claims=count,
        studies=studies,
        share=count / studies,
        low=float(low),
        high=float(high),
        proved=sum(proved for _, proved in outcomes),
        note=note,
        device=device_name("cpu"),
        versions=versions(),
        commit=commit(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    print(
        f"{question}: {plan.task}, {len(plan.arms)} arms, {len(plan.seeds)} seeds, effect {effect:g}: {count} of"
        f" {studies} claim a difference, {100 * found.low:.1f} to {100 * found.high:.1f} %; proved {found.proved}",
        flush=True,
    )
    return found


def disjoint(asked: Options, store: Store) -> Iterator[Row]:
    """Draw studies of identical arms on disjoint seeds, and of arms with a known effect."""
    for make in (wine,) if asked.quick else tasks():
        found = pool(make(), seeds=12 if asked.quick else POOL, store=store)
        note = f"{found.plan.splits} splits; pool of {len(found.plan.seeds)} seeds"
        for arms in (2,) if asked.quick else ARMS:
            seeds = seeds_needed(arms - 1, alpha=found.plan.looks[0].alpha)
            chance = np.random.default_rng(arms)
            for effect in (0.0, *EFFECTS):
                studies = 20 if asked.quick else STUDIES if not effect else STUDIES // 5
                drawn_studies = (drawn(found, arms=arms, seeds=seeds, chance=chance) for _ in range(studies))
                outcomes = [claims(found.task, plan, done, effect=effect) for plan, done in drawn_studies]
                plan, _ = drawn(found, arms=arms, seeds=seeds, chance=chance)
                yield row("known effect" if effect else "identical arms", outcomes, plan, effect=effect, note=note)


class Drawing:
    """Builds a ReLU and draws random numbers first, so that the weights which are drawn later differ."""

    def __init__(self, numbers: int) -> None:
        self.numbers = numbers

    def __call__(self) -> nn.Module:
        torch.rand(self.numbers)
        return nn.ReLU()


def _taking(activation: Callable[[], nn.Module], *, sizes: Sequence[int]) -> nn.Module:
    return mlp(activation, sizes=tuple(sizes))


def builds(asked: Options, store: Store) -> Iterator[Row]:
    """Draw studies of arms that differ in the random numbers drawn while they are built, on the same seeds."""
    if asked.quick:
        return
    task = replace(builtin_task("digits-relu"), model=partial(_taking, sizes=(64, 64, 64, 10)), origin=())
    arms = [Arm(f"relu after {number} numbers", Drawing(number)) for number in range(1, BUILDS)]
    found = pool(task, seeds=60, store=store, arms=arms)
    chance = np.random.default_rng(0)
    seeds = seeds_needed(BUILDS - 1, alpha=found.plan.looks[0].alpha)
    studies = [drawn_together(found, seeds=seeds, chance=chance) for _ in range(STUDIES)]
    outcomes = [claims(task, plan, done) for plan, done in studies]
    yield row("identical arms, built differently", outcomes, studies[0][0], effect=0.0, note=found.plan.splits)


def masters(asked: Options, store: Store) -> Iterator[Row]:
    """Run whole studies with one master seed after the other, and count those that contradict an earlier one."""
    if asked.quick:
        return
    task = builtin_task("digits-relu")
    verdicts: list[dict[str, str]] = []
    plan = None
    for master in range(MASTERS):
        found = compare(
            task,
            candidates=list(CANDIDATES),
            seeds=9,
            seed=master,
            store=RUNS,
            name=f"master {master}",
            resume=True,
            runner=LocalRunner(os.cpu_count() or 1),
        )
        verdicts.append({arm.activation: arm.verdict for arm in found.arms[1:]})
        plan = found.plan
        print(f"master seed {master}: {verdicts[-1]}; {found.verdict}", flush=True)
    assert plan is not None
    outcomes = [(contradicts(each, verdicts), BETTER in each.values() or WORSE in each.values()) for each in verdicts]
    yield row("contradiction between master seeds", outcomes, plan, effect=0.0, note="proved: any better or worse")


def contradicts(one: Mapping[str, str], others: Sequence[Mapping[str, str]]) -> bool:
    """Return whether another study calls an arm worse that this one calls better, or the other way round."""
    return any({one[arm], other[arm]} == {BETTER, WORSE} for other in others for arm in one)


PARTS = {"aa": disjoint, "builds": builds, "masters": masters}


def main(asked: Options) -> None:
    with Store(None if asked.quick else RUNS) as store:
        for name, part in PARTS.items():
            if asked.only in ("", name):
                for each in part(asked, store):
                    keep("aa", [each], asked=asked)


if __name__ == "__main__":
    main(options(__doc__ or "", parts=tuple(PARTS)))
