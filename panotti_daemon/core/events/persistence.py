"""Events and deliveries in the database: the store is the queue, nothing waits anywhere else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from aiosqlite import Connection

from panotti_daemon.core.events.handlers import MAX_RETRY_SECONDS
from panotti_daemon.core.events.models import Delivery, DeliveryState, Event
from panotti_daemon.models.database import queries, stamp

LONGEST_WAIT = timedelta(seconds=1.2 * MAX_RETRY_SECONDS)
"""No retry is put off for longer: one that seems to be was stored before the computer's clock was set back."""


async def insert(connection: Connection, event: Event, subscribers: Iterable[str]) -> None:
    await queries().insert_event(
        connection,
        id=event.id,
        name=event.name,
        payload_version=event.payload_version,
        data=json.dumps(event.data, ensure_ascii=False, allow_nan=False),
        correlation_id=event.correlation_id,
        cause_id=event.cause_id,
        source_plugin=event.source_plugin,
        priority=int(event.priority),
        created_at=stamp(event.created_at),
    )
    deliveries = [
        {
            "event_id": event.id,
            "subscriber": subscriber,
            "correlation_id": event.correlation_id,
            "priority": int(event.priority),
            "now": stamp(event.created_at),
        }
        for subscriber in subscribers
    ]
    if deliveries:
        await queries().insert_deliveries(connection, deliveries)


async def claim(connection: Connection, subscriber: str, now: datetime) -> tuple[Delivery, Event] | None:
    """Marks the subscriber's next delivery as running, its attempt counted."""
    await queries().wake_waiting(connection, subscriber=subscriber, now=stamp(now), latest=stamp(now + LONGEST_WAIT))
    row = await queries().claim_delivery(connection, subscriber=subscriber, now=stamp(now))
    if row is None:
        return None
    delivery = Delivery.model_validate(dict(row))
    return delivery, await load(connection, delivery.event_id)


async def load(connection: Connection, event_id: str) -> Event:
    row = dict(await queries().event_by_id(connection, id=event_id))
    return Event.model_validate(row | {"data": json.loads(row["data"])})


async def update(connection: Connection, delivery: Delivery, now: datetime) -> None:
    await queries().update_delivery(
        connection,
        id=delivery.id,
        state=delivery.state,
        attempts=delivery.attempts,
        waits=delivery.waits,
        available_at=stamp(delivery.available_at) if delivery.available_at else None,
        error=delivery.error,
        now=stamp(now),
    )


async def next_available_at(connection: Connection, subscriber: str) -> datetime | None:
    value = await queries().next_available_at(connection, subscriber=subscriber)
    return datetime.fromisoformat(value) if value else None


async def in_state(connection: Connection, state: DeliveryState) -> Sequence[Delivery]:
    return [Delivery.model_validate(dict(row)) async for row in queries().deliveries_in_state(connection, state=state)]


async def of_correlation(connection: Connection, correlation_id: str) -> Sequence[Delivery]:
    rows = queries().deliveries_of_correlation(connection, correlation_id=correlation_id)
    return [Delivery.model_validate(dict(row)) async for row in rows]


async def raise_priority(connection: Connection, correlation_id: str, priority: int) -> int:
    return int(await queries().raise_priority(connection, correlation_id=correlation_id, priority=priority))
