"""The training of the page My network, in a thread of the server's own process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any, final

from actlab.catalog.own_file import names_own_file
from actlab.errors import ActlabError, BadFormula, BadInput
from actlab.sites.site_text import line_text
from actlab.study.watched_training import WatchedTraining
from actlab.telemetry.close_look import MeasuredStep
from actlab.telemetry.history import History
from actlab.train.subject import defined_at
from actlab.verbs.task_lookup import subject_named
from actlab.web.answers import log
from actlab.web.looking import FEED, look_answer
from actlab.web.network_answers import Measured, network_answer, site_answer
from actlab.web.workbench import Workbench

# As often as the feed is read.
_PUBLISH_SECONDS = 0.05
# The findings take at most a twentieth of the time.
_REPORT_SECONDS, _REPORT_SHARE = 1.0, 0.05
# Without a page that looks, training pauses.
_UNHEARD_SECONDS = 60.0
# A command waits for the step that is running.
_ANSWER_SECONDS = 60.0
_CLOSE_SECONDS = 2.0

Command = Callable[[], None]


@final
class NetworkSession:
    """Trains what the command line named, shows it on a feed, and takes commands between two steps.

    Everything of the training happens in one thread; what other threads read is replaced as a whole.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._feed = bench.feeds.open(FEED)
        self._commands: Queue[tuple[Command, Future[None]]] = Queue()
        self._training: WatchedTraining | None = None
        self._is_closed = self._is_playing = False
        self._phase, self._error = "loading", ""
        self._name = self._where = ""
        self._version = 0
        self._network: dict[str, Any] = network_answer(
            name="", where="", rows=[], sites=[], report=None, unseen=[]
        )  # fmt: skip
        self._published = self._reported = self._report_took = 0.0
        self._speed = _Speed()
        self._publish()
        self._thread = Thread(target=self._run, name="actlab-network", daemon=True)
        self._thread.start()

    def network(self) -> dict[str, Any]:
        """Return the activations of the network and the findings, with the state of the training."""
        return {**self._network, "status": self._feed.value}

    def look(self, *, at: int, step: int | None) -> dict[str, Any]:
        """Return one measured step, closely at one activation."""
        history = History[MeasuredStep]() if self._training is None else self._training.history
        return look_answer(history, Measured, at=at, step=step)

    def do(self, action: str, values: Mapping[str, Any]) -> None:
        """Carry out a command of the page.

        Raises:
            BadInput, BadFormula, UnknownActivation: the message says what to change.
        """
        done: Future[None] = Future()
        self._commands.put((self._command(action, values), done))
        try:
            done.result(_ANSWER_SECONDS)
        except NotYet:
            raise BadInput(f"a training step has taken more than {_ANSWER_SECONDS:g} s; wait for its end.") from None

    def close(self) -> None:
        """Stop the training."""
        self._is_closed = True
        self._thread.join(_CLOSE_SECONDS)

    def _command(self, action: str, values: Mapping[str, Any]) -> Command:
        commands: Mapping[str, Command] = {
            "play": self._play,
            "pause": self._pause,
            "step": self._one_step,
            "reset": self._restart,
            "load": self._load,
            "rate": lambda: _set_rate(self._ready(), values.get("rate")),
            "swap": lambda: self._ready().swap(_site(values), formula(values.get("formula"))),
            "undo": lambda: self._ready().undo(_site(values)),
            "undo-all": lambda: self._ready().undo_all(),
        }
        if action not in commands:
            raise BadInput(f"the action must be one of {', '.join(commands)}; got {action!r}.")
        return commands[action]

    # everything below runs in the session's thread

    def _run(self) -> None:
        self._guarded(self._load)
        self._show()
        while not self._is_closed:
            try:
                command, done = self._commands.get(block=not self._is_playing, timeout=0.1)
            except Empty:
                if self._is_playing:
                    self._guarded(self._train)
                continue
            self._answer(command, done)
        if self._training is not None:
            self._training.close()

    def _answer(self, command: Command, done: Future[None]) -> None:
        """Carry out a command; its caller goes on once the state that it led to can be read."""
        raised: ActlabError | None = None
        try:
            command()
        except ActlabError as error:
            raised = error
        except Exception as error:  # the page must answer, whatever the user's code or ours raises
            log(f"My network: {type(error).__name__}: {error}")
            raised = BadInput(f"{type(error).__name__}: {error}")
        self._show()
        if raised is None:
            done.set_result(None)
        else:
            done.set_exception(raised)

    def _guarded(self, action: Command) -> None:
        """Do something of which the page shows the failure."""
        try:
            action()
        except ActlabError as error:
            self._fail(str(error))
        except Exception as error:  # the session stays, whatever the user's code or ours raises
            log(f"My network: {type(error).__name__}: {error}")
            self._fail(f"{type(error).__name__}: {error}")

    def _fail(self, sentence: str) -> None:
        self._phase, self._error, self._is_playing = "failed", sentence, False
        self._show()

    def _load(self) -> None:
        """Run what the command line named, from the beginning."""
        if self._training is not None:
            self._training.close()
        self._training, self._is_playing = None, False
        self._phase, self._error = "loading", ""
        self._publish()
        bench = self._bench
        try:
            subject = subject_named(bench.data, target=bench.target, task=bench.task, verb="serve", input=bench.input)
            self._training = WatchedTraining(subject)
        except ActlabError as error:
            self._phase, self._error = "failed", str(error)
            raise
        file, line = defined_at(subject)
        self._name, self._where = subject.name, line_text(file, line, root=Path.cwd())
        self._phase = "ready"

    def _ready(self) -> WatchedTraining:
        if self._training is None:
            raise BadInput(f"the network could not be loaded: {self._error} Correct it and load it again.")
        return self._training

    def _trainable(self) -> WatchedTraining:
        training = self._ready()
        if self._phase in {"failed", "diverged"}:
            raise BadInput("the training has ended: reset it first.")
        if training.why_not_trained:
            raise BadInput(training.why_not_trained)
        return training

    def _play(self) -> None:
        self._trainable()
        self._is_playing, self._error = True, ""
        self._speed = _Speed()

    def _pause(self) -> None:
        self._is_playing = False

    def _restart(self) -> None:
        self._is_playing = False
        self._ready().restart()
        self._phase, self._error = "ready", ""

    def _one_step(self) -> None:
        self._trainable()
        self._is_playing, self._error = False, ""
        self._guarded(self._train)

    def _train(self) -> None:
        training = self._ready()
        loss = training.step()
        self._speed.count()
        now = time.monotonic()
        if not math.isfinite(loss):
            self._phase, self._is_playing = "diverged", False
            self._error = (
                f"Diverged: the loss of step {training.steps - 1} is not a finite number. Choose a smaller learning"
                " rate, or another activation, and reset."
            )
        elif self._feed.unheard_seconds > _UNHEARD_SECONDS:
            self._is_playing, self._error = False, "Paused: no page has looked for a minute."
        if not self._is_playing or now - self._reported > max(_REPORT_SECONDS, self._report_took / _REPORT_SHARE):
            self._show()
        elif now - self._published > _PUBLISH_SECONDS:
            self._publish()

    def _show(self) -> None:
        """Replace what the page shows of the network, findings included."""
        start, training = time.monotonic(), self._training
        if training is not None:
            now, first = training.now, training.places
            rows = [
                site_answer(
                    site,
                    group,
                    was=first.sites[at] if at in training.choices else None,
                    note=training.changed[at].note if at in training.changed else "",
                )
                for at, (site, group) in enumerate(zip(now.sites, now.groups, strict=True))
            ]
            self._network = network_answer(
                name=self._name, where=self._where, rows=rows, sites=now.sites, defined=first.sites,
                report=training.report(), unseen=now.unseen,
            )  # fmt: skip
        self._version += 1
        self._reported = time.monotonic()
        self._report_took = self._reported - start
        self._publish()

    def _publish(self) -> None:
        training, self._published = self._training, time.monotonic()
        self._feed.publish(
            {
                "phase": self._phase,
                "playing": self._is_playing,
                "error": self._error,
                "version": self._version,
                "step": 0 if training is None else training.steps,
                "loss": None if training is None else training.loss,
                "rate": None if training is None else training.rate,
                "per_second": self._speed.per_second if self._is_playing else None,
                "untrained": "" if training is None else training.why_not_trained,
            }
        )


