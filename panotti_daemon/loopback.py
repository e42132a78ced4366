"""HTTP to a server on this machine: h11 over asyncio's streams, a connection for each request.

The tray icon stays all day, and every command waits for its imports. The usual clients bring megabytes of proxies,
cookies, pools and encryption, none of which the loopback interface has a use for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11

CHUNK_BYTES = 65536


class CannotConnect(Exception):
    """Nobody answers there."""


class BrokenOff(Exception):
    """The server hung up, or does not speak HTTP."""


@dataclass(frozen=True)
class Response:
    status: int
    chunks: AsyncGenerator[bytes, None]

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks])


@asynccontextmanager
async def request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    content: bytes,
    *,
    connect_seconds: float,
    read_seconds: float,
) -> AsyncIterator[Response]:
    """Raises CannotConnect and BrokenOff, and TimeoutError once the server is silent for `read_seconds`; so does
    reading from the response."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(connect_seconds):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except OSError as error:
        raise CannotConnect from error
    try:
        exchange = _Exchange(reader, writer, read_seconds)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        about = {"Host": parts.netloc, "Connection": "close", "Content-Length": str(len(content)), **headers}
        wish = h11.Request(method=method, target=target, headers=[*about.items()])
        response = await exchange.answer_to(wish, content)
        async with aclosing(response.chunks):
            yield response
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


class _Exchange:
    """One request and its response."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, read_seconds: float) -> None:
        self._reader = reader
        self._writer = writer
        self._read_seconds = read_seconds
        self._protocol = h11.Connection(h11.CLIENT)

    async def answer_to(self, request: h11.Request, content: bytes) -> Response:
        sent = [self._protocol.send(event) for event in (request, h11.Data(content), h11.EndOfMessage())]
        self._writer.write(b"".join(part for part in sent if part))
        while not isinstance(event := await self._next_event(), h11.Response):
            pass
        return Response(event.status_code, self._chunks())

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        while isinstance(event := await self._next_event(), h11.Data):
            yield bytes(event.data)

    async def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            while (event := self._protocol.next_event()) is h11.NEED_DATA:
                async with asyncio.timeout(self._read_seconds):
                    self._protocol.receive_data(await self._reader.read(CHUNK_BYTES))
        except (h11.RemoteProtocolError, ConnectionError) as error:
            raise BrokenOff from error
        return event
