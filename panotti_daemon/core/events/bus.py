"""The durable event bus: stores events with their deliveries, and hands these to the subscribers' handlers.

A delivery is at least once: it is done only when that stands in the database, together with the events that its
handler returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from random import Random
from typing import Any, Protocol

import structlog

from panotti_daemon.clock import Clock
from panotti_daemon.core.events import persistence
from panotti_daemon.core.events.announcements import Announcements, Listener
from panotti_daemon.core.events.handlers import (
    Handler,
    HandlerSilent,
    Subscription,
    after_failure,
    checked_answer,
    contained,
    describe,
    error_event,
)
from panotti_daemon.core.events.models import Announcement, Delivery, DeliveryState, Event
from panotti_daemon.core.events.types import EventPriority
from panotti_daemon.errors import DatabaseConflict, DatabaseError, PanottiError, PluginFailed
from panotti_daemon.models.database import Database, Transaction

log = structlog.get_logger(__name__)

DATABASE_RETRY_SECONDS = 5.0
OBEY_SECONDS = 1.0
"""How long a handler may take to end when it is cancelled; then its delivery goes on without it."""


class Projection(Protocol):
    """Something whose own tables follow the events: called inside the transaction that stores them."""

    async def event_stored(self, transaction: Transaction, event: Event) -> None: ...

    async def delivery_changed(self, transaction: Transaction, delivery: Delivery, event: Event) -> None: ...


class _Interruption(Enum):
    STOP = "stop"
    WITHDRAW = "withdraw"
    SILENCE = "silence"


@dataclass
class _Run:
    """A handler at work on a delivery."""

    delivery: Delivery
    handling: asyncio.Task[list[Event]]
    """Only this is ever cancelled."""
    deadline: float
    """On the loop's clock: when silence means that it hangs."""
    interrupted: asyncio.Future[_Interruption]
    settled: asyncio.Task[None] | None = None
    """Ends once the outcome is stored."""

    def interrupt(self, why: _Interruption) -> None:
        if not self.handling.done() and not self.interrupted.done():
            self.interrupted.set_result(why)
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
        self._subscribers: dict[str, _Subscriber] = {}
        self._projections: list[Projection] = []
        self._disobedient: set[asyncio.Task[list[Event]]] = set()
        self._stopping = asyncio.Event()

    @property
    def announcements_dropped(self) -> int:
        return self._announcements.dropped

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
        return self._announcements.listen(listener)

    async def start(self) -> None:
        """Puts back what a dead process left running, its attempt counted."""
        self._announcements.start()
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
        self._stopping.set()
        for subscriber in self._subscribers.values():
            subscriber.wake.set()
        await _wait_for(s.dispatcher for s in self._subscribers.values())
        await _wait_for((run.settled for run in self._runs()), timeout=grace_seconds)
        await self._interrupt(self._runs(), _Interruption.STOP)
        await self._announcements.stop()

    def pause(self, name: str) -> None:
        """Claims nothing more for this subscriber; what runs is not touched, and may be silent."""
        self._subscribers[name].paused = True

    def resume(self, name: str) -> None:
        subscriber = self._subscribers[name]
        subscriber.paused = False
        for run in subscriber.runs.values():
            run.deadline = _deadline(subscriber)
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
        """Waits a while for room; then the announcement is dropped and counted."""
        await self._announcements.put(announcement)

    def heartbeat(self, name: str, event_id: str) -> None:
        """The subscriber's handler of this event has made progress: it is not hung."""
        subscriber = self._subscribers[name]
        for run in subscriber.runs.values():
            if run.delivery.event_id == event_id:
                run.deadline = _deadline(subscriber)

    async def withdraw(self, correlation_id: str) -> int:
        """Ends what is queued, waiting or running in a correlation, as done without result; returns how many."""
        count = 0
        while True:
            # what waits goes first, so that nothing more of it is begun; what a handler still leaves behind, next time
            async with self._database.transaction() as transaction:
                for delivery in await persistence.of_correlation(transaction.connection, correlation_id):
                    if delivery.state in (DeliveryState.QUEUED, DeliveryState.WAITING):
                        await self._change(transaction, _withdrawn(delivery))
                        count += 1
            runs = [run for run in self._runs() if run.delivery.correlation_id == correlation_id]
            if not runs:
                return count
            count += await self._interrupt(runs, _Interruption.WITHDRAW)

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
            transaction.after_commit(partial(self._stored, event, wanting))

    def _stored(self, event: Event, wanting: Iterable[_Subscriber]) -> None:
        for subscriber in wanting:
            subscriber.wake.set()
        self._announcements.put_nowait(event)

    async def _change(self, transaction: Transaction, delivery: Delivery, event: Event | None = None) -> None:
        """Stores a delivery's new state; one that dies takes its PLUGIN.error with it."""
        event = event or await persistence.load(transaction.connection, delivery.event_id)
        await persistence.update(transaction.connection, delivery, self._clock.now())
        for projection in self._projections:
            await projection.delivery_changed(transaction, delivery, event)
        if delivery.state is DeliveryState.DEAD:
            log.error("delivery dead", plugin=delivery.subscriber, about=event.name, reason=delivery.error)
            await self._store(transaction, [error_event(delivery, event)])
        subscriber = self._subscribers.get(delivery.subscriber)
        if subscriber:
            transaction.after_commit(subscriber.wake.set)

    async def _dispatch(self, subscriber: _Subscriber) -> None:
        name = subscriber.subscription.name
        while not self._stopping.is_set():
            subscriber.wake.clear()
            seconds: float | None = None
            try:
                if not subscriber.paused and len(subscriber.runs) < subscriber.subscription.concurrency:
                    if await self._start_next(subscriber):
                        continue
                    async with self._database.reading() as connection:
                        due = await persistence.next_available_at(connection, name)
                    seconds = (due - self._clock.now()).total_seconds() if due else None
            except DatabaseError as error:
                log.error("cannot claim deliveries", plugin=name, reason=error.message)
                seconds = self._database_retry_seconds
            except Exception:  # whatever it is, a subscriber that nobody serves would be worse
                log.exception("cannot claim deliveries", plugin=name)
                seconds = self._database_retry_seconds
            await _set_within(subscriber.wake, None if seconds is None else max(0.05, seconds))

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
        run = subscriber.runs[delivery.id] = _Run(
            delivery,
            asyncio.create_task(_handle(subscriber, event), name=f"handle {event.name}"),
            _deadline(subscriber),
            asyncio.get_running_loop().create_future(),
        )
        run.settled = asyncio.create_task(self._finish(subscriber, run, event), name=f"settle {event.name}")

    async def _finish(self, subscriber: _Subscriber, run: _Run, event: Event) -> None:
        try:
            await self._end(subscriber, run)
            after, follow_ons = self._outcome(subscriber, run, event)
            try:
                await self._settle(after, event, follow_ons)
            except Exception as error:  # what a plugin returned may be beyond storing
                log.exception("an outcome cannot be stored", plugin=run.delivery.subscriber, about=event.name)
                refused = PluginFailed(f"What it returned cannot be stored: {describe(error)}")
                await self._settle(self._after_failure(subscriber, run, refused), event, [])
        finally:
            del subscriber.runs[run.delivery.id]
            subscriber.wake.set()

    async def _end(self, subscriber: _Subscriber, run: _Run) -> None:
        """Until the handler has ended, or was cancelled and does not obey."""
        now = asyncio.get_running_loop().time
        while not run.handling.done() and not run.interrupted.done():
            if subscriber.paused:
                run.deadline = _deadline(subscriber)
            if run.deadline <= now():
                run.interrupt(_Interruption.SILENCE)
                break
            ends: list[asyncio.Future[Any]] = [run.handling, run.interrupted]
            await asyncio.wait(ends, timeout=run.deadline - now(), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([run.handling], timeout=self._obey_seconds)
        if not run.handling.done():
            log.error("a handler ignores that it was ended", plugin=run.delivery.subscriber)
            self._disobedient.add(run.handling)
            run.handling.add_done_callback(self._forget_disobedient)

    def _forget_disobedient(self, handling: asyncio.Task[list[Event]]) -> None:
        self._disobedient.discard(handling)
        _failure(handling)  # or asyncio would say that nobody looked

    def _outcome(self, subscriber: _Subscriber, run: _Run, event: Event) -> tuple[Delivery, list[Event]]:
        delivery = run.delivery
        error = _failure(run.handling)
        why = run.interrupted.result() if run.interrupted.done() else None
        if why is _Interruption.WITHDRAW:
            return _withdrawn(delivery), []
        if error is None:
            return delivery.model_copy(update={"state": DeliveryState.DONE, "error": None}), run.handling.result()
        if why is _Interruption.STOP:
            refunded = {"state": DeliveryState.QUEUED, "attempts": delivery.attempts - 1}
            return delivery.model_copy(update=refunded), []
        if why is _Interruption.SILENCE:
            seconds = subscriber.subscription.silence_seconds
            error = HandlerSilent(f"It gave no sign of life for {seconds:.0f} s, and was ended")
        after = self._after_failure(subscriber, run, error)
        log.warning(
            "handler failed",
            plugin=delivery.subscriber,
            about=event.name,
            attempt=delivery.attempts,
            becomes=after.state.value,
            reason=describe(error),
            exc_info=None if isinstance(error, PanottiError) else error,
        )
        return after, []

    def _after_failure(self, subscriber: _Subscriber, run: _Run, error: BaseException) -> Delivery:
        return after_failure(run.delivery, error, subscriber.subscription, self._clock.now(), self._random)

    async def _settle(self, delivery: Delivery, event: Event, follow_ons: list[Event]) -> None:
        """Stores the outcome together with the follow-on events, however long the disk refuses. One that could not be
        stored before the daemon stops stays as it would after a crash."""
        while True:
            is_last_try = self._stopping.is_set()
            try:
                async with self._database.transaction() as transaction:
                    await self._change(transaction, delivery, event)
                    await self._store(transaction, follow_ons)
                return
            except DatabaseConflict:
                raise
            except DatabaseError as error:
                log.error("cannot store an outcome", plugin=delivery.subscriber, reason=error.message)
                if is_last_try:
                    return
            await _set_within(self._stopping, self._database_retry_seconds)

    async def _interrupt(self, runs: Sequence[_Run], why: _Interruption) -> int:
        """Returns how many had not ended by themselves, once all are settled."""
        for run in runs:
            run.interrupt(why)
        await _wait_for(run.settled for run in runs)
        return sum(run.interrupted.done() for run in runs)

    def _runs(self) -> list[_Run]:
        return [run for subscriber in self._subscribers.values() for run in subscriber.runs.values()]


async def _handle(subscriber: _Subscriber, event: Event) -> list[Event]:
    assert subscriber.handler
    return checked_answer(await contained(partial(subscriber.handler, event)))


def _failure(handling: asyncio.Task[list[Event]]) -> BaseException | None:
    if not handling.done():
        return PluginFailed("It does not end")
    if handling.cancelled():
        return PluginFailed("It cancelled itself")
    return handling.exception()


def _deadline(subscriber: _Subscriber) -> float:
    return asyncio.get_running_loop().time() + subscriber.subscription.silence_seconds


def _withdrawn(delivery: Delivery) -> Delivery:
    return delivery.model_copy(update={"state": DeliveryState.DONE, "error": "withdrawn", "available_at": None})


async def _wait_for(tasks: Iterable[asyncio.Task[None] | None], timeout: float | None = None) -> None:
    if waiting := [task for task in tasks if task]:
        await asyncio.wait(waiting, timeout=timeout)


async def _set_within(event: asyncio.Event, seconds: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
