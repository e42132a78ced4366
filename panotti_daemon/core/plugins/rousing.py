"""Starts plugins that rest for what they did to the process, once their rest is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from panotti_daemon.clock import Clock
from panotti_daemon.core.plugins.crashes import Crashes
from panotti_daemon.core.plugins.lifecycle import PluginRecord

CHECK_SECONDS = 30.0
"""A rest that ends at a time of day is looked at so often: the machine may sleep, or its clock be set."""


class Rousing:
    def __init__(
        self,
        crashes: Crashes | None,
        clock: Clock,
        rouse: Callable[[PluginRecord], Awaitable[None]],
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._crashes = crashes
        self._clock = clock
        self._rouse = rouse
        self._check_seconds = check_seconds
        self._waiting: set[asyncio.Task[None]] = set()

    def lets_rest(self, record: PluginRecord) -> bool:
        """Whether this one is not to be started now; it is roused later."""
        rest = self._crashes.rest_of(record.name) if self._crashes else None
        if rest is None:
            return False
        record.rests(rest)
        task = asyncio.create_task(self._rouse_later(record), name=f"rouse {record.name}")
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return True

    async def forgive(self, record: PluginRecord) -> None:
        """Its user wants it to run."""
        if self._crashes:
            await self._crashes.forgive(record.name)

    async def stop(self) -> None:
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    async def _rouse_later(self, record: PluginRecord) -> None:
        while self._crashes and (rest := self._crashes.rest_of(record.name)):
            seconds = (rest.until - self._clock.now()).total_seconds()
            await asyncio.sleep(min(self._check_seconds, max(0.0, seconds)))
        await self._rouse(record)
