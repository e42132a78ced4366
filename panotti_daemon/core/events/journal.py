"""Reads what was stored: which events there were, what caused what, and how far each has come."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiosqlite import Connection

from panotti_daemon.choices import DeliveryState
from panotti_daemon.core.events import persistence
from panotti_daemon.core.events.models import Delivery, Event
from panotti_daemon.errors import PermanentError
from panotti_daemon.ids import meant_by
from panotti_daemon.models.database import Database, queries, stamp

ALL = -1
LONGEST_TREE = 1000
"""Events of one correlation, the newest, that are shown at once."""


class PastDelivery(Delivery):
    updated_at: datetime


@dataclass(frozen=True)
class Entry:
    event: Event
    deliveries: tuple[PastDelivery, ...]


@dataclass(frozen=True)
class Selection:
    """Which events are meant; what is None says nothing."""

    event_id: str | None = None
    correlation_id: str | None = None
    name: str | None = None
    """`*` stands for any part."""
    since: datetime | None = None
    until: datetime | None = None
    subscriber: str | None = None
    state: DeliveryState | None = None

    async def find(self, connection: Connection, limit: int = ALL, before: str | None = None) -> list[int]:
        """The sequence numbers of the events, the newest first, from those before an event on."""
        rows = queries().matching_events(
            connection,
            event_id=self.event_id,
            correlation_id=self.correlation_id,
            name=self.name,
            since=stamp(self.since) if self.since else None,
            until=stamp(self.until) if self.until else None,
            subscriber=self.subscriber,
            state=self.state,
            before=before,
            limit=limit,
        )
        return [row["sequence"] async for row in rows]


class Journal:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, selection: Selection, limit: int, before: str | None = None) -> tuple[list[Entry], str | None]:
        """The newest first; and the event before which the next page begins, or None after the last."""
        async with self._database.reading() as connection:
            found = await selection.find(connection, limit + 1, before)
            entries = await load(connection, found[:limit])
        return entries, entries[-1].event.id if len(found) > limit else None

    async def entry(self, part: str) -> Entry:
        """One event, by its id or how that begins or ends. Raises PermanentError and PanottiError."""
        async with self._database.reading() as connection:
            event_id = await self._whole_id(connection, "event", part)
            (entry,) = await load(connection, await Selection(event_id=event_id).find(connection))
        return entry

    async def correlation(self, part: str) -> list[Entry]:
        """All that one cause set off, the oldest first, by the correlation's id or how that begins or ends. Raises
        PermanentError and PanottiError."""
        async with self._database.reading() as connection:
            correlation_id = await self._whole_id(connection, "correlation", part)
            found = await Selection(correlation_id=correlation_id).find(connection, LONGEST_TREE)
            return await load(connection, sorted(found))

    async def _whole_id(self, connection: Connection, what: str, part: str) -> str:
        like = queries().event_ids_like if what == "event" else queries().correlation_ids_like
        found = [row[0] async for row in like(connection, part=part)]
        if whole := meant_by(part, found, what):
            return whole
        raise PermanentError(f"No {what} that is kept begins or ends with {part}.", title="Not in the journal")


async def load(connection: Connection, sequences: Sequence[int]) -> list[Entry]:
    """The events with their deliveries, in this order, without those that are gone."""
    wanted = json.dumps(sequences)
    rows = queries().events_in(connection, sequences=wanted)
    found = {row["sequence"]: persistence.as_event(row) async for row in rows}
    events = [found[sequence] for sequence in sequences if sequence in found]
    deliveries: dict[str, list[PastDelivery]] = {event.id: [] for event in events}
    async for row in queries().deliveries_in(connection, sequences=wanted):
        deliveries[row["event_id"]].append(PastDelivery.model_validate(dict(row)))
    return [Entry(event, tuple(deliveries[event.id])) for event in events]


def batches(items: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (items[start : start + size] for start in range(0, len(items), size))
