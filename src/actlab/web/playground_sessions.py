"""Trainings that pages watch: one thread each, which pauses when nobody listens."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from threading import Condition, Lock, Semaphore, Thread
from typing import Any, final

import torch

from actlab.errors import BadInput
from actlab.jsonable import plain
from actlab.telemetry.playground import frame_of, points_shown
from actlab.train.playground.state import State
from actlab.train.playground.table import Table
from actlab.train.playground.training import Training
from actlab.web.feeds import Feed, Feeds

MOST_SESSIONS = 24
MOST_TABLES = 16

MOST_STEPS = 1000
"""The most steps that one request may ask for."""

LAP = 20_000
"""A training pauses after so many steps, until it is started again: a forgotten tab costs no more."""

PAUSED_AFTER, CLOSED_AFTER = 60.0, 600.0
"""The seconds without a listener after which a training pauses, and ends."""

_FRAME_SECONDS = 1 / 12
# How long a thread trains before it reads its orders again and lets others compute.
_BURST_SECONDS = 0.02
# So many trainings compute at once; the others wait for their turn.
_TURNS = 2


@final
class Session:
    """One training in its own thread. Its methods may be called from any thread.

    Attributes:
        state: what is trained.
        points: the points as a page draws them.
        feed: where its frames are published.
    """

    def __init__(self, state: State, table: Table | None, feed: Feed, turns: Semaphore) -> None:
        self.state = state
        self.feed = feed
        self._table, self._turns = table, turns
        self._orders = Condition()
        self._playing, self._wanted, self._reset, self._closed = not state.paused, 0, False, False
        self._goal, self._shown_playing = LAP, False
        self._credit, self._credited = 0.0, time.monotonic()
        begun: Future[Training] = Future()
        threads = torch.get_num_threads()
        self._thread = Thread(target=self._run, args=(begun,), name="playground", daemon=True)
        self._thread.start()
        try:
            self._training = begun.result()
        finally:
            torch.set_num_threads(threads)  # what the thread has set for itself holds for later threads too
        self.points = points_shown(self._training)

    def play(self) -> None:
        """Train until paused, diverged, or a lap further."""
        self._order(playing=True)

    def pause(self) -> None:
        """Stop after the present step."""
        self._order()

    def step(self, count: int = 1) -> None:
        """Pause, then make some steps."""
        self._order(steps=count)

    def reset(self) -> None:
        """Return to step 0, and pause."""
        self._order(reset=True)

    def limit(self, pace: int) -> None:
        """Change the most steps in a second; 0 is as many as the machine can do."""
        self.state = replace(self.state, pace=pace)

    def close(self) -> None:
        """End the thread; it notices within a burst."""
        with self._orders:
            self._closed = True
            self._orders.notify()

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread."""
        self._thread.join(seconds)

    @property
    def is_open(self) -> bool:
        """Whether it takes orders."""
        return not self._closed and self._thread.is_alive()

    def _order(self, *, playing: bool = False, steps: int = 0, reset: bool = False) -> None:
        with self._orders:
            self._playing = playing
            self._wanted = self._wanted + steps if steps else 0
            self._reset = self._reset or reset
            self._goal = (self._training.step // LAP + 1) * LAP
            self._orders.notify()

    def _run(self, begun: Future[Training]) -> None:
        torch.set_num_threads(1)  # so that every sum has one order
        try:
            self._training = Training(self.state, self._table)
            self._publish()
        except BaseException as error:  # raised in the thread that waits
            begun.set_exception(error)
            return
        begun.set_result(self._training)
        published = time.monotonic()
        while self._awaited():
            with self._turns:
                is_still = self._work()
                if is_still or time.monotonic() - published >= _FRAME_SECONDS:
                    self._publish()
                    published = time.monotonic()
            # otherwise this thread would take the next turn again, or spin until the pace allows a step
            time.sleep(0.004 if self.state.pace else 0.0005)

    def _awaited(self) -> bool:
        """Wait for work; return whether there is any, and False once the session ends."""
        with self._orders:
            while not self._closed:
                if self._reset or self._wanted or self._playing or self._shown_playing:
                    return True
                self._closed = self.feed.unheard_seconds > CLOSED_AFTER
                self._orders.wait(2.0)
        return False

    def _work(self) -> bool:
        """Carry out orders for the length of a burst; return whether none is left."""
        with self._orders:
            is_reset, self._reset = self._reset, False
            playing, wanted = self._playing, self._wanted
        if is_reset:
            self._training = Training(self.state, self._table)
        most = wanted or (min(self._allowed(), self._goal - self._training.step) if playing else 0)
        made = self._burst(most)
        with self._orders:
            if wanted:  # an order may have come meanwhile
                self._wanted = 0 if self._training.diverged else max(0, self._wanted - made)
            has_ended = self._training.diverged or self._training.step >= self._goal
            self._playing = self._playing and not has_ended and self.feed.unheard_seconds < PAUSED_AFTER
            return not (self._playing or self._wanted or self._reset)

    def _burst(self, most: int) -> int:
        """Make up to `most` steps, for the length of a burst; return how many."""
        end, before = time.monotonic() + _BURST_SECONDS, self._training.step
        while self._training.step - before < most and time.monotonic() < end and not self._training.diverged:
            self._training.advance()
        return self._training.step - before

    def _allowed(self) -> int:
        """Return how many steps the pace allows now; wait a little if none."""
        if not self.state.pace:
            return LAP
        now = time.monotonic()
        self._credit = min(self._credit + self.state.pace * (now - self._credited), 1 + self.state.pace / 10)
        self._credited = now
        steps = int(self._credit)
        self._credit -= steps
        return steps

    def _publish(self) -> None:
        frame: dict[str, Any] = plain(frame_of(self._training))
        self._shown_playing = self._playing
        self.feed.publish({**frame, "playing": self._shown_playing})


@final
class Sessions:
    """All sessions of a server, and the tables that were uploaded."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds = feeds
        self._lock = Lock()
        self._turns = Semaphore(_TURNS)
        self._sessions: dict[str, Session] = {}
        self._tables: dict[str, Table] = {}

    @property
    def open(self) -> Mapping[str, Session]:
        """The sessions that take orders, by id, the oldest first."""
        return {name: each for name, each in self._sessions.items() if each.is_open}

    def start(self, state: State) -> str:
        """Start a training; return its id.

        Raises:
            BadInput: so many are watched that none can be closed, or the data cannot be used.
        """
        with self._lock:
            self._make_place()
            name = secrets.token_urlsafe(9)
            feed = self._feeds.open(feed_of(name))
            try:
                self._sessions[name] = Session(state, self._tables.get(state.table), feed, self._turns)
            finally:
                if name not in self._sessions:
                    self._feeds.close(feed_of(name))
        return name

    def get(self, name: str) -> Session:
        """Return a session.

        Raises:
            BadInput: it has ended.
        """
        session = self._sessions.get(name)
        if session is None or not session.is_open:
            raise BadInput("this training has ended; a new one starts from the address of the page.")
        return session

    def end(self, name: str) -> None:
        """Close a session and its feed, if there is one."""
        session = self._sessions.pop(name, None)
        if session is not None:
            session.close()
            self._feeds.close(feed_of(name))

    def keep(self, table: Table) -> None:
        """Keep an uploaded table, instead of the oldest if there are many."""
        with self._lock:
            self._tables.pop(table.digest, None)
            self._tables[table.digest] = table
            while len(self._tables) > MOST_TABLES:
                del self._tables[next(iter(self._tables))]

    def table(self, digest: str) -> Table | None:
        """Return a table that was uploaded."""
        return self._tables.get(digest)

    def close(self) -> None:
        """End all sessions."""
        sessions = list(self._sessions.items())
        for name, _ in sessions:
            self.end(name)
        for _, session in sessions:
            session.join(1.0)

    def _make_place(self) -> None:
        for name, session in list(self._sessions.items()):
            if not session.is_open:
                self.end(name)
        if len(self._sessions) < MOST_SESSIONS:
            return
        name, longest = max(self._sessions.items(), key=lambda item: item[1].feed.unheard_seconds)
        if not longest.feed.unheard_seconds:
            raise BadInput(f"{MOST_SESSIONS} trainings are open in other tabs, as many as may be; close one of them.")
        self.end(name)


def feed_of(name: str) -> str:
    """Return the name of a session's feed."""
    return f"playground/{name}"
