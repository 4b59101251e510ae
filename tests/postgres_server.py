"""A real PostgreSQL server for the tests, on a socket in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Server:
    """A server that can be stopped and started."""

    folder: Path
    programs: Path
    owner: dict[str, Any]

    @property
    def url(self) -> str:
        return f"postgresql:///postgres?host={self.folder}&user=actlab"

    def run(self, program: str, *arguments: str | Path) -> None:
        command = [self.programs / program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, timeout=60, **self.owner)
        assert done.returncode == 0, done.stdout + done.stderr

    def create(self) -> None:
        data = self.folder / "data"
        self.run("initdb", "-D", data, "-U", "actlab", "-A", "trust", "--no-sync", "-E", "UTF8")

    def start(self) -> None:
        options = f"-k {self.folder} -h '' -F"
        self.run("pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")


def programs() -> Path | None:
    """The folder of PostgreSQL's programs; Debian keeps them out of the path, under their version."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    return folders[-1] if folders else None


@contextmanager
def running_server() -> Iterator[Server]:
    """Start a server, and remove it with all that it stored."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'actlab[postgres]'")
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL server is installed (no initdb in the path or under /usr/lib/postgresql)")
    folder = Path("/tmp") / f"actlab-pg-{os.getpid()}"  # a socket's path may have no more than 107 characters
    folder.mkdir()
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        owner = {"user": "nobody", "group": user.pw_gid, "extra_groups": []}
    server = Server(folder, found, owner)
    try:
        server.create()
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder)
