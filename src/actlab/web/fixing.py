"""The repair that a page has started: run in another process, watched and stopped."""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import dataclass, replace
from typing import Any, final

from actlab.errors import BadInput, shortened
from actlab.remedy.measured import Budget
from actlab.web.child import Child
from actlab.web.feeds import Feed
from actlab.web.fix_process import MISUSE
from actlab.web.one_process import FAILED, FINISHED, IDLE, RUNNING, STOPPED, STOPPING, OneProcess
from actlab.web.workbench import Workbench


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
class Fixing(OneProcess[Now]):
    """Runs one repair at a time in another process, and publishes how far it is.

    Args:
        bench: what was named on the command line.
        feed: where the state is published.
    """

    def __init__(self, bench: Workbench, feed: Feed) -> None:
        super().__init__(feed, Now(), name="repair", nothing=BadInput("no repair is running."))
        self._bench = bench

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
            self._begin(child, Now(state=RUNNING, command=command(self._bench, budget)))
            return self.now

    def _watch_until_ended(self, child: Child, *_: Any) -> None:
        start = time.monotonic()
        while child.status is None:
            self._wait(child)
            with self._lock:
                self._say(replace(self.now, seconds=time.monotonic() - start, **_last_line(child)))
        with self._lock:
            now = replace(self.now, **_last_line(child))
            self._say(self._ended(child, replace(now, seconds_left=None)))

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
