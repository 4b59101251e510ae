"""The page My network of a training that runs in this process; it only looks."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from threading import Thread
from types import TracebackType
from typing import Any, Self, final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from actlab.diagnosis.report import Report
from actlab.diagnosis.watch import Watch
from actlab.rules.site_groups import site_groups
from actlab.sites.site import Group, Site
from actlab.telemetry.close_look import Key, MeasuredStep, key_of, looks_at
from actlab.telemetry.history import History
from actlab.web.answers import log
from actlab.web.feeds import Feed
from actlab.web.network_answers import look_answer, network_answer, site_answer
from actlab.web.network_page import looking
from actlab.web.network_session import FEED
from actlab.web.server import address_of, bound, server
from actlab.web.shell import html
from actlab.web.workbench import Page, Workbench

# Findings are computed only while a page looks, and take at most a hundredth of the time.
_REPORT_SECONDS, _REPORT_SHARE = 2.0, 0.01
_CLOSE_SECONDS = 3.0


@final
class LivePage:
    """Serves a page in a daemon thread, from its entry to its exit.

    Args:
        watched: measures the training.
        name: the name of the model.
        every: one step in so many is measured.
        port: the port; None for 8421, or a free one.

    Attributes:
        address: where the page is, with its token; empty before the entry.
    """

    def __init__(self, watched: Watch, *, name: str, every: int, port: int | None) -> None:
        self._watched, self._name, self._every, self._port = watched, name, every, port
        self._history = History()
        self._sites: list[Site] = []
        self._groups: dict[Key, Group] = {}
        self._report: Report | None = None
        self._reported = self._took = 0.0
        self._version = 0
        self._feed = Feed()
        self._stack = ExitStack()
        self.address = ""

    def __enter__(self) -> Self:
        bench = Workbench()
        self._feed = bench.feeds.open(FEED)
        self._publish(step=None, loss=None)
        with ExitStack() as stack:
            listener = bound(self._port, option="live=")
            stack.callback(listener.close)
            runs = server(bench, [lambda _: self._page()])
            thread = Thread(target=lambda: runs.run(sockets=[listener]), name="actlab-live", daemon=True)
            thread.start()

            def stop() -> None:
                bench.feeds.are_over = runs.should_exit = True
                thread.join(_CLOSE_SECONDS)

            stack.callback(stop)
            self.address = address_of(bench, listener)
            log(f"actlab.watch: {self.address}")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def receive(self, measured: MeasuredStep) -> None:
        """Take a measured step, in the thread that trains."""
        known = set(map(key_of, self._sites))
        new = [look.site for look in measured.looks if key_of(look.site) not in known]
        self._sites = [*self._sites, *new]
        self._history.add(replace(measured, looks=looks_at(self._sites, measured)))
        if new:
            for trace in self._watched.traces():
                self._groups.update(zip(map(key_of, trace.sites), site_groups(trace), strict=True))
            self._version += 1
        self._look_for_findings()
        self._publish(step=measured.step, loss=measured.loss)

    def network(self) -> dict[str, Any]:
        """Return the activations of the network and the findings, with the state of the training."""
        sites = self._sites
        rows = [site_answer(site, self._groups.get(key_of(site), "")) for site in sites]
        found = network_answer(name=self._name, where="", rows=rows, sites=sites, report=self._report, unseen=[])
        return {**found, "status": self._feed.value}

    def look(self, *, at: int, step: int | None) -> dict[str, Any]:
        """Return one measured step, closely at one activation."""
        return look_answer(self._history, at=at, step=step)

    def _look_for_findings(self) -> None:
        start = time.monotonic()
        wait = max(_REPORT_SECONDS, self._took / _REPORT_SHARE)
        if self._feed.listeners and (self._report is None or start - self._reported > wait):
            self._report = self._watched.report()
            self._reported = time.monotonic()
            self._took = self._reported - start
            self._version += 1

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

    def _page(self) -> Page:
        def network(request: Request) -> Response:
            return html("network.html.j2", title="My network", here="/network", live=True, names=())

        def front(request: Request) -> Response:
            return RedirectResponse("/network", status_code=303)

        return Page([Route("/", front), Route("/network", network), *looking(lambda: self)])
