"""Run the trials of a study on a cluster, with Ray."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from typing import Any, final

import torch

from actlab.errors import ActlabError, BadInput, BadStudy, shortened
from actlab.extras_import import need
from actlab.study.lots import LotTrainer, lots_of
from actlab.study.outcome import Outcome
from actlab.study.plan import Trial
from actlab.study.runner import Claim, Crew, Portable, all_of, alone_notes, arrived, claimed, portable
from actlab.study.setting import Setting
from actlab.train.lanes.decide import Decision

ray = need("ray", extra="ray")

RETRIES = 3
"""How often a lot of trials is begun again after the process that trained it died."""


@final
@dataclass(frozen=True)
class RayRunner:
    """Runs trials on a Ray cluster, one process per processor, those of one arm together.

    A process that dies in mid-trial is replaced, and its trials are run again. The numbers are those of this machine. A
    task from a file needs the file at the same path on all machines.

    Args:
        address: the cluster, such as "ray://head:10001"; by default one that runs on this machine, or a new one.

    Attributes:
        decisions: how the runs of each arm went, and why, as far as they have ended.

    Raises:
        BadInput: the address is of another form.
        MissingExtra: Ray is not installed.

    Example:
        ``actlab.advise("digits-relu", runner=RayRunner("ray://head:10001"))``
    """

    address: str | None = None
    decisions: dict[str, Decision] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.address is not None and not self.address.startswith("ray://"):
            raise BadInput(f"address must begin with ray://, such as ray://head:10001; got '{self.address}'.")

    def notes(self, setting: Setting) -> tuple[str, ...]:
        """Return why trials were not run together."""
        return tuple(alone_notes(self.decisions))

    @contextmanager
    def crew(self, setting: Setting) -> Iterator[Crew]:
        """Return a context that runs trials on the cluster; its processes there end with it.

        Raises:
            BadStudy: the cluster cannot be reached, the task cannot be sent to it, or a trial's process dies each time.
            BadTask: the model or the loss raised.
        """
        self.decisions.clear()  # those of another study, of arms with the same names
        # Ray reports a process that died on standard output, where the answer belongs.
        with redirect_stdout(sys.stderr), _connected(self.address):
            try:
                sent = ray.put(portable(setting))
            except TypeError as error:  # Ray's word for what cannot be pickled
                raise BadStudy(
                    f"task '{setting.task.name}' cannot be sent to the cluster: {shortened(str(error))} Define what it"
                    " consists of at the top of a module."
                ) from error
            workers = [_Worker(sent) for _ in range(max(int(ray.cluster_resources().get("CPU", 1)), 1))]
            try:
                yield partial(_run, workers, self.decisions)
            finally:
                for worker in workers:
                    worker.stop()


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Connect to a cluster, unless the program is connected already."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    local = {} if address else {"include_dashboard": False}
    try:
        with warnings.catch_warnings(action="ignore"):  # the error says it
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **local)
    except (ConnectionError, ValueError) as error:
        where = f"'{address}'" if address else "of this machine"
        raise BadStudy(
            f"the Ray cluster {where} cannot be reached: {shortened(str(error), limit=160)}. Check its address and that"
            " it runs."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


class _Trainer:
    """Trains lots in a process of the cluster and hands over their outcomes one by one."""

    def __init__(self, sent: Portable) -> None:
        torch.set_num_threads(1)
        self.trainer = LotTrainer(arrived(sent))
        self.outcomes: Iterator[Outcome] = iter(())

    def begin(self, lot: Sequence[Trial]) -> Outcome | dict[str, Decision]:
        self.outcomes = self.trainer.outcomes(lot)
        return self.next()

    def next(self) -> Outcome | dict[str, Decision]:
        """Return the next outcome of the lot; at its end, how the runs went."""
        return next(self.outcomes, self.trainer.decisions)


@final
class _Worker:
    """A process of the cluster, as this one sees it."""

    def __init__(self, sent: Any) -> None:
        self.sent, self.actor = sent, _actor(sent)
        self.left: list[Trial] = []
        self.deaths = 0

    def begin(self, lot: Sequence[Trial]) -> Any:
        self.left, self.deaths = list(lot), 0
        return self.actor.begin.remote(self.left)

    def again(self) -> Any:
        """Start a new process for what the one that died has left to do."""
        self.deaths += 1
        self.actor = _actor(self.sent)
        return self.actor.begin.remote(self.left)

    def stop(self) -> None:
        ray.kill(self.actor)


def _actor(sent: Any) -> Any:
    return ray.remote(_Trainer).options(num_cpus=1).remote(sent)


def _run(
    workers: Sequence[_Worker], decisions: dict[str, Decision], trials: Sequence[Trial], claim: Claim = all_of
) -> Iterator[Outcome]:
    lots = claimed(lots_of(trials, jobs=len(workers)), claim)
    running = {worker.begin(lot): worker for worker, lot in zip(workers, lots, strict=False)}
    while running:
        (answered,), _ = ray.wait(list(running), num_returns=1)
        worker = running.pop(answered)
        answer = _answer(answered, worker)
        if answer is None:
            running[worker.again()] = worker
        elif isinstance(answer, Outcome):
            worker.left.remove(answer.trial)
            running[worker.actor.next.remote()] = worker
            yield answer
        else:
            decisions.update(answer)
            lot = next(lots, None)
            if lot is not None:
                running[worker.begin(lot)] = worker


def _answer(answered: Any, worker: _Worker) -> Outcome | dict[str, Decision] | None:
    """Return what a process answered; None if it died."""
    try:
        answer: Outcome | dict[str, Decision] = ray.get(answered)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, ActlabError) else error from None
    except ray.exceptions.RayError as error:  # the process, or its machine, is gone
        if worker.deaths == RETRIES:
            trial = worker.left[0]
            raise BadStudy(
                f"the process that trained {trial.arm} died {RETRIES + 1} times (out of memory, or killed). Finished"
                " trials are stored. Resume, or use a machine with more memory."
            ) from error
        return None
    return answer
