"""Run trials: the protocol of a runner, and the runner of this machine."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, final

import torch

from actlab.errors import BadInput, BadStudy
from actlab.study.arm import Arm, model_of
from actlab.study.outcome import Outcome
from actlab.study.places import Places
from actlab.study.plan import PER_SEED, Plan, Trial
from actlab.train.load import Directions, directions_to
from actlab.train.loop import train
from actlab.train.task import Task


@dataclass(frozen=True)
class Setting:
    """What all trials of a study have in common.

    Attributes:
        task: the task to learn.
        arms: the arms, by name.
        where: the activations of the model; None if its factory takes the activation.
        plan: the plan, which says the learning rate of a point, and whether every seed has its own split of the rows.
    """

    task: Task
    arms: dict[str, Arm]
    where: Places | None
    plan: Plan

    def task_of(self, seed: int) -> Task:
        """Return the task with the split of the rows that a seed has."""
        return self.task.with_split(seed) if self.plan.splits == PER_SEED else self.task


Crew = Callable[[Sequence[Trial]], Iterator[Outcome]]
"""Runs trials and yields their outcomes as they end, in any order."""


class Runner(Protocol):
    """Runs trials, on this machine or elsewhere."""

    def crew(self, setting: Setting) -> AbstractContextManager[Crew]:
        """Return a context in which the trials of one study can be run."""

    def notes(self, setting: Setting) -> tuple[str, ...]:
        """Return what a reader should know about how these trials are run."""


def carry_out(setting: Setting, trial: Trial) -> Outcome:
    """Run one trial; its result does not depend on when and where.

    Raises:
        BadTask: the model or the loss raised.
    """
    start = time.perf_counter()
    task, rate = setting.task_of(trial.seed), setting.plan.rate(trial.point)
    model = model_of(task, setting.arms[trial.arm], where=setting.where, seed=trial.seed)
    run = train(model, task, rate=rate, seed=trial.seed)
    return Outcome(
        trial=trial,
        rate=rate,
        valid=run.valid,
        test=run.test,
        diverged=run.diverged,
        still_learning=run.still_learning,
        best=run.best,
        steps=run.steps,
        curve=run.curve,
        seconds=time.perf_counter() - start,
    )


@final
@dataclass(frozen=True)
class LocalRunner:
    """Runs trials on this machine, in this process or in several others.

    Each trial runs on one thread, so the numbers do not depend on `jobs`.

    Args:
        jobs: processes that train at once; with 1, this process does.

    Raises:
        BadInput: `jobs` is below 1.
    """

    jobs: int = 1

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise BadInput(f"jobs must be at least 1; got {self.jobs}.")

    def notes(self, setting: Setting) -> tuple[str, ...]:
        """Return why trials run one after another although several jobs were requested."""
        if self.jobs == 1 or _parcel(setting) is not None:
            return ()
        return (
            f"task '{setting.task.name}' cannot be sent to other processes, so its trials run one after another. Define"
            " its model at the top of a module, or load the task from a file.",
        )

    @contextmanager
    def crew(self, setting: Setting) -> Iterator[Crew]:
        """Return a context that runs trials; its processes end with it.

        Raises:
            BadStudy: a worker process died.
            BadTask: the model or the loss raised.
        """
        parcel = _parcel(setting) if self.jobs > 1 else None
        if parcel is None:
            yield partial(_one_by_one, setting)
            return
        with TemporaryDirectory(prefix="actlab-") as folder, _pool(self.jobs) as pool:
            # In a file: it may hold all of the data, which every trial would send again.
            path = Path(folder, "setting.pickle")
            path.write_bytes(parcel)
            yield partial(_in_pool, pool, path)


def _one_by_one(setting: Setting, trials: Sequence[Trial]) -> Iterator[Outcome]:
    for trial in trials:
        with one_thread():
            outcome = carry_out(setting, trial)
        yield outcome


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use one thread within a block, so that sums do not depend on the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _in_pool(pool: ProcessPoolExecutor, path: Path, trials: Sequence[Trial]) -> Iterator[Outcome]:
    try:
        with _without_interrupts():
            running = [pool.submit(_carry_out_there, trial, path) for trial in trials]
        for future in as_completed(running):
            yield future.result()
    except BrokenProcessPool as error:
        raise BadStudy(
            "a worker process died before its trial ended (out of memory, or killed; a script must call this under"
            " `if __name__ == '__main__':`). Finished trials are stored. Resume, or use one job."
        ) from error


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Open a pool of new processes, which an error or Ctrl-C ends at once."""
    known = set(multiprocessing.active_children())
    # A child forked after a parallel kernel has run may hang or die: children are spawned.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        # A running trial would delay the end by minutes; it is run again when the study is resumed.
        for child in set(multiprocessing.active_children()) - known:
            child.terminate()
        raise
    pool.shutdown()


def _end_with_parent() -> None:
    """End this process when the parent ends, which may be killed and leave its workers waiting."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start child processes that ignore Ctrl-C within a block, so that only the parent ends them.

    A child inherits from its start which signals are ignored; setting this in the child would be too late.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def _parcel(setting: Setting) -> bytes | None:
    """Pickle the setting for another process; return None if that is impossible.

    A task with an origin is sent as its origin, since functions of the user's own file cannot be pickled.
    """
    task = directions_to(setting.task) if setting.task.origin else setting.task
    try:
        return pickle.dumps((task, setting.arms, setting.where, setting.plan))
    except (pickle.PicklingError, AttributeError, TypeError):  # pickle raises any of the three
        return None


@lru_cache(maxsize=1)
def _unpacked(path: Path) -> Setting:
    torch.set_num_threads(1)
    task, arms, where, plan = pickle.loads(path.read_bytes())
    return Setting(task.followed() if isinstance(task, Directions) else task, arms, where, plan)


def _carry_out_there(trial: Trial, path: Path) -> Outcome:
    return carry_out(_unpacked(path), trial)
