"""Who may ask: only this machine's browser, opened with the address that the server printed."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import final
from urllib.parse import urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actlab.web.answers import refusal

# Pages hold no inline script and load nothing from elsewhere.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # the first address holds the token
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}

MOST_BYTES = 20 * 1024 * 1024
"""The largest request that is read: a table to upload."""


@final
class Gate:
    """Middleware that refuses foreign hosts, foreign origins, strangers and requests that are too large."""

    def __init__(self, app: ASGIApp, *, token: str, most_bytes: int = MOST_BYTES) -> None:
        self._app, self._token, self._most_bytes = app, token, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        answer = self._refused(request) or self._let_in(request)
        if answer is not None and answer.status_code >= 400 and "text/html" in request.headers.get("accept", ""):
            sentence = json.loads(bytes(answer.body))["error"]
            answer = PlainTextResponse(sentence[0].upper() + sentence[1:], answer.status_code)
        if answer is not None:
            await answer(scope, receive, _with_headers(send))
            return
        await self._app(scope, _bounded(receive, self._most_bytes), _with_headers(send))

    def _refused(self, request: Request) -> Response | None:
        port = (request.scope.get("server") or ("", 0))[1]
        hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        host = request.headers.get("host", "")
        if host not in hosts:
            return refusal(f"the host must be one of {', '.join(sorted(hosts))}; got {host!r}.", status=403)
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return refusal(f"requests from other pages are refused; this one came from {origin!r}.", status=403)
        if request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            return refusal("requests from other pages are refused.", status=403)
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._most_bytes:
            most = self._most_bytes // 2**20
            return refusal(f"a request may hold {most} MiB at most; this one says {length} bytes.", status=413)
        return None

    def _let_in(self, request: Request) -> Response | None:
        """Return None for a browser that has shown the token; a redirect that stores it, or a refusal."""
        cookie = f"actlab-{request.url.port}"
        if self._is_token(request.cookies.get(cookie, "")):
            return None if "token" not in request.query_params else self._without_token(request, cookie)
        if not self._is_token(request.query_params.get("token", "")):
            return refusal("open the address that `actlab serve` printed; it holds the key to this page.", status=403)
        return self._without_token(request, cookie)

    def _without_token(self, request: Request, cookie: str) -> Response | None:
        if request.url.path.startswith("/api/") and self._is_token(request.query_params["token"]):
            return None  # a program that asks once needs no cookie
        rest = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
        answer = RedirectResponse(request.url.path + (f"?{urlencode(rest)}" if rest else ""), status_code=303)
        answer.set_cookie(cookie, self._token, httponly=True, samesite="strict", path="/")
        return answer

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._token.encode())


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return wrapped


def _bounded(receive: Receive, most: int) -> Receive:
    """Stop reading a request without a stated length once it is too large."""
    count = 0

    async def wrapped() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > most:
            return {"type": "http.disconnect"}
        return message

    return wrapped
