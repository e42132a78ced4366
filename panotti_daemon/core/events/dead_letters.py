"""Deliveries that died: they stay until somebody retries or discards them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiosqlite import Connection

from panotti_daemon.core.events import persistence
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.journal import ALL, PastDelivery, Selection, batches
from panotti_daemon.core.events.models import Delivery, Event
from panotti_daemon.models.database import Database, queries

AT_ONCE = 100
"""In one transaction, so that nobody waits long for the database."""


@dataclass(frozen=True)
class DeadLetter:
    delivery: PastDelivery
    event: Event


class DeadLetters:
    def __init__(self, database: Database, bus: EventBus) -> None:
        self._database = database
        self._bus = bus

    async def find(self, selection: Selection, limit: int = ALL) -> list[DeadLetter]:
        """The last that died first."""
        async with self._database.reading() as connection:
            return await _dead(connection, selection, limit)

    async def retry(self, selection: Selection) -> int:
        """Queues them afresh, with all their attempts; returns how many."""
        return await self._change(selection, Delivery.afresh)

    async def discard(self, selection: Selection) -> int:
        """Ends them as done without result; returns how many. A replay still brings them back."""
        return await self._change(selection, Delivery.discarded)

    async def _change(self, selection: Selection, how: Callable[[Delivery], Delivery]) -> int:
        count = 0
        dead = sorted(letter.delivery.id for letter in await self.find(selection))
        for ids in batches(dead, AT_ONCE):
            async with self._database.transaction() as transaction:
                still_dead = await _dead(transaction.connection, selection, ALL, ids)
                for letter in reversed(still_dead):
                    await self._bus.change(transaction, how(letter.delivery), letter.event)
            count += len(still_dead)
        return count


async def _dead(
    connection: Connection, selection: Selection, limit: int, ids: Sequence[int] | None = None
) -> list[DeadLetter]:
    rows = queries().dead_deliveries(
        connection,
        subscriber=selection.subscriber,
        event_id=selection.event_id,
        correlation_id=selection.correlation_id,
        name=selection.name,
        ids=None if ids is None else json.dumps(ids),
        limit=limit,
    )
    deliveries = [PastDelivery.model_validate(dict(row)) async for row in rows]
    return [DeadLetter(delivery, await persistence.load(connection, delivery.event_id)) for delivery in deliveries]
