"""Who carries out trials: the protocol, and a runner on this machine."""

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
from actlab.study.plan import CONFIRM, Trial
from actlab.train.load import Directions, directions_to
from actlab.train.loop import metric_on_test, train
from actlab.train.replace import Places
from actlab.train.task import Task


@dataclass(frozen=True)
class Setting:
    """What all trials of a study have in common.

    Attributes:
        task: what is learned.
        arms: the arms, by name.
        where: where the model has its activations; None where its factory takes them.
        rates: the learning rates, by point.
    """

    task: Task
    arms: dict[str, Arm]
    where: Places | None
    rates: tuple[float, ...]


Crew = Callable[[Sequence[Trial]], Iterator[Outcome]]
"""Gives what each trial gave, as they end, in any order."""


class Runner(Protocol):
    """Who carries out trials, here or elsewhere."""

    def crew(self, setting: Setting) -> AbstractContextManager[Crew]:
        """What carries out the trials of one study, for as long as the context lasts."""

    def notes(self, setting: Setting) -> tuple[str, ...]:
        """What should be said aloud about how these trials will be run."""


def carry_out(setting: Setting, trial: Trial) -> Outcome:
    """What one trial gives; the same whenever and wherever it is run.

    Raises:
        BadTask: the model or the loss raised.
    """
    start = time.perf_counter()
    task, rate = setting.task, setting.rates[trial.point]
    model = model_of(task, setting.arms[trial.arm], where=setting.where, seed=trial.seed)
    run = train(model, task, rate=rate, seed=trial.seed)
    test, diverged = None, run.diverged
    if trial.role == CONFIRM:
        test = None if diverged else metric_on_test(model, task)
        diverged = test is None
        test = task.baseline(task.test) if test is None else test
    seconds = time.perf_counter() - start
    return Outcome(trial, rate, run.valid, test, diverged, run.steps, run.curve, seconds)


@final
@dataclass(frozen=True)
class LocalRunner:
    """Trials on this machine, in this process or in a few others.

    Each trial has one thread, in whichever process it runs: so the numbers do not depend on `jobs`.

    Args:
        jobs: how many at a time; with 1, they run in this process.

    Raises:
        BadInput: `jobs` is below 1.
    """

    jobs: int = 1

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise BadInput(f"jobs must be at least 1; got {self.jobs}.")

    def notes(self, setting: Setting) -> tuple[str, ...]:
        """Why trials run one after another although several jobs were asked for, or nothing."""
        if self.jobs == 1 or _parcel(setting) is not None:
            return ()
        return (
            f"task '{setting.task.name}' cannot be sent to other processes (its model is a function within a"
            " function, or no origin is known): its trials run one after another.",
        )

    @contextmanager
    def crew(self, setting: Setting) -> Iterator[Crew]:
        """What carries out the trials; its processes end with the context.

        Raises:
            BadStudy: a worker process died.
            BadTask: the model or the loss raised.
        """
        parcel = _parcel(setting) if self.jobs > 1 else None
        if parcel is None:
            yield partial(_one_by_one, setting)
            return
        with TemporaryDirectory(prefix="actlab-") as folder, _pool(self.jobs) as pool:
            # In a file, since it may hold all of the data, and every trial would send it again.
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
    """A block in which PyTorch computes with one thread: sums come out the same on every machine's core count."""
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
            "a worker process died before its trial ended (out of memory, or killed; in a script, call this under"
            " `if __name__ == '__main__':`); what was done is kept. Resume, or use one job."
        ) from error


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes, which an error or Ctrl-C ends at once."""
    known = set(multiprocessing.active_children())
    # A child forked after a parallel kernel has run may hang or die: children are spawned.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        # A trial in flight would hold up the end by minutes; it is run again when the study is resumed.
        for child in set(multiprocessing.active_children()) - known:
            child.terminate()
        raise
    pool.shutdown()


def _end_with_parent() -> None:
    """Watch the parent from a thread: a parent that is killed outright would leave its workers waiting for ever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """A block whose child processes never see Ctrl-C: the parent alone ends them, without a word from each.

    Whether a signal is ignored is inherited by a child from its very start, before it could say so itself.
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
    """The setting as bytes for another process, or None where something in it cannot be sent.

    A task with an origin goes as the way to it, since functions of the user's own file cannot be pickled.
    """
    task = directions_to(setting.task) if setting.task.origin else setting.task
    try:
        return pickle.dumps((task, setting.arms, setting.where, setting.rates))
    except (pickle.PicklingError, AttributeError, TypeError):  # which of the three depends on what it meets
        return None


@lru_cache(maxsize=1)
def _unpacked(path: Path) -> Setting:
    torch.set_num_threads(1)
    task, arms, where, rates = pickle.loads(path.read_bytes())
    return Setting(task.followed() if isinstance(task, Directions) else task, arms, where, rates)


def _carry_out_there(trial: Trial, path: Path) -> Outcome:
    return carry_out(_unpacked(path), trial)
