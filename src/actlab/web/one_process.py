"""Work that a page has started in another process, one at a time: watched, interrupted, ended with the server."""

from __future__ import annotations

import time
from dataclasses import replace
from threading import Event, Lock, Thread
from typing import Any, Generic, Protocol, TypeVar

from actlab.errors import ActlabError
from actlab.web.child import Child
from actlab.web.feeds import Feed

IDLE, RUNNING, STOPPING = "idle", "running", "stopping"
STOPPED, FINISHED, FAILED = "stopped", "finished", "failed"

_LOOK_SECONDS = 0.3
_STOPPING_SECONDS = 10.0
"""How long the process may take to stop before it is terminated."""


class State(Protocol):
    """How far the work is: a frozen dataclass with these fields, and others."""

    @property
    def state(self) -> str:
        """One of the six states."""

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""


N = TypeVar("N", bound=State)


class OneProcess(Generic[N]):
    """Runs one piece of work at a time in another process, and publishes how far it is.

    Args:
        feed: where the state is published.
        idle: the state before anything was started.
        name: what is done, such as "repair".
        nothing: the error that `stop` raises if nothing is running.
    """

    def __init__(self, feed: Feed, idle: N, *, name: str, nothing: ActlabError) -> None:
        self._feed, self._name, self._nothing = feed, name, nothing
        self._lock = Lock()
        self._child: Child | None = None
        self._watch: Thread | None = None
        self._stop = Event()
        self._stop_time = 0.0
        self.now = idle
        self._say(idle)

    def stop(self) -> N:
        """Interrupt what is running; what it has found or stored is kept.

        Raises:
            ActlabError: nothing is running.
        """
        with self._lock:
            child = self._child
            if child is None or not self.now.is_running:
                raise type(self._nothing)(str(self._nothing))
            if not self._stop.is_set():
                self._stop_time = time.monotonic()
                self._stop.set()
                self._say(_with(self.now, state=STOPPING))
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
                child.interrupt()
                watch.join(2.0)
            if watch.is_alive() and child.status is None:
                child.terminate()
            watch.join(3.0)

    def _begin(self, child: Child, now: N, *details: Any) -> None:
        """Publish the first state of a new process, and watch the process; call it with the lock held."""
        self._stop.clear()
        self._child = child
        self._say(now)
        self._watch = Thread(target=self._follow, args=(child, *details), name=self._name, daemon=True)
        self._watch.start()

    def _follow(self, child: Child, *details: Any) -> None:
        try:
            self._watch_until_ended(child, *details)
        finally:
            with self._lock:
                child.close()
                self._child = None
                if self.now.is_running:  # a fault of ours: a page must not wait
                    self._say(_with(self.now, state=FAILED, sentence=f"The {self._name} can no longer be watched."))

    def _watch_until_ended(self, child: Child, *details: Any) -> None:
        """Publish how far the process is until it has ended, then how it ended."""
        raise NotImplementedError

    def _wait(self, child: Child) -> None:
        """Wait until it is worth another look; end a process that does not stop."""
        time.sleep(_LOOK_SECONDS)
        if self._stop.is_set() and time.monotonic() - self._stop_time > _STOPPING_SECONDS:
            child.terminate()

    def _say(self, now: N) -> None:
        self.now = now
        self._feed.publish(now)


def _with(now: N, **changes: Any) -> N:
    changed: N = replace(now, **changes)  # type: ignore[type-var]  # every state is a dataclass
    return changed
