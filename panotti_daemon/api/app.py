"""The HTTP API: one FastAPI application behind the gate, on a loopback socket that is bound before."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from panotti_daemon import __version__
from panotti_daemon.api.auth import PREFIX, Gate
from panotti_daemon.api.problems import handle_problems
from panotti_daemon.api.routes import daemon, health, ledger, recordings
from panotti_daemon.api.schemas import Problem
from panotti_daemon.api.services import Services
from panotti_daemon.errors import PanottiError
from panotti_daemon.settings import ApiSettings

STOP_SECONDS = 1


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
    for module in (health, daemon, recordings, ledger):
        app.include_router(module.router, prefix=PREFIX)
    handle_problems(app)
    return app


def bind(settings: ApiSettings) -> tuple[socket.socket, bool]:
    """A listening socket, and whether it has the port that the settings name."""
    host = "127.0.0.1" if settings.host == "localhost" else settings.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (settings.port, 0):
        listener = socket.socket(family, socket.SOCK_STREAM)
        if sys.platform != "win32":  # there it would let another program take the port over
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            listener.close()
            continue
        return listener, port == settings.port
    raise PanottiError(f"No port can be opened on {host}.", title="The API cannot be served")


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
