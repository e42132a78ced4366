"""Delivers again what was delivered before: first said, then done.

A replay puts an ended delivery in the queue anew, with all its attempts, and one for a subscriber that had none.
What is still on its way is left alone: it will come anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from panotti_daemon.choices import DeliveryState
from panotti_daemon.clock import Clock
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.journal import Entry, Selection, batches, load
from panotti_daemon.core.events.models import Delivery, Event
from panotti_daemon.core.events.types import EventPriority
from panotti_daemon.errors import PanottiError
from panotti_daemon.explain import suggest
from panotti_daemon.models.database import Database, Transaction, queries, stamp

AT_ONCE = 100
"""Events in one transaction, so that nobody waits long for the database."""

ENDED = (DeliveryState.DONE, DeliveryState.DEAD)


@dataclass(frozen=True)
class Step:
    """One event of a replay."""

    event: Event
    subscribers: tuple[str, ...]
    """Who gets it again, or for the first time."""
    on_its_way_to: tuple[str, ...]
    """Who is left alone."""


class Replay:
    def __init__(self, database: Database, bus: EventBus, clock: Clock) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock

    async def plan(self, selection: Selection, to: str | None = None) -> list[Step]:
        """What `run` would do now, in its order. Raises PanottiError for a subscriber that is not there."""
        self._check(to)
        steps: list[Step] = []
        for sequences in batches(await self._find(selection), AT_ONCE):
            async with self._database.reading() as connection:
                steps += self._steps(await load(connection, sequences), to)
        return steps

    async def run(
        self, selection: Selection, to: str | None = None, priority: EventPriority = EventPriority.BACKLOG
    ) -> list[Step]:
        """Queues the events for one subscriber, or for all that want them; returns what it did. In the order in which
        they were stored, each behind what is on its way in its correlation. Raises as `plan` does."""
        self._check(to)
        steps: list[Step] = []
        for sequences in batches(await self._find(selection), AT_ONCE):
            async with self._database.transaction() as transaction:
                batch = self._steps(await load(transaction.connection, sequences), to)
                for step in batch:
                    for subscriber in step.subscribers:
                        await self._queue(transaction, step.event, subscriber, priority)
            steps += batch
        return steps

    def _check(self, to: str | None) -> None:
        if to is not None and not self._bus.is_declared(to):
            raise PanottiError(f"No plugin {to} gets events now{suggest(to, self._bus.declared)}.")

    async def _find(self, selection: Selection) -> list[int]:
        """All of them before the first is queued: what they set off may match as well."""
        if selection == Selection():
            raise PanottiError("Say which events: by id, correlation, name, time, subscriber or state.")
        async with self._database.reading() as connection:
            return sorted(await selection.find(connection))

    def _steps(self, entries: Iterable[Entry], to: str | None) -> list[Step]:
        steps = []
        for entry in entries:
            wanting = [name for name in self._bus.wanting(entry.event) if to in (None, name)]
            under_way = {d.subscriber for d in entry.deliveries if d.state not in ENDED}
            steps.append(
                Step(
                    entry.event,
                    tuple(name for name in wanting if name not in under_way),
                    tuple(name for name in wanting if name in under_way),
                )
            )
        return steps

    async def _queue(self, transaction: Transaction, event: Event, subscriber: str, priority: EventPriority) -> None:
        row = await queries().deliver_again(
            transaction.connection,
            event_id=event.id,
            subscriber=subscriber,
            correlation_id=event.correlation_id,
            priority=int(priority),
            now=stamp(self._clock.now()),
        )
        await self._bus.change(transaction, Delivery.model_validate(dict(row)), event)
