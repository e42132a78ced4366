"""Who gets in: default-deny, for every route but the liveness probe.

A web page in the user's browser can reach 127.0.0.1 too, under a name of its own (DNS rebinding) or as a foreign
origin. So the Host must be exactly ours with its port, a foreign Origin is refused, and a bearer token is asked for.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from panotti_daemon.api.problems import problem

PREFIX = "/api/v1"
OPEN = f"{PREFIX}/health/live"
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
}
LARGEST_BODY = 2**20
"""Bytes, of which nothing that is asked here needs a tenth."""


class Gate:
    """Pure ASGI, so that it stands before everything else and streams pass it untouched."""

    def __init__(self, app: ASGIApp, *, token: str, port: int, cors_origins: Iterable[str] = ()) -> None:
        self._app = app
        self._authorization = f"Bearer {token}".encode()
        self._hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))
        self._own_origins = frozenset(f"http://{host}" for host in self._hosts)
        self._cors_origins = frozenset(cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        send = self._marked(send, headers.get("origin"))
        answer = self._refusal(scope, headers) or self._app
        await answer(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        origins = headers.getlist("origin")
        if headers.getlist("host") not in [[host] for host in self._hosts]:
            return problem(403, "This Host is not served here.")
        if origins and (len(origins) > 1 or origins[0] not in self._own_origins | self._cors_origins):
            return problem(403, "This Origin is not allowed; see api.cors_origins in the settings.")
        if origins and origins[0] in self._cors_origins and scope["method"] == "OPTIONS":
            return Response(status_code=204, headers=PREFLIGHT)
        if scope["path"] != OPEN and not self._is_known(headers):
            detail = "A bearer token is needed; it stands in the runtime file."
            return problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
        return _too_much(headers)

    def _is_known(self, headers: Headers) -> bool:
        given = headers.getlist("authorization")
        return len(given) == 1 and hmac.compare_digest(given[0].encode("latin-1"), self._authorization)

    def _marked(self, send: Send, origin: str | None) -> Send:
        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
                headers["Cache-Control"] = "no-store"
                if origin in self._cors_origins:
                    headers["Access-Control-Allow-Origin"] = origin or ""
                    headers["Vary"] = "Origin"
            await send(message)

        return send_marked


def _too_much(headers: Headers) -> ASGIApp | None:
    """A refusal of a body that would fill the memory; of one whose length is not told, nobody knows."""
    if "transfer-encoding" in headers:
        return problem(411, "Say how long the body is: Content-Length.", headers={"Connection": "close"})
    if int(headers.get("content-length", 0)) > LARGEST_BODY:
        return problem(413, f"At most {LARGEST_BODY} bytes can be sent.", headers={"Connection": "close"})
    return None
