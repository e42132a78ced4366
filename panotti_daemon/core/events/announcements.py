"""What passes: stored events and announcements on their way to those who listen just now. Bounded, never stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from panotti_daemon.core.events.models import Announcement, Event

log = structlog.get_logger(__name__)

Listener = Callable[[Event | Announcement], Awaitable[None]]


class Announcements:
    def __init__(self, *, room: int = 1000, patience_seconds: float = 5.0) -> None:
        self._queue: asyncio.Queue[Event | Announcement] = asyncio.Queue(room)
        self._patience_seconds = patience_seconds
        self._listeners: list[Listener] = []
        self._teller: asyncio.Task[None] | None = None
        self.dropped = 0

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hears everything from now on; returns how to end that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def start(self) -> None:
        self._teller = asyncio.create_task(self._tell(), name="announcements")

    async def stop(self) -> None:
        if self._teller:
            self._teller.cancel()
            await asyncio.wait([self._teller])

    async def put(self, announcement: Announcement) -> None:
        """Waits for room as long as its patience lasts; then the announcement is dropped and counted."""
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._queue.put(announcement)
        except TimeoutError:
            self._drop(announcement)

    def put_nowait(self, event: Event) -> None:
        """A stored event cannot wait here: it has been committed."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self._drop(event)

    def _drop(self, message: Event | Announcement) -> None:
        self.dropped += 1
        log.warning("announcement dropped", about=message.name, dropped=self.dropped)

    async def _tell(self) -> None:
        while True:
            message = await self._queue.get()
            for listener in tuple(self._listeners):
                try:
                    await listener(message)
                except Exception:
                    log.exception("a listener failed", about=message.name)
