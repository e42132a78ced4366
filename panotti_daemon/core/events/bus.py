"""The durable event bus: stores events with their deliveries, and hands these to the subscribers' handlers.

A delivery is at least once: it is done only when that stands in the database, together with the events that its
handler returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from functools import partial
from random import Random
from typing import Any, Protocol

import structlog

from panotti_daemon.clock import Clock
from panotti_daemon.core.events import persistence
from panotti_daemon.core.events.announcements import Announcements, Listener
from panotti_daemon.core.events.circuit import Rest
from panotti_daemon.core.events.handlers import Handler, Subscription, error_event
from panotti_daemon.core.events.models import Announcement, Delivery, DeliveryState, Event
from panotti_daemon.core.events.runs import Interruption, interrupt
from panotti_daemon.core.events.subscriber import Subscriber
from panotti_daemon.core.events.types import EventPriority
from panotti_daemon.models.database import Database, Transaction

log = structlog.get_logger(__name__)

DATABASE_RETRY_SECONDS = 5.0
OBEY_SECONDS = 1.0
"""How long a handler may take to end when it is cancelled; then its delivery goes on without it."""


RestWatcher = Callable[[str, Rest | None], None]


class Projection(Protocol):
    """Something whose own tables follow the events: called inside the transaction that stores them."""

    async def event_stored(self, transaction: Transaction, event: Event) -> None: ...

    async def delivery_changed(self, transaction: Transaction, delivery: Delivery, event: Event) -> None: ...


class EventBus:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        random: Random | None = None,
        *,
        announcements: Announcements | None = None,
        database_retry_seconds: float = DATABASE_RETRY_SECONDS,
        obey_seconds: float = OBEY_SECONDS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._random = random or Random()  # noqa: S311 jitter is no secret
        self._announcements = announcements or Announcements()
        self._database_retry_seconds = database_retry_seconds
        self._obey_seconds = obey_seconds
        self._subscribers: dict[str, Subscriber] = {}
        self._projections: list[Projection] = []
        self._rest_watchers: list[RestWatcher] = []

    @property
    def announcements_dropped(self) -> int:
        return self._announcements.dropped

    def declare(self, subscription: Subscription) -> None:
        """From now on events are kept for this subscriber, whether or not its handler is there yet."""
        self._subscribers[subscription.name] = Subscriber(
            subscription,
            self,
            self._database,
            self._clock,
            self._random,
            database_retry_seconds=self._database_retry_seconds,
            obey_seconds=self._obey_seconds,
        )

    def undeclare(self, name: str) -> None:
        """From now on no events are kept for this subscriber; its handler must be detached. What it has waits."""
        del self._subscribers[name]

    def is_declared(self, name: str) -> bool:
        return name in self._subscribers

    @property
    def declared(self) -> list[str]:
        return list(self._subscribers)

    def wanting(self, event: Event) -> list[str]:
        """The declared subscribers that the event is for."""
        return [s.name for s in self._subscribers.values() if s.subscription.wants(event)]

    def attach(self, name: str, handler: Handler) -> None:
        """Starts to deliver to a declared subscriber."""
        self._subscribers[name].attach(handler)

    def subscribe(self, handler: Handler, *patterns: str, name: str, **options: Any) -> None:
        """Declares and attaches at once. The options are those of a Subscription."""
        self.declare(Subscription(name, patterns, **options))
        self.attach(name, handler)

    async def unsubscribe(self, name: str, grace_seconds: float = 2.0) -> None:
        """Detaches and undeclares: no further events are kept for it. What it has waits for one of its name."""
        await self.detach(name, grace_seconds)
        self.undeclare(name)

    async def detach(self, name: str, grace_seconds: float = 2.0) -> None:
        """Delivers nothing more to this subscriber; its events are kept. What runs has the grace time to end, and is
        then put back."""
        await self._subscribers[name].detach(grace_seconds)

    def project(self, projection: Projection) -> None:
        self._projections.append(projection)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hears every stored event and every announcement from now on; returns how to end that."""
        return self._announcements.listen(listener)

    async def start(self, culprits: Collection[str] = ()) -> None:
        """Puts back what a dead process left running, its attempt counted; where it is known whose code ended the
        process, only theirs."""
        self._announcements.start()
        async with self._database.transaction() as transaction:
            for delivery in await persistence.running(transaction.connection):
                subscriber = self._subscribers.get(delivery.subscriber)
                exhausted = subscriber and delivery.attempts >= subscriber.subscription.max_attempts
                if culprits and delivery.subscriber not in culprits:
                    delivery = delivery.refunded().model_copy(update={"state": DeliveryState.QUEUED})
                elif exhausted:
                    reason = f"Panotti itself ended {delivery.attempts} times while working on it"
                    delivery = delivery.model_copy(update={"state": DeliveryState.DEAD, "error": reason})
                else:
                    delivery = delivery.model_copy(update={"state": DeliveryState.QUEUED})
                await self.change(transaction, delivery)

    async def stop(self, grace_seconds: float = 2.0) -> None:
        """Ends all handlers within the grace time and puts back what they had not finished."""
        await asyncio.gather(*(subscriber.detach(grace_seconds) for subscriber in self._subscribers.values()))
        await self._announcements.stop()

    def rest_of(self, name: str) -> Rest | None:
        """The rest that a subscriber takes because it kept failing."""
        return self._subscribers[name].rest

    def end_rest(self, name: str) -> None:
        """It is tried again at once."""
        self._subscribers[name].end_rest()

    def watch_rests(self, watcher: RestWatcher) -> None:
        """Is told of every rest that begins, and with None when one is over."""
        self._rest_watchers.append(watcher)

    def rest_changed(self, name: str, rest: Rest | None) -> None:
        for watcher in self._rest_watchers:
            watcher(name, rest)

    def pause(self, name: str, *, but: EventPriority | None = None) -> None:
        """Claims nothing more for this subscriber, but for what has this priority, which what runs already makes way
        for; else it is not touched, and may be silent."""
        self._subscribers[name].take(but)

    def resume(self, name: str) -> None:
        self._subscribers[name].take(EventPriority.BACKLOG)

    async def publish(self, *events: Event, transaction: Transaction | None = None) -> None:
        """Stores the events, each with one delivery for every subscriber that wants it, then wakes these.

        With a transaction, they are stored together with whatever else is in it.
        """
        if transaction is None:
            async with self._database.transaction() as own:
                await self.store(own, events)
        else:
            await self.store(transaction, events)

    async def announce(self, announcement: Announcement) -> None:
        """Waits a while for room; then the announcement is dropped and counted."""
        await self._announcements.put(announcement)

    def heartbeat(self, name: str, event_id: str) -> None:
        """The subscriber's handler of this event has made progress: it is not hung."""
        self._subscribers[name].heartbeat(event_id)

    async def spare_attempt(self, name: str, event_id: str) -> None:
        """The handler's work on this event so far is kept, so that this attempt costs nothing, however it ends."""
        await self._subscribers[name].spare_attempt(event_id)

    async def withdraw(self, correlation_id: str) -> int:
        """Ends what is queued, waiting or running in a correlation, as done without result; returns how many."""
        count = 0
        while True:
            # what waits goes first, so that nothing more of it is begun; what a handler still leaves behind, next time
            async with self._database.transaction() as transaction:
                for delivery in await persistence.of_correlation(transaction.connection, correlation_id):
                    if delivery.state in (DeliveryState.QUEUED, DeliveryState.WAITING):
                        await self.change(transaction, delivery.withdrawn())
                        count += 1
            runs = [run for subscriber in self._subscribers.values() for run in subscriber.runs_of(correlation_id)]
            if not runs:
                return count
            count += await interrupt(runs, Interruption.WITHDRAW)

    async def retry_dead(self, correlation_id: str, priority: EventPriority = EventPriority.HIGH) -> int:
        """Queues the dead deliveries of a correlation afresh, with all their attempts."""
        count = 0
        async with self._database.transaction() as transaction:
            for delivery in await persistence.of_correlation(transaction.connection, correlation_id):
                if delivery.state is DeliveryState.DEAD:
                    await self.change(transaction, delivery.afresh())
                    count += 1
            await persistence.raise_priority(transaction.connection, correlation_id, priority)
        return count

    async def wake_waiting(self, correlation_id: str) -> int:
        """What waits for a retry is tried at once."""
        count = 0
        async with self._database.transaction() as transaction:
            for delivery in await persistence.of_correlation(transaction.connection, correlation_id):
                if delivery.state is DeliveryState.WAITING:
                    update = {"state": DeliveryState.QUEUED, "available_at": None}
                    await self.change(transaction, delivery.model_copy(update=update))
                    count += 1
        return count

    async def hurry(self, correlation_id: str) -> int:
        """Puts what waits in a correlation before everything else; what runs of it is wanted now, too."""
        async with self._database.transaction() as transaction:
            for delivery in await persistence.of_correlation(transaction.connection, correlation_id):
                if delivery.state is DeliveryState.RUNNING:
                    await self.change(transaction, delivery.model_copy(update={"priority": EventPriority.NOW}))
            for subscriber in self._subscribers.values():
                transaction.after_commit(partial(subscriber.hurry, correlation_id))
            return await persistence.raise_priority(transaction.connection, correlation_id, EventPriority.NOW)

    async def store(self, transaction: Transaction, events: Iterable[Event]) -> None:
        """As `publish` does, in a transaction of the caller's. Raises PayloadMisfit."""
        wanted = [(event.current(), self.wanting(event)) for event in events]
        await persistence.insert(transaction.connection, wanted)
        for event, wanting in wanted:
            for projection in self._projections:
                await projection.event_stored(transaction, event)
            transaction.after_commit(partial(self._stored, event, wanting))

    def _stored(self, event: Event, wanting: Iterable[str]) -> None:
        for name in wanting:
            if subscriber := self._subscribers.get(name):
                subscriber.wake()
        self._announcements.put_nowait(event)

    async def claim(
        self,
        transaction: Transaction,
        subscription: Subscription,
        *,
        least: EventPriority = EventPriority.BACKLOG,
        oldest: bool,
    ) -> tuple[Delivery, Event] | None:
        """The subscriber's next delivery of at least this priority, now running."""
        claimed = await persistence.claim(
            transaction.connection,
            subscription.name,
            self._clock.now(),
            longest_wait=subscription.longest_wait,
            least=least,
            oldest=oldest,
        )
        if claimed:
            for projection in self._projections:
                await projection.delivery_changed(transaction, *claimed)
        return claimed

    async def change(self, transaction: Transaction, delivery: Delivery, event: Event | None = None) -> None:
        """Stores a delivery's new state; one that dies takes its PLUGIN.error with it."""
        event = event or await persistence.load(transaction.connection, delivery.event_id)
        await persistence.update(transaction.connection, delivery, self._clock.now())
        for projection in self._projections:
            await projection.delivery_changed(transaction, delivery, event)
        if delivery.state is DeliveryState.DEAD:
            log.error("delivery dead", plugin=delivery.subscriber, about=event.name, reason=delivery.error)
            await self.store(transaction, [error_event(delivery, event)])
        if subscriber := self._subscribers.get(delivery.subscriber):
            transaction.after_commit(subscriber.wake)
