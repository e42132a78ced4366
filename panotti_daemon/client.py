"""The daemon's HTTP API, typed: what the command line and the tray icon speak to the daemon with.

A client belongs to one daemon. It is found by the runtime file, which a new daemon writes anew, so whoever waits for
a daemon to come back makes a new client.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from panotti_daemon import loopback
from panotti_daemon.api.model_schemas import ModelChoice, ModelInventory, ModelName
from panotti_daemon.api.plugin_schemas import ActionAnswer, PluginDetail
from panotti_daemon.api.schemas import (
    BacklogDecision,
    BacklogStatus,
    Changed,
    DeadDelivery,
    DeadSelection,
    EventDetail,
    EventPage,
    ForgetFileRequest,
    ForgetRequest,
    ForgottenReport,
    LedgerEntry,
    LedgerPage,
    MissedMessages,
    ModelDownload,
    PassingMessage,
    PathRequest,
    Pause,
    PluginStatus,
    Problem,
    RecordingDetail,
    RecordingPage,
    ReplayReport,
    ReplayRequest,
    RuntimeInfo,
    Status,
    StoredEvent,
)
from panotti_daemon.choices import FileState
from panotti_daemon.errors import NotRunning, RequestFailed
from panotti_daemon.paths import Paths

T = TypeVar("T")

CONNECT_SECONDS = 2.0
READ_SECONDS = 10.0
LONG_WORK_SECONDS = 600.0
"""For what may touch every event that is kept."""
STREAM_READ_SECONDS = 40.0
"""Longer than two of the stream's keep-alive comments, which come every 15 s."""

NOT_FOUND = 404
NOT_RUNNING = "Start it with `panotti run`."


