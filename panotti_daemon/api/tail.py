"""What passes on the bus, for those who watch it: each is told by itself, and one that is too slow misses some."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from panotti_daemon.api.schemas import MissedMessages
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.models import Announcement, Event

ROOM = 1000


@dataclass(eq=False)
class _Watcher:
    waiting: deque[Event | Announcement] = field(default_factory=deque)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    missed: int = 0

    async def hear(self, message: Event | Announcement) -> None:
        if len(self.waiting) < ROOM:
            self.waiting.append(message)
        else:
            self.missed += 1
        self.news.set()


class Tail:
    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._watchers: set[_Watcher] = set()
        self._closing = False

    async def messages(self, keep_alive_seconds: float) -> AsyncIterator[Event | Announcement | MissedMessages | None]:
        """Whatever passes from now on, until the daemon ends; None where nothing happened for long."""
        watcher = _Watcher()
        self._watchers.add(watcher)
        stop_listening = self._bus.listen(watcher.hear)
        try:
            while not self._closing:
                watcher.news.clear()
                while watcher.waiting:
                    yield watcher.waiting.popleft()
                missed, watcher.missed = watcher.missed, 0
                if missed:
                    yield MissedMessages(count=missed)
                with suppress(TimeoutError):
                    async with asyncio.timeout(keep_alive_seconds):
                        await watcher.news.wait()
                if not watcher.news.is_set():
                    yield None
        finally:
            stop_listening()
            self._watchers.discard(watcher)

    def close(self) -> None:
        """Ends all streams."""
        self._closing = True
        for watcher in self._watchers:
            watcher.news.set()
