"""How much does `kill -9` lose? Kill a study at random moments, resume it, and compare its report with one left alone.

Two processes work on each study and share its trials; one or both are killed, again and again, until the study ends.
The script fails if a stored trial is lost or run again, or if the report differs in more than its times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
from torch import nn

from actlab.study.arm import Arm
from actlab.study.compare import Study, prepare, run_study
from actlab.study.outcome import Outcome
from actlab.study.plan import Trial
from actlab.study.runner import Claim, Crew, Setting, carry_out, claimed
from actlab.study.store import Store
from actlab.train.mlp import mlp
from actlab.train.task import Task

KILLS = 200
QUICK_KILLS = 5
WORKERS = 2
LONGEST = 0.6
"""The longest time from a start to a kill, in seconds; a whole study takes about one."""


@dataclass(frozen=True)
class Killed:
    """What one study went through.

    Attributes:
        kills: how many processes were killed.
        trials: the number of its trials.
        started: how many trials were started, again after a kill.
        lost: how many trials were stored and not found again.
        repeated: how many trials were stored twice.
        is_same: whether its report is that of a study left alone, times apart.
    """

    kills: int
    trials: int
    started: int
    lost: int
    repeated: int
    is_same: bool


@dataclass(frozen=True)
class NotingRunner:
    """Runs trials here, and notes in a file when one starts and when it is stored."""

    notes_file: Path

    @contextmanager
    def crew(self, setting: Setting) -> Iterator[Crew]:
        yield partial(self._run, setting)

    def _run(self, setting: Setting, trials: Sequence[Trial], claim: Claim) -> Iterator[Outcome]:
        with self.notes_file.open("a", buffering=1) as notes:
            for (trial,) in claimed([(each,) for each in trials], claim):
                notes.write(f"started {trial}\n")
                yield carry_out(setting, trial)
                notes.write(f"stored {trial}\n")

    def notes(self, setting: Setting) -> tuple[str, ...]:
        return ()


def study() -> Study:
    """Prepare a study of short trials: 24, and 24 more as its range of rates is extended."""
    inputs = np.random.default_rng(0).normal(size=(60, 2))
    train = (inputs, (inputs.sum(1) > 0).astype(int))
    model = partial(mlp, nn.ReLU, sizes=(2, 8, 2))
    task = Task("dots", model, train=train, epochs=4, batch_size=20, rates=(3e-3, 3e-2))
    return prepare(task, candidates=[Arm("tanh", nn.Tanh)], seeds=6, budget=2)


def report_of(prepared: Study, folder: Path) -> dict[str, Any]:
    """Run the study, or what is left of it, and return its report without times."""
    with Store(folder / "runs.db") as store:
        found = run_study(prepared, store=store, name="dots", resume=True, runner=NotingRunner(folder / "notes"))
    return json.loads(json.dumps({**found.to_json(), "cost": None}))


def work(prepared: Study, folder: Path) -> None:
    """Run what is left of the study and write its report."""
    report = report_of(prepared, folder)
    (folder / f"{os.getpid()}.json").write_text(json.dumps(report))


def killed(prepared: Study, folder: Path, *, chance: random.Random, most: int, alone: dict[str, Any]) -> Killed:
    """Run a study with at most so many kills at random moments, and say what was lost."""
    # Forked: a process that imports everything anew starts in seconds.
    started = partial(get_context("fork").Process, target=work, args=(prepared, folder))
    kills, workers = 0, [started() for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    while all(worker.exitcode is None for worker in workers):
        time.sleep(chance.uniform(0, LONGEST))
        for place in chance.sample(range(WORKERS), chance.choice((1, WORKERS))) if kills < most else ():
            workers[place].kill()
            workers[place].join()
            if workers[place].exitcode == -signal.SIGKILL:
                kills += 1
                workers[place] = started()
                workers[place].start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit("a study ended with an error")
    return _found(folder, kills=kills, alone=alone)


def _found(folder: Path, *, kills: int, alone: dict[str, Any]) -> Killed:
    notes = Counter((folder / "notes").read_text().splitlines())
    stored = {line.removeprefix("stored "): count for line, count in notes.items() if line.startswith("stored")}
    with Store(folder / "runs.db") as store:
        kept = {str(trial) for trial in store.outcomes(1)}
    return Killed(
        kills=kills,
        trials=len(kept),
        started=sum(count for line, count in notes.items() if line.startswith("started")),
        lost=len(stored.keys() - kept),
        repeated=sum(count - 1 for count in stored.values()),
        is_same=all(json.loads(file.read_text()) == alone for file in folder.glob("*.json")),
    )


def main(asked: harness.Options) -> None:
    torch.set_num_threads(1)
    prepared, chance = study(), random.Random(0)
    most = QUICK_KILLS if asked.quick else KILLS
    found: list[Killed] = []
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "alone").mkdir()
        alone = report_of(prepared, Path(name) / "alone")
        while (left := most - sum(each.kills for each in found)) > 0:
            folder = Path(name) / str(len(found))
            folder.mkdir()
            found.append(killed(prepared, folder, chance=chance, most=left, alone=alone))
    harness.record("kills", [row(found)], asked=asked)
    if not all(is_sound(each) for each in found):
        raise SystemExit("a stored trial was lost or run again, or a report differs")


def is_sound(found: Killed) -> bool:
    """Return whether each kill lost one trial at most, the one that was running, and the report is the same."""
    return found.is_same and not found.lost and not found.repeated and found.started <= found.trials + found.kills


def row(found: Sequence[Killed]) -> harness.Row:
    lost = [(each.started - each.trials) / each.kills for each in found if each.kills]
    note = (
        f"{sum(each.kills for each in found)} kills in {len(found)} studies of {found[0].trials} trials:"
        f" {sum(each.lost for each in found)} stored trials lost, {sum(each.repeated for each in found)} run twice,"
        f" {sum(each.is_same for each in found)} reports the same"
    )
    return harness.row(
        "trials that a kill loses",
        f"{WORKERS} processes on one SQLite store",
        unit="trials",
        measured=harness.percentiles_of(lost),
        dtype="float32",
        note=note,
    )


if __name__ == "__main__":
    main(harness.options(__doc__.splitlines()[0]))
