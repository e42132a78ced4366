"""The daemon's side of a plugin's own methods. Each plugin has its own state, which no other sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.models import Announcement, Event
from panotti_daemon.core.plugins.blocking import in_own_thread
from panotti_daemon.models.database import Database, queries

T = TypeVar("T")


class DaemonPorts:
    def __init__(self, bus: EventBus, database: Database) -> None:
        self._bus = bus
        self._database = database

    async def publish(self, plugin: str, event: Event) -> None:
        await self._bus.publish(event)

    async def announce(self, announcement: Announcement) -> None:
        await self._bus.announce(announcement)

    def heartbeat(self, plugin: str, event_id: str) -> None:
        self._bus.heartbeat(plugin, event_id)

    async def spare_attempt(self, plugin: str, event_id: str) -> None:
        await self._bus.spare_attempt(plugin, event_id)

    async def run_blocking(self, plugin: str, function: Callable[[], T]) -> T:
        return await in_own_thread(function, f"plugin {plugin}")

    async def get_state(self, plugin: str, key: str) -> Any:
        async with self._database.reading() as connection:
            value = await queries().plugin_value(connection, plugin=plugin, key=key)
        return None if value is None else json.loads(value)

    async def set_state(self, plugin: str, key: str, value: Any) -> None:
        async with self._database.transaction() as transaction:
            await queries().set_plugin_value(transaction.connection, plugin=plugin, key=key, value=json.dumps(value))

    async def delete_state(self, plugin: str, key: str) -> None:
        async with self._database.transaction() as transaction:
            await queries().delete_plugin_value(transaction.connection, plugin=plugin, key=key)

    async def list_state(self, plugin: str, prefix: str) -> dict[str, Any]:
        async with self._database.reading() as connection:
            rows = queries().plugin_values(connection, plugin=plugin, prefix=prefix)
            return {row["key"]: json.loads(row["value"]) async for row in rows}
