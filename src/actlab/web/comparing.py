"""The comparison that a page has started: planned, run, watched and stopped."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from actlab.errors import BadStudy, shortened
from actlab.study.archive import UNFINISHED, studies
from actlab.study.database import sqlite_file
from actlab.study.store import Store
from actlab.study.suite_store import suites
from actlab.web.child import Child
from actlab.web.comparison_order import Order, program
from actlab.web.feeds import Feed
from actlab.web.one_process import FAILED, FINISHED, IDLE, RUNNING, STOPPED, STOPPING, OneProcess
from actlab.web.page_words import in_page_words
from actlab.web.workbench import Workbench

_MISUSE = 2  # the exit status of `actlab` for what the user can correct


@final
@dataclass(frozen=True)
class Now:
    """The latest comparison, or plan of one, that a page has started.

    Attributes:
        state: "idle", "running", "stopping", "stopped", "finished" or "failed".
        is_plan: whether it only says what the comparison will take and can decide.
        task: the name of the task, as the form shows it.
        activations: the candidates.
        form: the comparison as the form sends it.
        study: the number of the study in the store, once it has one; of several tasks the first one.
        run: the number as the list shows it: of a study, or of the comparison on several tasks.
        done: the number of training runs that are stored.
        far: the same, with the parts of those that train together.
        planned: the number of training runs planned.
        label: what it does now.
        seconds: the time since the start.
        seconds_left: the expected time to the end; None if it is not known.
        sentence: what happened, in words.
        plan: the answer of `actlab compare --plan --json`, once it is there.
        command: the command line that continues it in a terminal.
    """

    state: str = IDLE
    is_plan: bool = False
    task: str = ""
    activations: tuple[str, ...] = ()
    form: Any = None
    study: int | None = None
    run: str = ""
    done: int = 0
    far: float = 0.0
    planned: int | None = None
    label: str = ""
    seconds: float = 0.0
    seconds_left: float | None = None
    sentence: str = ""
    plan: Any = None
    command: str = ""

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.state in (RUNNING, STOPPING)


@final
class Comparing(OneProcess[Now]):
    """Runs one comparison at a time in another process, and publishes how far it is.

    Args:
        bench: what was named on the command line, and the store.
        feed: where the state is published.
    """

    def __init__(self, bench: Workbench, feed: Feed) -> None:
        super().__init__(feed, Now(), name="comparison", nothing=BadStudy("nothing is running."))
        self._bench = bench
        self.orders: dict[int, Order] = {}
        """The comparisons that were started here, by the numbers of their studies."""
        self.planned: Order | None = None
        """The comparison that was planned last."""

    def start(self, order: Order, *, plan: bool = False, resume: int | None = None) -> Now:
        """Start a comparison, or only plan it.

        Args:
            order: the comparison.
            plan: whether it is planned only.
            resume: the number of the study that is continued; it must be the newest of its name.

        Raises:
            BadStudy: one is running already, or the store or the process cannot be opened.
        """
        with self._lock:
            if self.now.is_running:
                what = "a plan" if self.now.is_plan else "a comparison"
                raise BadStudy(f"{what} on '{self.now.task}' is running already; stop it, or wait until it has ended.")
            before = _newest(self._bench.store)
            child = Child(program(order.arguments(self._bench, plan=plan, resume=resume is not None)))
            self.planned = order if plan else self.planned
            self._begin(
                child,
                Now(
                    state=RUNNING,
                    is_plan=plan,
                    task=", ".join(order.names(self._bench)),
                    activations=order.activations,
                    form=vars(order),
                    study=resume,
                    command=order.command(self._bench, resume=not plan),
                ),
                order,
                before,
            )
            return self.now

    def unfinished(self) -> str:
        """Say which comparison is not finished and how to continue it; empty if there is none."""
        now = self.now
        if now.study is None or now.is_plan or now.state not in (STOPPED, FAILED):
            return ""
        of_all = f" of {now.planned:,}" if now.planned else ""
        return (
            f"Run {now.run or now.study} (comparison on {now.task}) is not finished: {now.done:,}{of_all} training runs"
            f" are stored. Continue it on the page Compare, or with: {now.command}"
        )

    def _watch_until_ended(self, child: Child, *details: Any) -> None:
        order, before = details
        start = time.monotonic()
        with _Opened(self._bench.store) as opened:
            while child.status is None:
                self._wait(child)
                found = self._progress(child, opened, before, seconds=time.monotonic() - start)
                with self._lock:  # not while the store is read, which may take its time
                    self._say(replace(found, state=self.now.state))
            found = self._progress(child, opened, before, seconds=time.monotonic() - start)
            with self._lock:
                if found.study is not None:
                    self.orders[found.study] = order
                self._say(self._ended(child, replace(found, seconds_left=None), opened))

    def _progress(self, child: Child, opened: _Opened, before: int, *, seconds: float) -> Now:
        """Return the state with the latest numbers of the process and of the store."""
        said = child.progress() or {}
        now = replace(
            self.now,
            seconds=seconds,
            seconds_left=said.get("seconds_left"),
            far=said.get("done", self.now.far),
            label=said.get("label", ""),
            planned=said.get("total", self.now.planned),
        )
        store = None if now.is_plan else opened.store()
        if store is None:
            return now
        try:
            if now.study is None:
                added = [each.id for each in store.studies() if each.id > before]
                now = replace(now, study=added[0]) if added else now
            if now.study is None:
                return now
            run, members = opened.run_of(now.study)
            found = [store.load(member) for member in members]
            done = sum(each.done for each in found)
            planned = now.planned or sum(each.planned or each.done for each in found)
            return replace(now, run=run, done=done, far=max(now.far, done), planned=max(planned, done), sentence="")
        except BadStudy as error:
            return replace(now, sentence=f"How far it is cannot be read: {error}")

    def _ended(self, child: Child, now: Now, opened: _Opened) -> Now:
        if child.status == 0:
            if now.is_plan:
                return replace(now, state=FINISHED, plan=in_page_words(json.loads(child.output())))
            return replace(now, state=FINISHED, sentence=_verdict(opened.store(), now.run))
        if self._stop.is_set():
            kept = f"{stored_text(now.done)}; nothing is lost." if now.done else "No training run had ended."
            return replace(now, state=STOPPED, sentence="Stopped." if now.is_plan else f"Stopped. {kept}")
        return replace(now, state=FAILED, sentence=in_page_words(_failure(child)))


class _Opened:
    """A store that is opened as soon as it is there, and closed at the end of a block."""

    def __init__(self, where: str | Path) -> None:
        self._where = where
        self._store: Store | None = None
        self._runs: dict[int, tuple[str, tuple[int, ...]]] = {}

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        if self._store is not None:
            self._store.close()

    def store(self) -> Store | None:
        """Return the store; None while it is not there or cannot be opened."""
        if self._store is None and is_there(self._where):
            try:
                self._store = Store.existing(self._where)
            except BadStudy:
                return None
        return self._store

    def run_of(self, study: int) -> tuple[str, tuple[int, ...]]:
        """Return the number of the run to which a study belongs, as it is shown, and the studies of that run."""
        if study not in self._runs:
            store = self.store()
            known = () if store is None else suites(store, studies(store))
            of_suite = [each for each in known if study in {member.study.id for member in each.members}]
            alone = (str(study), (study,))
            suite = of_suite[0] if of_suite else None
            self._runs[study] = (
                alone if suite is None else (suite.shown, tuple(member.study.id for member in suite.members))
            )
        return self._runs[study]


def is_there(store: str | Path) -> bool:
    """Return whether a store is there, as far as that can be known without opening it."""
    file = sqlite_file(store)
    return file is None or file.exists()


def _newest(where: str | Path) -> int:
    """Return the number of the newest study; 0 if there is none."""
    if not is_there(where):
        return 0
    with Store.existing(where) as store:
        return max((each.id for each in store.studies()), default=0)


def stored_text(done: int) -> str:
    """Return how many training runs are stored, as the beginning of a sentence."""
    return "1 finished training run is stored" if done == 1 else f"{done:,} finished training runs are stored"


def _verdict(store: Store | None, run: str) -> str:
    if store is None:
        return ""
    every = studies(store)
    verdicts = {str(each.study.id): each.verdict for each in every if each.state != UNFINISHED}
    verdicts |= {each.shown: each.verdict for each in suites(store, every)}
    return verdicts.get(run, "")


_KIND = re.compile(r"^[A-Z]\w+: ")


def _failure(child: Child) -> str:
    """Return in words why a process ended before it was done."""
    status, line = child.status or 0, shortened(child.last_error(), limit=600)
    if status < 0:
        return (
            f"The comparison was ended from outside, by signal {-status}, perhaps for lack of memory. Finished runs are"
            " stored; continue it with fewer jobs."
        )
    if status == _MISUSE and line:
        return _KIND.sub("", line)
    return f"The comparison ended with an error: {line or f'exit status {status}'}"
