"""Values that change while a page looks at them: a training, a comparison."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from threading import Lock
from typing import Any, final

from starlette.requests import Request
from starlette.responses import StreamingResponse

from actlab.web.answers import json_text

# Feeds are compared with what was sent this often: faster than an eye follows, and cheap.
_SECONDS = 0.05
# A comment is sent this often, so that a connection that has gone is noticed.
_ALIVE_SECONDS = 10.0


@final
class Feed:
    """The latest state of something that changes. Any thread may publish; every listener gets the latest value."""

    def __init__(self) -> None:
        self.version = 0
        self.value: Any = None
        self.listeners = 0
        self.last_heard = time.monotonic()

    def publish(self, value: Any) -> None:
        """Replace the value; `value` must be one that `jsonable.plain` converts, and must not change afterwards."""
        self.value = value
        self.version += 1

    @property
    def unheard_seconds(self) -> float:
        """How long no page has listened; 0 while one does."""
        return 0.0 if self.listeners else time.monotonic() - self.last_heard


@final
class Feeds:
    """The feeds of a server, by name.

    Attributes:
        are_over: whether every stream of events is to end, because the server does.
    """

    def __init__(self) -> None:
        self.are_over = False
        self._feeds: dict[str, Feed] = {}
        self._lock = Lock()

    def open(self, name: str) -> Feed:
        """Return a new feed under this name, in place of an older one."""
        with self._lock:
            feed = self._feeds[name] = Feed()
        return feed

    def close(self, name: str) -> None:
        """Forget a feed; pages that listen get the event `gone`."""
        with self._lock:
            self._feeds.pop(name, None)

    def get(self, name: str) -> Feed | None:
        """Return a feed, if there is one of this name."""
        return self._feeds.get(name)


def event_stream(feeds: Feeds) -> Callable[[Request], Any]:
    """Return the endpoint `/api/events?feed=NAME&feed=NAME`: one stream for everything that a browser shows."""

    async def endpoint(request: Request) -> StreamingResponse:
        names = request.query_params.getlist("feed")
        return StreamingResponse(_events(feeds, names), media_type="text/event-stream")

    return endpoint


async def _events(feeds: Feeds, names: Sequence[str]) -> AsyncIterator[str]:
    sent: dict[str, tuple[Feed | None, int]] = {}
    heard: dict[str, Feed] = {}
    spoke = time.monotonic()
    yield ": listening\n\n"
    try:
        while not feeds.are_over:
            for name in names:
                feed = feeds.get(name)
                now = (feed, -1 if feed is None else feed.version)
                if feed is not None and heard.get(name) is not feed:
                    _stop_listening(heard.pop(name, None))
                    feed.listeners += 1
                    heard[name] = feed
                if sent.get(name) == now:
                    continue
                sent[name] = now
                spoke = time.monotonic()
                if feed is None:
                    yield f"event: gone\ndata: {json_text({'feed': name})}\n\n"
                elif feed.version:
                    yield f"event: change\ndata: {json_text({'feed': name, 'value': feed.value})}\n\n"
            if time.monotonic() - spoke > _ALIVE_SECONDS:
                spoke = time.monotonic()
                yield ": alive\n\n"
            await asyncio.sleep(_SECONDS)
    finally:
        for feed in heard.values():
            _stop_listening(feed)


def _stop_listening(feed: Feed | None) -> None:
    if feed is not None:
        feed.listeners -= 1
        feed.last_heard = time.monotonic()
