"""Events and deliveries in the database: the store is the queue, nothing waits anywhere else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from sqlite3 import Row
from typing import Any

from aiosqlite import Connection
from pydantic import ValidationError

from panotti_daemon.core.events.models import DamagedEvent, Delivery, DeliveryState, Event
from panotti_daemon.core.events.types import EventPriority
from panotti_daemon.models.database import queries, stamp

LONGEST_WAIT = timedelta(minutes=12)
AS_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


async def insert(connection: Connection, wanted: Iterable[tuple[Event, Iterable[str]]]) -> None:
    """Events, each with the subscribers that want it; their deliveries are numbered in this order."""
    events, deliveries = [], []
    for event, subscribers in wanted:
        created_at, priority = stamp(event.created_at), int(event.priority)
        events.append(
            {
                "id": event.id,
                "name": event.name,
                "payload_version": event.payload_version,
                "data": AS_JSON.encode(event.data),
                "correlation_id": event.correlation_id,
                "cause_id": event.cause_id,
                "source_plugin": event.source_plugin,
                "priority": priority,
                "created_at": created_at,
            }
        )
        deliveries += [
            {
                "event_id": event.id,
                "subscriber": subscriber,
                "correlation_id": event.correlation_id,
                "priority": priority,
                "now": created_at,
            }
            for subscriber in subscribers
        ]
    if events:
        await queries().insert_events(connection, events)
    if deliveries:
        await queries().insert_deliveries(connection, deliveries)


async def claim(
    connection: Connection,
    subscriber: str,
    now: datetime,
    *,
    longest_wait: timedelta = LONGEST_WAIT,
    least: EventPriority = EventPriority.BACKLOG,
    oldest: bool = False,
) -> tuple[Delivery, Event] | None:
    """Marks the subscriber's next delivery as running, its attempt counted: the most urgent one of those with at least
    some priority, or where that is the lowest, the oldest, which only what is wanted now goes before.

    What seems to wait for longer than anything does was stored before the computer's clock was set back.
    """
    await queries().wake_waiting(connection, subscriber=subscriber, now=stamp(now), latest=stamp(now + longest_wait))
    oldest = oldest and least is EventPriority.BACKLOG
    least = EventPriority.NOW if oldest else least
    row = await queries().claim_delivery(connection, subscriber=subscriber, now=stamp(now), priority=least)
    if row is None and oldest:
        row = await queries().claim_oldest_delivery(connection, subscriber=subscriber, now=stamp(now))
    if row is None:
        return None
    delivery = Delivery.model_validate(dict(row))
    return delivery, await load(connection, delivery.event_id)


async def is_claimable(connection: Connection, subscriber: str, least: EventPriority) -> bool:
    """Whether a delivery of at least this priority is there to be claimed."""
    return bool(await queries().is_claimable(connection, subscriber=subscriber, priority=least))


async def load(connection: Connection, event_id: str) -> Event:
    return as_event(await queries().event_by_id(connection, id=event_id))


def as_event(row: Row) -> Event:
    """One that is damaged says so when it is handled: whoever only looks, or tidies up, goes on."""
    fields = dict(row) | {"data": _parsed(row["data"])}
    try:
        return Event.model_validate(fields)
    except ValidationError as error:
        return DamagedEvent.of(fields, error)


def _parsed(data: str) -> Any:
    """None for what is no JSON."""
    try:
        return json.loads(data)
    except ValueError:
        return None


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


async def running(connection: Connection) -> Sequence[Delivery]:
    return [Delivery.model_validate(dict(row)) async for row in queries().running_deliveries(connection)]


async def of_correlation(connection: Connection, correlation_id: str) -> Sequence[Delivery]:
    rows = queries().deliveries_of_correlation(connection, correlation_id=correlation_id)
    return [Delivery.model_validate(dict(row)) async for row in rows]


async def raise_priority(connection: Connection, correlation_id: str, priority: int) -> int:
    return int(await queries().raise_priority(connection, correlation_id=correlation_id, priority=priority))
