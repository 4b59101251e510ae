"""The page My network of a training that runs in this process; another process serves it, which only looks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from queue import Full, Queue
from threading import Thread
from types import TracebackType
from typing import Any, Self, final

from actlab.diagnosis.report import Report
from actlab.diagnosis.watch import Watch
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.rules.site_groups import site_groups
from actlab.sites.site import Group, Site
from actlab.telemetry.close_look import Key, Look, MeasuredStep, key_of, looks_at
from actlab.web.answers import log
from actlab.web.live_server import LISTENING
from actlab.web.loopback import address_of, bound
from actlab.web.network_answers import curve_of, drawn_range, look_of, network_answer, numbers_of, site_answer
from actlab.web.workbench import Workbench

# Findings are computed only while a page looks, and take at most a 300th of the time.
_REPORT_SECONDS, _REPORT_SHARE = 2.0, 1 / 300
_CLOSE_SECONDS = 3.0
# So many steps wait for a process that is slow to take them; further ones are not shown.
_MOST_WAITING = 8
# A curve is drawn over more than the inputs need, so that it seldom has to be drawn again.
_MARGIN, _WIDEST = 0.25, 4.0


@final
class LivePage:
    """Shows a training on a page, from its entry to its exit.

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
        self._sites: list[Site] = []
        self._groups: dict[Key, Group] = {}
        self._report: Report | None = None
        self._reported = self._took = 0.0
        self._is_new = True
        self._drawn: dict[int, tuple[Activation, float, float]] = {}
        self._stack = ExitStack()
        self._server: _Server | None = None
        self.address = ""

    def __enter__(self) -> Self:
        bench = Workbench()
        with bound(self._port, option="live=") as listener:
            self.address = address_of(bench, listener)
            self._server = self._stack.enter_context(
                _Server(listener.fileno(), {"token": bench.token, "every": self._every})
            )
        log(f"actlab.watch: {self.address}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server = None
        self._stack.close()

    def receive(self, measured: MeasuredStep) -> None:
        """Take a measured step, in the thread that trains."""
        server = self._server
        if server is None:  # the last step ends with the block, and so does the page
            return
        known = set(map(key_of, self._sites))
        new = [look.site for look in measured.looks if key_of(look.site) not in known]
        self._sites = [*self._sites, *new]
        if new:
            for trace in self._watched.traces():
                self._groups.update(zip(map(key_of, trace.sites), site_groups(trace), strict=True))
            self._is_new = True
        self._look_for_findings(listens=server.listens())
        looks = looks_at(self._sites, measured)
        curves = self._curves(looks)
        message = {
            "step": measured.step,
            "loss": measured.loss,
            "rows": [numbers_of(look) for look in looks],
            "looks": [look_of(look) for look in looks],
            "curves": {at: vars(curve_of(looks[at], low, high)) for at, (_, low, high) in curves.items()},
            **({"network": self._network()} if self._is_new else {}),
        }
        if server.send(message):
            self._is_new = False
            self._drawn.update(curves)

    def _network(self) -> dict[str, Any]:
        rows = [site_answer(site, self._groups.get(key_of(site), "")) for site in self._sites]
        return network_answer(
            name=self._name, where="", rows=rows, sites=self._sites, report=self._report, unseen=[]
        )  # fmt: skip

    def _curves(self, looks: tuple[Look, ...]) -> dict[int, tuple[Activation, float, float]]:
        """Return the functions whose curve is not there yet, or over another range, each with a range to draw."""
        found: dict[int, tuple[Activation, float, float]] = {}
        for at, look in enumerate(looks):
            act, drawn = look.site.measured, drawn_range(look)
            if drawn is None or not isinstance(act, Activation):
                continue
            low, high = drawn
            before, least, most = self._drawn.get(at, (None, 0.0, 0.0))
            if before is act and least <= low and high <= most and most - least <= _WIDEST * (high - low):
                continue
            margin = _MARGIN * (high - low)
            found[at] = (act, low - margin, high + margin)
        return found

    def _look_for_findings(self, *, listens: bool) -> None:
        start = time.monotonic()
        wait = max(_REPORT_SECONDS, self._took / _REPORT_SHARE)
        if listens and (self._report is None or start - self._reported > wait):
            self._report = self._watched.report()
            self._reported = time.monotonic()
            self._took = self._reported - start
            self._is_new = True


@final
class _Server:
    """The process that serves the page.

    Args:
        listener: the number of the socket to listen on.
        begin: its first message.

    Raises:
        BadInput: it cannot be started.
    """

    def __init__(self, listener: int, begin: dict[str, Any]) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "actlab.web.live_server", str(listener)],
                # what can be imported here can be there, and the user's program is not run again
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[listener],
                start_new_session=True,  # Ctrl-C in the terminal is for the training
            )
        except OSError as error:
            raise BadInput(f"live: the process of the page cannot be started: {error.strerror}.") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        os.set_blocking(self._from.fileno(), False)
        self._listens = self._is_closing = False
        self._waiting: Queue[dict[str, Any] | None] = Queue(_MOST_WAITING)
        self._waiting.put(begin)
        self._writer = Thread(target=self._write, name="actlab-live", daemon=True)

    def __enter__(self) -> Self:
        self._writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closing = True
        with suppress(Full):
            self._waiting.put(None, timeout=_CLOSE_SECONDS if self._writer.is_alive() else 0.0)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_SECONDS)
        self._process.kill()  # which also frees a writer that waits for it
        self._process.wait()
        self._writer.join()
        self._from.close()

    def listens(self) -> bool:
        """Return whether a page listens."""
        with suppress(BlockingIOError):
            said = os.read(self._from.fileno(), 4096)
            self._listens = said.endswith(LISTENING)
        return self._listens

    def send(self, message: dict[str, Any]) -> bool:
        """Send a message, unless too many wait; return whether it is sent."""
        try:
            self._waiting.put_nowait(message)
        except Full:
            return False
        return True

    def _write(self) -> None:
        """Send what waits, until the end or until the process has gone."""
        try:
            with self._to:
                while (message := self._waiting.get()) is not None:
                    self._to.write(json.dumps(message).encode() + b"\n")
                    self._to.flush()
        except OSError:
            if not self._is_closing:
                log("actlab.watch: the process of the live page has ended; the training goes on.")
