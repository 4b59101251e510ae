"""Serve the live page of a training that runs in the parent process: `python -m actlab.web.live_server SOCKET`.

The parent writes one JSON object a line to standard input: first `token` and `every`, then what the page shows. The
process answers on standard output with a byte whenever a page begins (1) or ceases (0) to listen. It ends with its
input or its parent.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any, final

import uvicorn
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from actlab.telemetry.history import History
from actlab.web.feeds import Feed
from actlab.web.looking import FEED, look_answer, looking, part_of, range_drawn
from actlab.web.loopback import runner
from actlab.web.routing import joined
from actlab.web.shell import html
from actlab.web.workbench import Page, Workbench

LISTS = ("sites", "findings", "notes", "unseen")
LISTENING, ALONE = b"1", b"0"
_LOOK_SECONDS = 0.1
# The training goes first where there are fewer cores than processes.
_NICE = 10


@final
@dataclass(frozen=True)
class Received:
    """A measured step as the parent sent it.

    Attributes:
        step, loss: its number and its loss.
        rows: the numbers of every activation.
        looks: what every activation received, gave and got back.
        curves: the latest curve of every activation that has one.
    """

    step: int
    loss: float | None
    rows: Sequence[Sequence[float]]
    looks: Sequence[Mapping[str, Any]]
    curves: Mapping[int, Mapping[str, Any]]

    def numbers(self, at: int) -> Sequence[float]:
        """Return the numbers of an activation."""
        return self.rows[at]

    def look(self, at: int) -> dict[str, Any]:
        """Return what the activation received, gave and got back, with its curve."""
        look, whole = self.looks[at], self.curves.get(at)
        if whole is None or look["z"] is None:
            return {**look, "curve": None}
        return {**look, "curve": part_of(whole, *range_drawn(look["z"]["low"], look["z"]["high"]))}


@final
class LiveTraining:
    """What the parent has sent so far."""

    def __init__(self, feed: Feed, *, every: int) -> None:
        self._feed, self._every = feed, every
        self._history = History[Received]()
        self._curves: dict[int, Mapping[str, Any]] = {}
        self._network: Mapping[str, Any] = {
            "sites": [],
            "findings": [],
            "notes": [],
            "unseen": [],
            "name": "",
            "where": "",
        }
        self._version = 0
        self._publish(step=None, loss=None)

    def network(self) -> dict[str, Any]:
        """Return the activations of the network and the findings, with the state of the training."""
        return {**self._network, "status": self._feed.value}

    def look(self, *, at: int, step: int | None) -> dict[str, Any]:
        """Return one measured step, closely at one activation."""
        return look_answer(self._history, lambda received: received, at=at, step=step)

    def receive(self, message: Mapping[str, Any]) -> None:
        """Take what the parent sent."""
        if "network" in message:
            self._network = message["network"]
            self._version += 1
        # replaced as a whole, since other threads read it
        self._curves = {**self._curves, **{int(at): curve for at, curve in message["curves"].items()}}
        step, loss = message["step"], message["loss"]
        self._history.add(Received(step, loss, message["rows"], message["looks"], self._curves))
        self._publish(step=step, loss=loss)

    def _publish(self, *, step: int | None, loss: float | None) -> None:
        self._feed.publish(
            {
                "phase": "live",
                "playing": True,
                "error": "",
                "version": self._version,
                "step": step,
                "loss": loss,
                "every": self._every,
            }
        )


def page_of(training: LiveTraining) -> Page:
    """Return the page of a training; it only looks."""

    def network(request: Request) -> Response:
        return html("network.html.j2", title="My network", here="/network", live=True, names=())

    def front(request: Request) -> Response:
        return RedirectResponse("/network", status_code=303)

    return Page([Route("/", front), Route("/network", network), *looking(lambda: training)])


def main() -> None:
    """Serve until standard input or the parent ends."""
    parent = os.getppid()
    with suppress(OSError):
        os.nice(_NICE)
    begin = json.loads(sys.stdin.readline() or "null")
    if begin is None:  # the parent has ended already
        return
    bench = Workbench(token=begin["token"])
    feed = bench.feeds.open(FEED)
    training = LiveTraining(feed, every=begin["every"])
    server = runner(joined(bench, [page_of(training)]))

    def end() -> None:
        bench.feeds.are_over = server.should_exit = True

    Thread(target=_read, args=(training, end), daemon=True).start()
    Thread(target=_answer, args=(feed, server, end, parent), daemon=True).start()
    server.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


def _read(training: LiveTraining, end: Callable[[], None]) -> None:
    """Take the messages of the parent until there are no more."""
    try:
        for line in sys.stdin:
            training.receive(json.loads(line))
    finally:
        end()


def _answer(feed: Feed, server: uvicorn.Server, end: Callable[[], None], parent: int) -> None:
    """Tell the parent whether a page listens, and end with it, whoever else holds its end of standard input."""
    was = False
    while not server.should_exit:
        time.sleep(_LOOK_SECONDS)
        if os.getppid() != parent:
            end()
        if was != (feed.listeners > 0):
            was = not was
            with suppress(OSError):
                os.write(sys.stdout.fileno(), LISTENING if was else ALONE)


if __name__ == "__main__":
    main()
    os._exit(0)  # an interpreter that shuts down would wait for the thread that reads standard input
