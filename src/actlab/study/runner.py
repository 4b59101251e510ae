"""Run trials: the protocol of a runner, and the runner of this machine."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import count, islice
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, final

import torch

from actlab.errors import BadInput, BadStudy
from actlab.study.arm import Arm
from actlab.study.lots import LotTrainer, Underway, lots_of
from actlab.study.lots import carry_out as carry_out
from actlab.study.outcome import Outcome
from actlab.study.places import Places
from actlab.study.plan import Plan, Trial
from actlab.study.setting import Setting as Setting
from actlab.train.lanes.decide import Decision
from actlab.train.load import Directions, directions_to
from actlab.train.task import Learnable

Claim = Callable[[Sequence[Trial]], Sequence[Trial]]
"""Returns those of some trials that are to be run here; the others are run, or were, by another process."""


def all_of(trials: Sequence[Trial]) -> Sequence[Trial]:
    """Return all trials: the claim of a process that shares its work with nobody."""
    return trials


class Crew(Protocol):
    """Runs trials and yields their outcomes as they end, in any order; claims each right before it starts."""

    def __call__(self, trials: Sequence[Trial], claim: Claim = all_of) -> Iterator[Outcome]:
        """Run those of the trials that can be claimed."""


def claimed(lots: Sequence[Sequence[Trial]], claim: Claim) -> Iterator[Sequence[Trial]]:
    """Yield what can be claimed of each lot, when it is asked for."""
    return filter(None, map(claim, lots))


class Runner(Protocol):
    """Runs trials, on this machine or elsewhere."""

    def crew(self, setting: Setting) -> AbstractContextManager[Crew]:
        """Return a context in which the trials of one study can be run."""

    def notes(self, setting: Setting) -> tuple[str, ...]:
        """Return what a reader should know about how these trials are run."""


@final
@dataclass(frozen=True)
class LocalRunner:
    """Runs trials on this machine, in this process or in several others, those of one arm together.

    Each trial runs on one thread, so the numbers do not depend on `jobs`.

    Args:
        jobs: processes that train at once; with 1, this process does.

    Attributes:
        decisions: how the runs of each arm went, and why, as far as they have begun.
        listeners: called at times with how far runs are that train together.

    Raises:
        BadInput: `jobs` is below 1.
    """

    jobs: int = 1
    decisions: dict[str, Decision] = field(default_factory=dict, init=False, repr=False, compare=False)
    listeners: list[Callable[[Underway], None]] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise BadInput(f"jobs must be at least 1; got {self.jobs}.")

    def notes(self, setting: Setting) -> tuple[str, ...]:
        """Return why trials run one after another although several jobs were requested, or not together."""
        notes = []
        if self.jobs > 1 and _parcel(setting) is None:
            notes.append(
                f"task '{setting.task.name}' cannot be sent to other processes, so its trials run one after another."
                " Define its model at the top of a module, or load the task from a file."
            )
        return (*notes, *alone_notes(self.decisions))

    @contextmanager
    def crew(self, setting: Setting) -> Iterator[Crew]:
        """Return a context that runs trials; its processes end with it.

        Raises:
            BadStudy: a worker process died.
            BadTask: the model or the loss raised.
        """
        self.decisions.clear()  # those of another study, of arms with the same names
        parcel = _parcel(setting) if self.jobs > 1 else None
        if parcel is None:
            yield partial(_here, LotTrainer(setting), self.decisions, self._tell)
            return
        with TemporaryDirectory(prefix="actlab-") as name, _pool(self.jobs) as pool:
            # In a file: it may hold all of the data, which every lot would send again.
            folder = Path(name)
            (folder / SETTING).write_bytes(parcel)
            yield partial(_in_pool, pool, folder, self.jobs, self.decisions, self._tell)

    def _tell(self, news: Underway) -> None:
        for listener in self.listeners:
            listener(news)


def alone_notes(decisions: Mapping[str, Decision]) -> list[str]:
    """Say which runs trained one by one, and why."""
    reasons: dict[str, list[str]] = {}
    for arm, decision in decisions.items():
        if not decision.together:
            reasons.setdefault(decision.reason, []).append(arm)
    return [f"The runs of {', '.join(arms)} trained one by one: {reason}" for reason, arms in reasons.items()]


def _here(
    trainer: LotTrainer,
    decisions: dict[str, Decision],
    underway: Callable[[Underway], None],
    trials: Sequence[Trial],
    claim: Claim = all_of,
) -> Iterator[Outcome]:
    for lot in claimed(lots_of(trials, jobs=1), claim):
        outcomes = trainer.outcomes(lot, underway=underway)
        while True:
            with one_thread():
                outcome = next(outcomes, None)
            if outcome is None:
                break
            decisions.update(trainer.decisions)
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


SETTING, OUTCOME, NEWS = "setting.pickle", ".outcome", ".news"
"""The files by which processes exchange what they are to do and what they have done."""

POLLED = 0.2
"""Seconds between looks for new outcomes."""


def _in_pool(
    pool: ProcessPoolExecutor,
    folder: Path,
    jobs: int,
    decisions: dict[str, Decision],
    underway: Callable[[Underway], None],
    trials: Sequence[Trial],
    claim: Claim = all_of,
) -> Iterator[Outcome]:
    left, running = claimed(lots_of(trials, jobs=jobs), claim), set[Future[dict[str, Decision]]]()
    try:
        while True:
            # No more than can run now: what is claimed is left by other processes.
            lots = list(islice(left, jobs - len(running)))
            with _without_interrupts():
                running |= {pool.submit(_train_there, lot, folder) for lot in lots}
            for news in _underway(folder):
                underway(news)
            yield from _arrived(folder)
            if not running:
                return
            done, running = wait(running, timeout=POLLED, return_when=FIRST_COMPLETED)
            for future in done:
                decisions.update(future.result())
    except BrokenProcessPool as error:
        yield from _arrived(folder)
        raise BadStudy(
            "a worker process died before its trials ended (out of memory, or killed; a script must call this under"
            " `if __name__ == '__main__':`). Finished trials are stored. Resume, or use one job."
        ) from error


def _arrived(folder: Path) -> Iterator[Outcome]:
    """Yield the outcomes that processes have written since the last look."""
    for file in sorted(folder.glob(f"*{OUTCOME}")):
        outcome: Outcome = pickle.loads(file.read_bytes())  # ours: the folder is readable by this user alone
        file.unlink()
        yield outcome


def _underway(folder: Path) -> Iterator[Underway]:
    """Yield what processes have said since the last look."""
    for file in sorted(folder.glob(f"*{NEWS}")):
        news: Underway = pickle.loads(file.read_bytes())  # as above
        file.unlink()
        yield news


def _train_there(lot: Sequence[Trial], folder: Path) -> dict[str, Decision]:
    """Train a lot in a worker process; leave every outcome in the folder as soon as it is there."""
    trainer = _trainer(folder)

    def leave(value: object, suffix: str) -> None:
        file = folder / f"{time.time_ns():020}-{os.getpid()}-{next(numbers)}"
        file.write_bytes(pickle.dumps(value))
        file.rename(file.with_suffix(suffix))  # whole files only

    numbers = count()
    for outcome in trainer.outcomes(lot, underway=lambda news: leave(news, NEWS)):
        leave(outcome, OUTCOME)
    return trainer.decisions


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Open a pool of new processes, which an error or Ctrl-C ends at once."""
    known = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, mp_context=_context(), initializer=_end_with_parent)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        # A running trial would delay the end by minutes; it is run again when the study is resumed.
        for child in set(multiprocessing.active_children()) - known:
            child.terminate()
        raise
    pool.shutdown()


