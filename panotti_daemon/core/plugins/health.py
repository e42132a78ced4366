"""Asks the running plugins, every so often, whether they are well."""

from __future__ import annotations

import asyncio
from typing import Any

from panotti_daemon.core.events.handlers import describe
from panotti_daemon.core.plugins.interface import Health
from panotti_daemon.core.plugins.lifecycle import PluginRecord
from panotti_daemon.core.plugins.manager import PluginManager
from panotti_daemon.loops import keep_going

ANSWER_SECONDS = 5.0


class HealthChecks:
    def __init__(self, plugins: PluginManager, seconds: float, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._plugins = plugins
        self._seconds = seconds
        self._answer_seconds = answer_seconds
        self._asked: dict[str, asyncio.Task[Any]] = {}
        self._timer: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._timer = asyncio.create_task(keep_going("plugin health", self._loop), name="plugin health")

    async def stop(self) -> None:
        tasks = [task for task in (self._timer, *self._asked.values()) if task]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)

    async def check(self) -> None:
        """Asks all at once. One that has not answered the last time is not asked again before it has."""
        asked = {}
        for record in self._plugins.records.values():
            if record.hosted and record.is_up and not self.is_busy(record.name):
                task = asyncio.create_task(record.hosted.health(), name=f"health {record.name}")
                asked[record.name] = self._asked[record.name] = task
        if asked:
            await asyncio.wait(asked.values(), timeout=self._answer_seconds)
        for record in self._plugins.records.values():
            if record.is_up and record.name in self._asked:
                record.is_found(self._answer(record))

    async def _loop(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            await self._plugins.try_again()
            await self.check()

    def is_busy(self, name: str) -> bool:
        """Whether it still owes an answer."""
        return name in self._asked and not self._asked[name].done()

    def _answer(self, record: PluginRecord) -> Health:
        task = self._asked[record.name]
        if not task.done():
            task.cancel()
            return Health(ok=False, message=f"health() has not answered within {self._answer_seconds:g} s")
        if task.cancelled():
            return Health(ok=False, message="health() cancelled itself")
        if error := task.exception():
            return Health(ok=False, message=f"health() failed: {describe(error)}")
        if not isinstance(answer := task.result(), Health):
            return Health(ok=False, message=f"health() must return Health, not {type(answer).__name__}")
        return answer