class Client:
    """Every request may raise NotRunning and RequestFailed."""

    def __init__(self, url: str, token: str) -> None:
        self._root = f"{url.rstrip('/')}/api/v1"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    @classmethod
    def from_paths(cls, paths: Paths) -> Self:
        """The daemon of this home. Raises NotRunning where its runtime file is not there, or not readable."""
        try:
            info = RuntimeInfo.model_validate_json(paths.runtime_file.read_bytes())
        except (OSError, ValidationError) as error:
            raise NotRunning(NOT_RUNNING) from error
        return cls(info.url, info.token)

    async def status(self) -> Status:
        return _parse(Status, await self._get("/status"))

    async def statuses(self) -> AsyncGenerator[Status, None]:
        """The status now and then whenever it changes, until the daemon ends the stream. Who leaves it before closes
        it: `async with aclosing(...)`."""
        sending = self._send("GET", "/events", seconds=STREAM_READ_SECONDS)
        async with sending as response, aclosing(server_sent_events(response.chunks)) as events:
            async for event in events:
                if event.name == "status":
                    yield _parse(Status, event.data.encode())

    async def recordings(self, *, state: FileState | None = None, limit: int = 50, offset: int = 0) -> RecordingPage:
        return _parse(RecordingPage, await self._get("/recordings", _page(state, limit, offset)))

    async def recording(self, recording_id: str) -> RecordingDetail:
        return _parse(RecordingDetail, await self._get(_recording(recording_id)))

    async def transcript(self, recording_id: str, format: str = "txt") -> str:
        """The transcript in one of the formats txt, srt, vtt, json, md."""
        return (await self._get(f"{_recording(recording_id)}/transcript.{format}")).decode()

    async def retry_recording(self, recording_id: str) -> Changed:
        return _parse(Changed, await self._post(f"{_recording(recording_id)}/retry"))

    async def cancel_recording(self, recording_id: str) -> Changed:
        return _parse(Changed, await self._post(f"{_recording(recording_id)}/cancel"))

    async def transcribe_recording_now(self, recording_id: str) -> Changed:
        return _parse(Changed, await self._post(f"{_recording(recording_id)}/now"))

    async def ledger(self, *, state: FileState | None = None, limit: int = 50, offset: int = 0) -> LedgerPage:
        return _parse(LedgerPage, await self._get("/ledger", _page(state, limit, offset)))

    async def explain(self, path: str) -> LedgerEntry:
        return _parse(LedgerEntry, await self._get("/ledger/explain", {"path": path}))

    async def transcribe_file_now(self, path: str) -> Changed:
        return _parse(Changed, await self._post("/ledger/now", PathRequest(path=path)))

    async def retry_file(self, path: str) -> Changed:
        return _parse(Changed, await self._post("/ledger/retry", PathRequest(path=path)))

    async def forget_recording(self, recording_id: str, wish: ForgetRequest) -> ForgottenReport:
        answer = await self._post(f"{_recording(recording_id)}/forget", wish, seconds=LONG_WORK_SECONDS)
        return _parse(ForgottenReport, answer)

    async def forget_file(self, path: str, wish: ForgetRequest) -> ForgottenReport:
        request = ForgetFileRequest(path=path, **wish.model_dump())
        return _parse(ForgottenReport, await self._post("/ledger/forget", request, seconds=LONG_WORK_SECONDS))

    async def retry_failed(self) -> Changed:
        return _parse(Changed, await self._post("/retry"))

    async def pause(self, until: datetime | None = None) -> Status:
        return _parse(Status, await self._post("/pause", Pause(until=until)))

    async def resume(self) -> Status:
        return _parse(Status, await self._post("/resume"))

    async def backlog(self) -> list[BacklogStatus]:
        return _parse(list[BacklogStatus], await self._get("/backlog"))

    async def decide_backlog(self, *, accept: bool, folder: str | None = None) -> Changed:
        """Answers for one folder, or for every folder that asks."""
        return _parse(Changed, await self._post("/backlog", BacklogDecision(accept=accept, folder=folder)))

    async def journal(self, query: Mapping[str, str | int]) -> EventPage:
        return _parse(EventPage, await self._get("/journal", query))

    async def event(self, part_of_id: str) -> EventDetail:
        return _parse(EventDetail, await self._get(f"/journal/{_part(part_of_id)}"))

    async def correlation(self, part_of_id: str) -> list[StoredEvent]:
        return _parse(list[StoredEvent], await self._get(f"/journal/correlations/{_part(part_of_id)}"))

    async def passing(
        self, name: str | None = None, *, data: bool = False
    ) -> AsyncGenerator[PassingMessage | MissedMessages, None]:
        """What passes from now on, until the daemon ends the stream."""
        query = {"data": str(data).lower(), **({"name": name} if name else {})}
        sending = self._send("GET", "/journal/stream", query, seconds=STREAM_READ_SECONDS)
        async with sending as response, aclosing(server_sent_events(response.chunks)) as events:
            async for event in events:
                if event.name == "missed":
                    yield _parse(MissedMessages, event.data.encode())
                else:
                    yield _parse(PassingMessage, event.data.encode())

    async def replay(self, request: ReplayRequest) -> ReplayReport:
        return _parse(ReplayReport, await self._post("/journal/replay", request, seconds=LONG_WORK_SECONDS))

    async def dead_deliveries(self, query: Mapping[str, str | int]) -> list[DeadDelivery]:
        return _parse(list[DeadDelivery], await self._get("/journal/dead", query))

    async def retry_dead(self, which: DeadSelection) -> Changed:
        return _parse(Changed, await self._post("/journal/dead/retry", which, seconds=LONG_WORK_SECONDS))

    async def discard_dead(self, which: DeadSelection) -> Changed:
        return _parse(Changed, await self._post("/journal/dead/discard", which, seconds=LONG_WORK_SECONDS))

    async def plugins(self) -> list[PluginStatus]:
        return _parse(list[PluginStatus], await self._get("/plugins"))

    async def plugin(self, name: str) -> PluginDetail:
        return _parse(PluginDetail, await self._get(f"/plugins/{_part(name)}"))

    async def enable_plugin(self, name: str) -> PluginDetail:
        return _parse(PluginDetail, await self._to_plugin("POST", name, "enable"))

    async def disable_plugin(self, name: str, *, force: bool = False) -> PluginDetail:
        """With `force`, what depends on it stops, too."""
        return _parse(PluginDetail, await self._to_plugin("POST", name, f"disable?force={str(force).lower()}"))

    async def reload_plugin(self, name: str) -> PluginDetail:
        return _parse(PluginDetail, await self._to_plugin("POST", name, "reload"))

    async def configure_plugin(self, name: str, config: Mapping[str, Any]) -> PluginDetail:
        """Replaces what was configured this way before."""
        return _parse(PluginDetail, await self._to_plugin("PUT", name, "config", config))

    async def keep_plugin_secret(self, name: str, key: str, value: str) -> PluginDetail:
        secret = {"value": value}
        return _parse(PluginDetail, await self._to_plugin("PUT", name, f"secrets/{_part(key)}", secret))

    async def remove_plugin_secret(self, name: str, key: str) -> PluginDetail:
        return _parse(PluginDetail, await self._to_plugin("DELETE", name, f"secrets/{_part(key)}"))

    async def act(self, plugin: str, action: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """What the plugin answers."""
        answer = await self._to_plugin("POST", plugin, f"actions/{_part(action)}", arguments or {})
        return _parse(ActionAnswer, answer).result

    async def keep_server_key(self, name: str, value: str) -> Changed:
        return _parse(Changed, await self._to_server_key("PUT", name, {"value": value}))

    async def remove_server_key(self, name: str) -> Changed:
        return _parse(Changed, await self._to_server_key("DELETE", name))

    async def models(self) -> ModelInventory:
        return _parse(ModelInventory, await self._get("/models"))

    async def use_model(self, model: str | None) -> ModelInventory:
        """None: what `config.yaml` says."""
        return _parse(ModelInventory, await self._post("/models/use", ModelChoice(model=model)))

    async def pull_model(self, model: str) -> ModelDownload:
        """Begins it; the status tells how far it is."""
        return _parse(ModelDownload, await self._post("/models/pull", ModelName(model=model)))

    async def cancel_pull(self, model: str) -> ModelInventory:
        return _parse(ModelInventory, await self._post("/models/pull/cancel", ModelName(model=model)))

    async def shutdown(self) -> None:
        """Asks the daemon to end; it has only begun to when this returns."""
        await self._post("/shutdown")

    async def _get(self, path: str, query: Mapping[str, str | int] | None = None) -> bytes:
        async with self._send("GET", path, query) as response:
            return await response.read()

    async def _post(self, path: str, body: BaseModel | None = None, seconds: float | None = None) -> bytes:
        async with self._send("POST", path, body=body, seconds=seconds) as response:
            return await response.read()

    async def _to_plugin(self, method: str, name: str, what: str, body: Mapping[str, Any] | None = None) -> bytes:
        path = f"/plugins/{_part(name)}/{what}"
        async with self._send(method, path, body=body, seconds=LONG_WORK_SECONDS + READ_SECONDS) as response:
            return await response.read()

    async def _to_server_key(self, method: str, name: str, body: Mapping[str, Any] | None = None) -> bytes:
        """The keyring may ask its user for a password first."""
        path = f"/engine/keys/{_part(name)}"
        async with self._send(method, path, body=body, seconds=LONG_WORK_SECONDS) as response:
            return await response.read()

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        body: BaseModel | Mapping[str, Any] | None = None,
        seconds: float | None = None,
    ) -> AsyncIterator[loopback.Response]:
        """The only border to HTTP: its errors end here."""
        try:
            url = f"{self._root}{path}{f'?{urlencode(query)}' if query else ''}"
            content = b"" if body is None else to_json(body)
        except (UnicodeEncodeError, PydanticSerializationError) as error:
            raise RequestFailed("What is asked for is not valid Unicode.") from error
        seconds = READ_SECONDS if seconds is None else seconds
        try:
            async with loopback.request(
                method, url, self._headers, content, connect_seconds=CONNECT_SECONDS, read_seconds=seconds
            ) as response:
                if not response.is_success:
                    raise _refusal(response.status, await response.read())
                yield response
        except loopback.CannotConnect as error:
            raise NotRunning(NOT_RUNNING) from error
        except TimeoutError as error:
            raise RequestFailed("The daemon does not answer. `panotti stop`, then `panotti run`, may help.") from error
        except loopback.BrokenOff as error:
            raise RequestFailed("The daemon broke off the connection.") from error


