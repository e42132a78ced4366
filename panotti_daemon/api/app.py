"""The HTTP API: one FastAPI application behind the gate, on a loopback socket that is bound before."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from uvicorn.protocols.http.h11_impl import H11Protocol

from panotti_daemon import __version__
from panotti_daemon.api.auth import OPEN, PREFIX, Gate
from panotti_daemon.api.problems import MEDIA_TYPE as PROBLEM
from panotti_daemon.api.problems import handle_problems, problem
from panotti_daemon.api.routes import daemon, events, forget, health, ledger, models, plugins, recordings, remote
from panotti_daemon.api.schemas import Problem
from panotti_daemon.api.services import Services
from panotti_daemon.errors import PanottiError
from panotti_daemon.settings import ApiSettings

STOP_SECONDS = 1
REQUEST_SECONDS = 5.0
"""A connection whose request is not whole by then is closed: they are few, and each is a file of the daemon."""


def create_app() -> FastAPI:
    """Without the gate and the services: enough for its OpenAPI description."""
    app = FastAPI(
        title="Panotti",
        version=__version__,
        description="The local API of the Panotti daemon. Every route but the liveness probe asks for a bearer token.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        responses={"default": {"model": Problem, "description": "A problem, as RFC 9457 has it"}},
    )
    for module in (health, daemon, recordings, ledger, forget, events, plugins, models, remote):
        app.include_router(module.router, prefix=PREFIX)
    handle_problems(app)
    app.openapi = partial(_describe, app)  # type: ignore[method-assign]
    return app


def _describe(app: FastAPI) -> dict[str, Any]:
    """FastAPI's own description, and what it cannot know: the gate's token, and the media type of problems."""
    description = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, openapi_version="3.1.0"
    )
    description["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, operations in description["paths"].items():
        for operation in operations.values():
            operation["security"] = [] if path == OPEN else [{"token": []}]
            problems = operation["responses"]["default"]
            problems["content"] = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return description


def bind(settings: ApiSettings) -> tuple[socket.socket, bool]:
    """A listening socket, and whether it has the port that the settings name."""
    host = "127.0.0.1" if settings.host == "localhost" else settings.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (settings.port, 0):
        with suppress(OSError):
            return _listening(family, host, port), port == settings.port
    raise PanottiError(
        f"No port can be opened on {host}; `api.host` may name another address.", title="The API cannot be served"
    )


def _listening(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """Raises OSError."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":  # SO_REUSEADDR would let another program take the port over there
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # until then, another daemon that starts could bind the same port
    except OSError:
        listener.close()
        raise
    return listener


class ApiServer:
    """uvicorn without its signal handlers, and without waking ten times a second."""

    def __init__(self, listener: socket.socket, services: Services, token: str, settings: ApiSettings) -> None:
        host, port = listener.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._listener = listener
        app = create_app()
        app.state.services = services
        self._server = _QuietServer(
            uvicorn.Config(
                Gate(app, token=token, port=port, cors_origins=settings.cors_origins),
                http=_Protocol,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                ws="none",
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]), name="api")
        await self._server.is_up.wait()

    async def stop(self) -> None:
        self._server.end()
        if self._task:
            await self._task


class _QuietServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()
        self._ending = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        self.is_up.set()
        await self._ending.wait()

    def end(self) -> None:
        self.should_exit = True
        self._ending.set()


class _Protocol(H11Protocol):
    """HTTP/1.1 that waits for nobody for ever, and refuses what is no HTTP with a problem, too."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lift_deadline()
        super().connection_lost(exc)

    def _set_deadline(self) -> None:
        """Counts from the first byte of a request, or from the connection, to its last: one that drips is late, too."""
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._lift_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.close)

    def _lift_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def send_400_response(self, msg: str) -> None:
        refusal = problem(400, msg, headers={"Connection": "close"})
        for event in (
            h11.Response(status_code=400, headers=refusal.raw_headers, reason=b"Bad Request"),
            h11.Data(data=bytes(refusal.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
