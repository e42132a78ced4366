"""A daemon that only plays one: a real HTTP server which shows the status that a test gives it, and notes requests."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from panotti_daemon.api.schemas import Activity, Changed, RuntimeInfo, Status
from panotti_daemon.paths import Paths
from tests.desktop.desktop import wait_for

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
TOKEN = "open sesame"


def status(activity: Activity = Activity.IDLE, summary: str = "Nothing to do", **more: Any) -> Status:
    return Status(
        version="0.1.0",
        activity=activity,
        summary=summary,
        pid=1,
        started_at=NOW,
        url="http://127.0.0.1",
        log_file="/tmp/panotti.log",
        **more,
    )


class ScriptedDaemon:
    """Use as a context manager: it answers for the home of `paths` as long as the block lasts."""

    def __init__(self, paths: Paths, shown: Status | None = None) -> None:
        self._paths = paths
        self._status = shown or status()
        self._changed = asyncio.Event()
        self._ending = False
        self._server = uvicorn.Server(uvicorn.Config(self._app(), log_config=None, lifespan="off"))
        self._socket = socket.socket()
        self._thread = threading.Thread(target=self._serve)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.posts: list[str] = []
        """Path and body of each request that wants to change something, as `/pause {"until":null}`."""

    def __enter__(self) -> ScriptedDaemon:
        self._socket.bind(("127.0.0.1", 0))
        self._thread.start()
        wait_for(lambda: self._server.started, "the scripted daemon has started")
        url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        info = RuntimeInfo(pid=1, url=url, token=TOKEN, started_at=NOW)
        self._paths.create()
        self._paths.runtime_file.write_text(info.model_dump_json())
        return self

    def __exit__(self, *_: object) -> None:
        """As if killed: the runtime file stays."""
        self._ending = True
        self.show(self._status)
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def show(self, shown: Status) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._show(shown), self._loop).result()

    def _serve(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self._server.serve(sockets=[self._socket])

        asyncio.run(serve())

    async def _show(self, shown: Status) -> None:
        self._status = shown
        self._changed.set()
        self._changed = asyncio.Event()

    async def _events(self) -> AsyncIterator[str]:
        yield ": hello\n\nevent: other\ndata: ignored\n\n"
        while not self._ending:
            changed = self._changed
            yield f"event: status\ndata: {self._status.model_dump_json()}\n\n"
            await changed.wait()

    def _app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/api/v1/events")
        async def events() -> Response:
            return StreamingResponse(self._events(), media_type="text/event-stream")

        @app.get("/api/v1/status")
        async def get_status() -> Status:
            return self._status

        @app.get("/api/v1/recordings/{recording_id}/transcript.txt")
        async def get_transcript(recording_id: str) -> Response:
            return Response("Guten Morgen, Zoë.\n", media_type="text/plain")

        @app.post("/api/v1/{rest:path}")
        async def post(request: Request, rest: str) -> Any:
            body = (await request.body()).decode()
            self.posts.append(f"/{rest} {body}".strip())
            if rest == "pause":
                await self._show(status(Activity.PAUSED, "Paused"))
            if rest == "resume":
                await self._show(status())
            return self._status if rest in ("pause", "resume") else Changed(count=1)

        @app.middleware("http")
        async def authenticate(request: Request, call_next: Any) -> Any:
            known = request.headers.get("authorization") == f"Bearer {TOKEN}"
            return await call_next(request) if known else Response(status_code=401)

        return app
