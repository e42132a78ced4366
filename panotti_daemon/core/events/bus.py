"""The durable event bus: stores events with their deliveries, and hands these to the subscribers' handlers.

A delivery is at least once: it is done only when that stands in the database, together with the events that its
handler returned. Announcements pass through a bounded queue and are never stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Protocol

import structlog

from panotti_daemon.clock import Clock
from panotti_daemon.core.events import persistence
from panotti_daemon.core.events.handlers import (
    Handler,
    HandlerSilent,
    Subscription,
    after_failure,
    describe,
)
from panotti_daemon.core.events.models import Announcement, Delivery, DeliveryState, Event
from panotti_daemon.core.events.types import EventPriority, PluginError
from panotti_daemon.errors import DatabaseError, PanottiError, PluginFailed
from panotti_daemon.models.database import Database, Transaction

log = structlog.get_logger(__name__)

ANNOUNCEMENTS_KEPT = 1000
ANNOUNCE_SECONDS = 5.0
DATABASE_RETRY_SECONDS = 5.0

Listener = Callable[[Event | Announcement], Awaitable[None]]


class Projection(Protocol):
    """Something whose own tables follow the events: called inside the transaction that stores them."""

    async def event_stored(self, transaction: Transaction, event: Event) -> None: ...

    async def delivery_changed(self, transaction: Transaction, delivery: Delivery, event: Event) -> None: ...


class _Interruption(Enum):
    STOP = "stop"
    WITHDRAW = "withdraw"


@dataclass
class _Run:
    """A handler at work on a delivery."""

    delivery: Delivery
    handling: asyncio.Task[list[Event]]
    """Only this is ever cancelled."""
    settled: asyncio.Task[None] | None = None
    """Ends once the outcome is stored."""
    deadline: asyncio.Timeout | None = None
    interruption: _Interruption | None = None

    def interrupt(self, why: _Interruption) -> None:
        self.interruption = why
        self.handling.cancel()


@dataclass
class _Subscriber:
    subscription: Subscription
    handler: Handler | None = None
    dispatcher: asyncio.Task[None] | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    runs: dict[int, _Run] = field(default_factory=dict)
    paused: bool = False


class EventBus:
    def __init__(self, database: Database, clock: Clock, random: Random | None = None) -> None:
        self._database = database
        self._clock = clock
        self._random = random or Random()  # noqa: S311 jitter is no secret
        self._subscribers: dict[str, _Subscriber] = {}
        self._projections: list[Projection] = []
        self._listeners: list[Listener] = []
        self._announcements: asyncio.Queue[Event | Announcement] = asyncio.Queue(ANNOUNCEMENTS_KEPT)
        self._announcer: asyncio.Task[None] | None = None
        self._stopping = False
        self.announcements_dropped = 0

    def declare(self, subscription: Subscription) -> None:
        """From now on events are kept for this subscriber, whether or not its handler is there yet."""
        self._subscribers[subscription.name] = _Subscriber(subscription)

    def is_declared(self, name: str) -> bool:
        return name in self._subscribers

    def attach(self, name: str, handler: Handler) -> None:
        """Starts to deliver to a declared subscriber."""
        subscriber = self._subscribers[name]
        subscriber.handler = handler
        subscriber.dispatcher = asyncio.create_task(self._dispatch(subscriber), name=f"dispatch {name}")

    def project(self, projection: Projection) -> None:
        self._projections.append(projection)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hears every stored event and every announcement from now on; returns how to end that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def start(self) -> None:
        """Puts back what a dead process left running, its attempt counted."""
        self._announcer = asyncio.create_task(self._tell_listeners(), name="announcements")
        async with self._database.transaction() as transaction:
            for delivery in await persistence.in_state(transaction.connection, DeliveryState.RUNNING):
                subscriber = self._subscribers.get(delivery.subscriber)
                exhausted = subscriber and delivery.attempts >= subscriber.subscription.max_attempts
                if exhausted:
                    reason = f"Panotti itself ended {delivery.attempts} times while working on it"
                    delivery = delivery.model_copy(update={"state": DeliveryState.DEAD, "error": reason})
                else:
                    delivery = delivery.model_copy(update={"state": DeliveryState.QUEUED})
                await self._change(transaction, delivery)

    async def stop(self, grace_seconds: float = 2.0) -> None:
        """Ends all handlers within the grace time and puts back what they had not finished."""
        self._stopping = True
        for subscriber in self._subscribers.values():
            subscriber.wake.set()
        await _wait_for((s.dispatcher for s in self._subscribers.values()), timeout=1.0)
        runs = self._runs()
        await _wait_for((run.settled for run in runs), timeout=grace_seconds)
        for run in runs:
            if run.settled and not run.settled.done():
                run.interrupt(_Interruption.STOP)
        await _wait_for((run.settled for run in runs), timeout=1.0)
        if self._announcer:
            self._announcer.cancel()
            await _wait_for([self._announcer], timeout=1.0)

    def pause(self, name: str) -> None:
        """Claims nothing more for this subscriber; what runs is not touched, and may be silent."""
        subscriber = self._subscribers[name]
        subscriber.paused = True
        for run in subscriber.runs.values():
            self._set_deadline(run)

    def resume(self, name: str) -> None:
        subscriber = self._subscribers[name]
        subscriber.paused = False
        for run in subscriber.runs.values():
            self._set_deadline(run)
        subscriber.wake.set()

    async def publish(self, *events: Event, transaction: Transaction | None = None) -> None:
        """Stores the events, each with one delivery for every subscriber that wants it, then wakes these.

        With a transaction, they are stored together with whatever else is in it.
        """
        if transaction is None:
            async with self._database.transaction() as own:
                await self._store(own, events)
        else:
            await self._store(transaction, events)

    async def announce(self, announcement: Announcement) -> None:
        """Waits at most five seconds for room; then the announcement is dropped and counted."""
        try:
            async with asyncio.timeout(ANNOUNCE_SECONDS):
                await self._announcements.put(announcement)
        except TimeoutError:
            self.announcements_dropped += 1
            log.warning("announcement dropped", about=announcement.name, dropped=self.announcements_dropped)

    def heartbeat(self, event_id: str) -> None:
        """A handler of this event has made progress: it is not hung."""
        for run in self._runs():
            if run.delivery.event_id == event_id:
                self._set_deadline(run)

    async def withdraw(self, correlation_id: str) -> int:
        """Ends what is queued, waiting or running in a correlation, as done without result; returns how many."""
        runs = [run for run in self._runs() if run.delivery.correlation_id == correlation_id]
        for run in runs:
            run.interrupt(_Interruption.WITHDRAW)
        await _wait_for((run.settled for run in runs), timeout=None)
        count = len(runs)
        async with self._database.transaction() as transaction:
            for delivery in await persistence.of_correlation(transaction.connection, correlation_id):
                if delivery.state in (DeliveryState.QUEUED, DeliveryState.WAITING):
                    await self._change(transaction, _withdrawn(delivery))
                    count += 1
        return count

    async def retry_dead(self, correlation_id: str, priority: EventPriority = EventPriority.HIGH) -> int:
        """Queues the dead deliveries of a correlation afresh, with all their attempts."""
        count = 0
        async with self._database.transaction() as transaction:
            for delivery in await persistence.of_correlation(transaction.connection, correlation_id):
                if delivery.state is DeliveryState.DEAD:
                    fresh = {"state": DeliveryState.QUEUED, "attempts": 0, "waits": 0, "error": None}
                    await self._change(transaction, delivery.model_copy(update=fresh))
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
                    await self._change(transaction, delivery.model_copy(update=update))
                    count += 1
        return count

    async def is_active(self, transaction: Transaction, correlation_id: str) -> bool:
        """Whether any delivery of the correlation is still on its way."""
        ended = (DeliveryState.DONE, DeliveryState.DEAD)
        return any(
            delivery.state not in ended
            for delivery in await persistence.of_correlation(transaction.connection, correlation_id)
        )

    async def hurry(self, correlation_id: str) -> int:
        """Puts what waits in a correlation before everything else."""
        async with self._database.transaction() as transaction:
            return await persistence.raise_priority(transaction.connection, correlation_id, EventPriority.NOW)

    async def _store(self, transaction: Transaction, events: Iterable[Event]) -> None:
        for event in events:
            wanting = [s for s in self._subscribers.values() if s.subscription.wants(event)]
            await persistence.insert(transaction.connection, event, [s.subscription.name for s in wanting])
            for projection in self._projections:
                await projection.event_stored(transaction, event)
            transaction.after_commit(lambda event=event, wanting=wanting: self._stored(event, wanting))  # type: ignore[misc]

    def _stored(self, event: Event, wanting: Iterable[_Subscriber]) -> None:
        for subscriber in wanting:
            subscriber.wake.set()
        with suppress(asyncio.QueueFull):
            self._announcements.put_nowait(event)

    async def _change(self, transaction: Transaction, delivery: Delivery, event: Event | None = None) -> None:
        """Stores a delivery's new state; one that dies takes its PLUGIN.error with it."""
        event = event or await persistence.load(transaction.connection, delivery.event_id)
        await persistence.update(transaction.connection, delivery, self._clock.now())
        for projection in self._projections:
            await projection.delivery_changed(transaction, delivery, event)
        if delivery.state is DeliveryState.DEAD:
            log.error("delivery dead", plugin=delivery.subscriber, about=event.name, reason=delivery.error)
            await self._store(transaction, [_error_event(delivery, event)])
        subscriber = self._subscribers.get(delivery.subscriber)
        if subscriber:
            transaction.after_commit(subscriber.wake.set)

    async def _dispatch(self, subscriber: _Subscriber) -> None:
        name = subscriber.subscription.name
        while not self._stopping:
            subscriber.wake.clear()
            try:
                if not subscriber.paused and len(subscriber.runs) < subscriber.subscription.concurrency:
                    if await self._start_next(subscriber):
                        continue
                    async with self._database.reading() as connection:
                        due = await persistence.next_available_at(connection, name)
                    seconds = (due - self._clock.now()).total_seconds() if due else None
                else:
                    seconds = None
            except DatabaseError as error:
                log.error("cannot claim deliveries", plugin=name, reason=error.message)
                seconds = DATABASE_RETRY_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.05, seconds) if seconds is not None else None):
                    await subscriber.wake.wait()

    async def _start_next(self, subscriber: _Subscriber) -> bool:
        async with self._database.transaction() as transaction:
            claimed = await persistence.claim(transaction.connection, subscriber.subscription.name, self._clock.now())
            if claimed is None:
                return False
            delivery, event = claimed
            for projection in self._projections:
                await projection.delivery_changed(transaction, delivery, event)
            transaction.after_commit(lambda: self._start(subscriber, delivery, event))
        return True

    def _start(self, subscriber: _Subscriber, delivery: Delivery, event: Event) -> None:
        run = _Run(
            delivery, asyncio.create_task(self._handle(subscriber, delivery, event), name=f"handle {event.name}")
        )
        subscriber.runs[delivery.id] = run
        run.settled = asyncio.create_task(self._finish(subscriber, run, event), name=f"settle {event.name}")

    async def _finish(self, subscriber: _Subscriber, run: _Run, event: Event) -> None:
        delivery = run.delivery
        await asyncio.wait([run.handling])
        follow_ons: list[Event] = []
        if run.handling.cancelled() and run.interruption is _Interruption.WITHDRAW:
            after = _withdrawn(delivery)
        elif run.handling.cancelled() and run.interruption is _Interruption.STOP:
            after = delivery.model_copy(update={"state": DeliveryState.QUEUED, "attempts": delivery.attempts - 1})
        elif error := _failure(run.handling):
            after = after_failure(delivery, error, subscriber.subscription, self._clock.now(), self._random)
            log.warning(
                "handler failed",
                plugin=delivery.subscriber,
                about=event.name,
                attempt=delivery.attempts,
                becomes=after.state.value,
                reason=describe(error),
                exc_info=None if isinstance(error, PanottiError) else error,
            )
        else:
            follow_ons = run.handling.result()
            after = delivery.model_copy(update={"state": DeliveryState.DONE, "error": None})
        await self._settle(after, event, follow_ons)
        del subscriber.runs[delivery.id]
        subscriber.wake.set()

    async def _handle(self, subscriber: _Subscriber, delivery: Delivery, event: Event) -> list[Event]:
        assert subscriber.handler
        seconds = subscriber.subscription.silence_seconds
        deadline = asyncio.timeout(seconds)
        subscriber.runs[delivery.id].deadline = deadline
        try:
            async with deadline:
                follow_ons = list(await subscriber.handler(event) or ())
        except TimeoutError as error:
            if deadline.expired():
                raise HandlerSilent(f"It gave no sign of life for {seconds:.0f} s, and was ended") from error
            raise
        except SystemExit as error:  # would end the whole daemon if it left this task
            raise PluginFailed("It called sys.exit(), which a plugin must not do") from error
        for follow_on in follow_ons:
            if not isinstance(follow_on, Event):
                raise PluginFailed(f"handle() must return events, not {type(follow_on).__name__}")
        return follow_ons

    async def _settle(self, delivery: Delivery, event: Event, follow_ons: list[Event]) -> None:
        """Stores the outcome together with the follow-on events, however long the disk refuses."""
        while True:
            try:
                async with self._database.transaction() as transaction:
                    await self._change(transaction, delivery, event)
                    await self._store(transaction, follow_ons)
                return
            except DatabaseError as error:
                log.error("cannot store an outcome", plugin=delivery.subscriber, reason=error.message)
                await asyncio.sleep(DATABASE_RETRY_SECONDS)

    def _set_deadline(self, run: _Run) -> None:
        subscriber = self._subscribers[run.delivery.subscriber]
        if run.deadline and not run.handling.done() and not run.deadline.expired():
            now = asyncio.get_running_loop().time()
            run.deadline.reschedule(None if subscriber.paused else now + subscriber.subscription.silence_seconds)

    def _runs(self) -> list[_Run]:
        return [run for subscriber in self._subscribers.values() for run in subscriber.runs.values()]

    async def _tell_listeners(self) -> None:
        while True:
            message = await self._announcements.get()
            for listener in tuple(self._listeners):
                try:
                    await listener(message)
                except Exception:
                    log.exception("a listener failed", about=message.name)


def _failure(handling: asyncio.Task[list[Event]]) -> BaseException | None:
    if handling.cancelled():
        return PluginFailed("It cancelled itself")
    return handling.exception()


def _withdrawn(delivery: Delivery) -> Delivery:
    return delivery.model_copy(update={"state": DeliveryState.DONE, "error": "withdrawn", "available_at": None})


def _error_event(delivery: Delivery, event: Event) -> Event:
    recording = event.data.get("recording") or {}
    return event.child(
        f"{delivery.subscriber}.error",
        PluginError(
            plugin=delivery.subscriber,
            event_id=event.id,
            event_name=event.name,
            recording_id=recording.get("id"),
            recording_title=recording.get("title"),
            path=recording.get("path"),
            title=f"{delivery.subscriber} failed",
            message=delivery.error or "",
            attempts=delivery.attempts,
        ),
        source_plugin=delivery.subscriber,
    )


async def _wait_for(tasks: Iterable[asyncio.Task[None] | None], timeout: float | None) -> None:
    if waiting := [task for task in tasks if task]:
        await asyncio.wait(waiting, timeout=timeout)
