"""Another process of this program, which can be interrupted and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from tempfile import TemporaryFile
from typing import Any, final

from actlab.errors import BadStudy

_INTERRUPTED_SECONDS, _TERMINATED_SECONDS = 2.0, 1.0
"""How long a process may take to end by itself when it is interrupted, and when it is terminated."""

_PROGRESS = '{"done": '
_LAST_BYTES = 8192


@final
class Child:
    """A process in a session apart, so that Ctrl-C in the terminal reaches it through its parent alone.

    Args:
        command: the program and its arguments; no shell reads them.

    Raises:
        BadStudy: it cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        # Files, which never fill up as a pipe does.
        self._out, self._errors = TemporaryFile(), TemporaryFile()  # noqa: SIM115 - closed by `close`
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._errors, start_new_session=True
            )
        except OSError as error:
            self._out.close()
            self._errors.close()
            raise BadStudy(f"the process of a comparison cannot be started: {error.strerror}.") from error

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.poll()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def interrupt(self) -> None:
        """Ask it to end, as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        """Ask it to end without tidying up."""
        self._process.terminate()

    def close(self) -> None:
        """End it and all processes that it has started, and free its files."""
        if self.status is None:
            self.interrupt()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_INTERRUPTED_SECONDS)
        if self.status is None:
            self.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_TERMINATED_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # its workers have its session
        self._process.wait()
        self._out.close()
        self._errors.close()

    def output(self) -> str:
        """Return what it has written to standard output."""
        return _text(self._out.fileno())

    def last_error(self) -> str:
        """Return the last line that it has written to standard error, other than progress; empty if there is none."""
        lines = [line.strip() for line in _text(self._errors.fileno()).splitlines()]
        return next((line for line in reversed(lines) if line and not line.startswith(_PROGRESS)), "")

    def progress(self) -> dict[str, Any] | None:
        """Return the progress that it has written last, by `--progress-json`; None if there is none yet."""
        lines = _text(self._errors.fileno(), last=_LAST_BYTES).splitlines(keepends=True)
        found = [line for line in lines if line.startswith(_PROGRESS) and line.endswith("\n")]
        values: dict[str, Any] | None = json.loads(found[-1]) if found else None
        return values


def _text(file: int, *, last: int | None = None) -> str:
    """Return the text of a file that another process may still write, or its last bytes; its position stays."""
    size = os.fstat(file).st_size
    start = 0 if last is None else max(0, size - last)
    return os.pread(file, size - start, start).decode(errors="replace")