@final
class _Speed:
    """Steps per second, over about the last second."""

    def __init__(self) -> None:
        self._since, self._steps = time.monotonic(), 0
        self.per_second: float | None = None

    def count(self) -> None:
        self._steps += 1
        seconds = time.monotonic() - self._since
        if seconds > 1:
            self.per_second = self._steps / seconds
            self._since, self._steps = time.monotonic(), 0


def formula(text: object) -> str:
    """Return an activation's name or a formula that a page sent; a file is never run.

    Raises:
        BadFormula: it is empty or names a file.
    """
    found = text.strip() if isinstance(text, str) else ""
    if not found:
        raise BadFormula("no activation was named; type one, such as gelu or x*sigmoid(1.7*x).")
    if names_own_file(found):
        raise BadFormula(f"a page runs no file; got '{found}'. Type the formula itself.")
    return found


def _site(values: Mapping[str, Any]) -> int:
    at = values.get("site")
    if isinstance(at, bool) or not isinstance(at, int):
        raise BadInput(f"the site must be a whole number; got {at!r}.")
    return at


def _set_rate(training: WatchedTraining, rate: Any) -> None:
    try:
        training.rate = float(rate)
    except (TypeError, ValueError):
        raise BadInput(f"the learning rate must be a positive number; got {rate!r}.") from None