PRELOADED = ("actlab.study.runner", "actlab.train.load", "sklearn.datasets")
"""What the process imports from which workers fork; all but a user's file reads its data with scikit-learn."""


def start_early() -> None:
    """Start the process from which workers fork, so that it imports while this one prepares a study."""
    context = _context()
    if context.get_start_method() == "forkserver":
        with _without_interrupts():
            forkserver.ensure_running()


def _context() -> BaseContext:
    """Return how workers start: forked from a process that has imported what they need, once for all of them.

    A child forked from this process, after a parallel kernel has run, may hang or die.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


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
    """Pickle the setting for another process; return None if that is impossible."""
    try:
        return pickle.dumps(portable(setting))
    except (pickle.PicklingError, AttributeError, TypeError):  # pickle raises any of the three
        return None


Portable = tuple[Learnable | Directions, dict[str, Arm], Places | None, Plan]


def portable(setting: Setting) -> Portable:
    """Return the setting for another process: a task with an origin is sent as its origin.

    Functions of the user's own file cannot be pickled.
    """
    task = directions_to(setting.task) if setting.task.origin else setting.task
    return task, setting.arms, setting.where, setting.plan


def arrived(sent: Portable) -> Setting:
    """Return the setting that another process sent."""
    task, arms, where, plan = sent
    return Setting(task.followed() if isinstance(task, Directions) else task, arms, where, plan)


@lru_cache(maxsize=1)
def _trainer(folder: Path) -> LotTrainer:
    torch.set_num_threads(1)
    return LotTrainer(arrived(pickle.loads((folder / SETTING).read_bytes())))
