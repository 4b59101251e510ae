"""What does a comparison cost beside its training?

The first row is the share of the processor time of a study of 1,000 trials, with its report, that is not spent in the
crew that trains. The second is the processor time of a whole `actlab compare` in two processes, all of them counted,
whose training takes next to none: what starting and ending costs.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness import Options, Row, options, percentiles_of, record, row

from actlab.report.page import write_report
from actlab.study.compare import prepare, run_study
from actlab.study.outcome import Outcome
from actlab.study.plan import Trial
from actlab.study.runner import Claim, Crew, LocalRunner, Setting
from actlab.study.store import Store
from actlab.train.builtin import builtin_task
from actlab.verbs.comparing import provenance

CANDIDATES = ("tanh", "gelu", "silu", "elu")
SEEDS = 25
"""With five arms and eight learning rates these are 1,000 trials."""

QUESTION = "comparison overhead"
TASK = """
import torch
from torch import nn
import actlab

def model(activation):
    return nn.Sequential(nn.Linear(2, 4), activation(), nn.Linear(4, 2))

def task():
    rows = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    return actlab.Task("small", model, train=(rows, (rows.sum(1) > 0).long()), epochs=1)
"""


@dataclass
class TimedRunner:
    """Runs trials here and notes the processor time of their training."""

    seconds: float = 0.0
    trials: int = 0
    inner: LocalRunner = field(default_factory=LocalRunner)

    def notes(self, setting: Setting) -> tuple[str, ...]:
        return self.inner.notes(setting)

    @contextmanager
    def crew(self, setting: Setting) -> Iterator[Crew]:
        with self.inner.crew(setting) as crew:

            def timed(trials: Sequence[Trial], claim: Claim) -> Iterator[Outcome]:
                outcomes = crew(trials, claim)
                while True:
                    start = time.process_time()
                    outcome = next(outcomes, None)
                    self.seconds += time.process_time() - start
                    if outcome is None:
                        return
                    self.trials += 1
                    yield outcome

            yield timed


def beside_training(*, asked: Options) -> Row:
    """Measure the share of a study's processor time that is not training."""
    runner, seeds = TimedRunner(), 2 if asked.quick else SEEDS
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        study = prepare(builtin_task("digits-relu"), candidates=CANDIDATES, seeds=seeds, budget=1 if asked.quick else 8)
        with Store(Path(folder) / "runs.db") as store:
            found = run_study(study, store=store, name="digits", runner=runner)
        write_report(found, Path(folder) / "report.html", provenance=provenance(""))
        total = time.process_time() - start
    return row(
        QUESTION,
        "planning, storing, judging, step times and report",
        unit="share of the processor time of training",
        measured=percentiles_of([(total - runner.seconds) / runner.seconds]),
        note=f"digits-relu, {runner.trials} trials, {runner.seconds:.1f} s of training",
    )


def starting(*, asked: Options) -> Row:
    """Measure the processor time of a comparison that trains next to nothing."""
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "task.py").write_text(TASK)
        for number in range(asked.repeats(5)):
            command = [sys.executable, "-m", "actlab", "compare", "task.py:task", "--activations", "tanh"]
            command += ["--jobs", "2", "--store", f"runs-{number}.db"]
            before = used()
            done = subprocess.run([sys.executable, "-c", REAPER, *command], cwd=folder, capture_output=True, text=True)
            assert not done.returncode, done.stderr
            taken.append(used() - before)
    return row(
        QUESTION,
        "a whole comparison of two arms on a tiny task",
        unit="s of processor time",
        measured=percentiles_of(taken),
        note="actlab compare with two processes, all of them counted",
    )


REAPER = """
import ctypes, os, subprocess, sys
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
code = subprocess.run(sys.argv[1:]).returncode
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
sys.exit(code)
"""
"""Runs a command and waits for all that it left behind, so that their time is counted too (Linux)."""


def used() -> float:
    """Return the processor time of this process's ended children."""
    times = resource.getrusage(resource.RUSAGE_CHILDREN)
    return times.ru_utime + times.ru_stime


def main() -> None:
    asked = options(__doc__ or "")
    record("overhead", [starting(asked=asked), beside_training(asked=asked)], asked=asked)


if __name__ == "__main__":
    main()
