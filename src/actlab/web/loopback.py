"""Listen on this machine alone."""

from __future__ import annotations

import socket

import uvicorn
from starlette.applications import Starlette

from actlab.errors import BadInput
from actlab.web.workbench import Workbench

HOST = "127.0.0.1"
PORT = 8421
_LIMIT = 65535


def runner(app: Starlette) -> uvicorn.Server:
    """Return the server of an application, not yet running."""
    settings = uvicorn.Config(
        app,
        # what fails is logged by the application, in one line
        log_level="critical",
        access_log=False,
        # a page that listens to events never ends its request
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    return uvicorn.Server(settings)


def address_of(bench: Workbench, listener: socket.socket) -> str:
    """Return the first address, which holds the token."""
    return f"http://{HOST}:{listener.getsockname()[1]}/?token={bench.token}"


def bound(port: int | None, *, option: str = "--port ") -> socket.socket:
    """Return a socket on the port of the loopback interface.

    Raises:
        BadInput: the port is in use or is none.
    """
    if port is not None and not 0 <= port <= _LIMIT:
        raise BadInput(f"{option.rstrip(' =')} must be from 0 (any free one) to {_LIMIT}; got {port}.")
    for wanted in (PORT, 0) if port is None else (port,):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, wanted))
            listener.listen()  # who asks before the pages are ready waits for them
        except OSError as error:
            listener.close()
            if port is not None:
                raise BadInput(f"{option}{port} cannot be used: {error.strerror}. Name another, or none.") from error
        else:
            return listener
    raise BadInput("no port of this machine is free.")
