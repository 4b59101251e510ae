"""The repair that a page has started: run in another process, watched and stopped."""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import dataclass, replace
from threading import Event, Lock, Thread
from typing import Any, final

from actlab.errors import BadInput, shortened
from actlab.remedy.measured import Budget
from actlab.web.child import Child
from actlab.web.feeds import Feed
from actlab.web.fix_process import MISUSE
from actlab.web.workbench import Workbench

IDLE, RUNNING, STOPPING = "idle", "running", "stopping"
STOPPED, FINISHED, FAILED = "stopped", "finished", "failed"

_LOOK_SECONDS = 0.3
_STOPPING_SECONDS = 10.0
"""How long a repair may take to stop before it is terminated; what it has found is lost then."""


@final
@dataclass(frozen=True)
class Now:
    """The latest repair that a page has started.

    Attributes:
        state: "idle", "running", "stopping", "stopped", "finished" or "failed".
        done, planned: the training runs that were done and that may be spent; of a budget of time, seconds.
        label: what is trained now.
        seconds: the time since the start.
        seconds_left: the time that is left of a budget of time; None otherwise.
        sentence: why there is no answer, in words; empty if there is one.
        answer: the answer of `actlab fix --json`, once it is there.
        command: the command line that does the same in a terminal.
    """

    state: str = IDLE
    done: int = 0
    planned: int | None = None
    label: str = ""
    seconds: float = 0.0
    seconds_left: float | None = None
    sentence: str = ""
    answer: Any = None
    command: str = ""

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.state in (RUNNING, STOPPING)


@final
class Fixing:
    """Runs one repair at a time in another process, and publishes how far it is.

    Args:
        bench: what was named on the command line.
        feed: where the state is published.
    """

    def __init__(self, bench: Workbench, feed: Feed) -> None:
        self._bench, self._feed = bench, feed
        self._lock = Lock()
        self._child: Child | None = None
        self._watch: Thread | None = None
        self._stop = Event()
        self._stop_time = 0.0
        self.now = Now()
        self._say(self.now)

    def start(self, budget: str) -> Now:
        """Start a repair of what was named on the command line.

        Args:
            budget: training runs, such as "40", or a time, such as "10m".

        Raises:
            BadInput: the budget is neither, or a repair is running already.
        """
        Budget.read(budget)
        with self._lock:
            if self.now.is_running:
                raise BadInput("a repair is running already; stop it, or wait until it has ended.")
            child = Child(program(self._bench, budget))
            self._stop.clear()
            self._child = child
            self._say(Now(state=RUNNING, command=command(self._bench, budget)))
            self._watch = Thread(target=self._follow, args=(child,), name="repair", daemon=True)
            self._watch.start()
            return self.now

    def stop(self) -> Now:
        """Interrupt the repair; it answers with what it has found.

        Raises:
            BadInput: nothing is running.
        """
        with self._lock:
            child = self._child
            if child is None or not self.now.is_running:
                raise BadInput("no repair is running.")
            if not self._stop.is_set():
                self._stop_time = time.monotonic()
                self._stop.set()
                self._say(replace(self.now, state=STOPPING))
                child.interrupt()
            return self.now

    def close(self) -> None:
        """Stop what is running, within a few seconds."""
        with self._lock:
            child, watch = self._child, self._watch
            self._stop_time = time.monotonic()
            self._stop.set()
        if child is not None and watch is not None:
            if watch.is_alive() and child.status is None:
                child.terminate()
            watch.join(3.0)

    def _say(self, now: Now) -> None:
        self.now = now
        self._feed.publish(now)

    def _follow(self, child: Child) -> None:
        """Watch the process until it has ended, and say how it ended."""
        start = time.monotonic()
        try:
            while child.status is None:
                time.sleep(_LOOK_SECONDS)
                if self._stop.is_set() and time.monotonic() - self._stop_time > _STOPPING_SECONDS:
                    child.terminate()
                with self._lock:
                    self._say(replace(self.now, seconds=time.monotonic() - start, **_last_line(child)))
            with self._lock:
                now = replace(self.now, **_last_line(child))
                self._say(self._ended(child, replace(now, seconds_left=None)))
        finally:
            with self._lock:
                child.close()
                self._child = None
                if self.now.is_running:  # a fault of ours: a page must not wait
                    self._say(replace(self.now, state=FAILED, sentence="The repair can no longer be watched."))

    def _ended(self, child: Child, now: Now) -> Now:
        if self._stop.is_set():
            nothing = "" if now.answer else "Stopped before anything was found."
            return replace(now, state=STOPPED, sentence=nothing)
        if child.status == 0 and now.answer is not None:
            return replace(now, state=FINISHED)
        return replace(now, state=FAILED, sentence=_failure(child))


def program(bench: Workbench, budget: str) -> list[str]:
    """Return the command line of the process; files of the current folder are not imported by it."""
    data = None if bench.data is None else str(bench.data)
    wanted = {"data": data, "target": bench.target, "task": bench.task, "budget": budget}
    return [sys.executable, "-P", "-m", "actlab.web.fix_process", json.dumps(wanted)]


def command(bench: Workbench, budget: str) -> str:
    """Return the command line that does the same in a terminal."""
    words = ["actlab", "fix", *([] if bench.data is None else [str(bench.data)])]
    words += [f"--{name}={value}" for name, value in (("target", bench.target), ("task", bench.task)) if value]
    return shlex.join([*words, f"--budget={budget}"])


def _last_line(child: Child) -> dict[str, Any]:
    """Return what the process has written last: how far it is, or its answer."""
    lines = child.output().split("\n")[:-1]  # without a line that is only half written
    for line in reversed(lines):
        try:
            found = json.loads(line)
        except ValueError:  # the user's program prints too
            continue
        if isinstance(found, dict) and set(found) in ({"answer"}, {"done", "planned", "seconds_left", "label"}):
            return found
    return {}


def _failure(child: Child) -> str:
    """Return in words why the process ended without an answer."""
    status, line = child.status or 0, shortened(child.last_error(), limit=600)
    if status < 0:
        return f"The repair was ended from outside, by signal {-status}, perhaps for lack of memory."
    if status == MISUSE and line:
        return line
    return f"The repair ended with an error: {line or f'exit status {status}'}"