@dataclass(frozen=True)
class ServerSentEvent:
    name: str
    data: str


async def server_sent_events(chunks: AsyncIterable[bytes]) -> AsyncGenerator[ServerSentEvent, None]:
    """Parses an event stream, without ids and retry times, which Panotti does not send.

    Lines are cut as bytes: `splitlines` would also cut at the U+2028 that a file name may hold.
    """
    name, data = "message", list[str]()
    async with aclosing(_lines(chunks)) as lines:
        async for line in lines:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                if data:
                    yield ServerSentEvent(name, "\n".join(data))
                name, data = "message", []
            elif field == "event":
                name = value
            elif field == "data":
                data.append(value)


async def _lines(chunks: AsyncIterable[bytes]) -> AsyncGenerator[str, None]:
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode(errors="replace")


def _part(name: str) -> str:
    """Of an address. Raises RequestFailed for what can be no name."""
    with suppress(UnicodeEncodeError):
        if name and "/" not in name:
            return quote(name, safe="")
    raise RequestFailed(f"There is nothing that is called {name!r}.", status=NOT_FOUND)


def _recording(recording_id: str) -> str:
    return f"/recordings/{_part(recording_id)}"


def _page(state: FileState | None, limit: int, offset: int) -> dict[str, str | int]:
    page: dict[str, str | int] = {"limit": limit, "offset": offset}
    return page if state is None else {"state": state.value, **page}


def _parse(type_: type[T], body: bytes) -> T:
    try:
        return TypeAdapter(type_).validate_json(body)
    except ValidationError as error:
        raise RequestFailed("The daemon's answer makes no sense. Is it another version of Panotti?") from error


def _refusal(status: int, body: bytes) -> RequestFailed:
    try:
        return RequestFailed(Problem.model_validate_json(body).detail, status=status)
    except ValidationError:
        return RequestFailed(f"The daemon answered with HTTP status {status}.", status=status)
