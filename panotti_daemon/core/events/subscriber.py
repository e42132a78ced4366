"""One subscriber: claims its deliveries, runs its handler on each, and stores what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, Protocol

import structlog

from panotti_daemon.clock import Clock
from panotti_daemon.core.events import persistence
from panotti_daemon.core.events.circuit import Circuit, Rest
from panotti_daemon.core.events.handlers import (
    Handler,
    HandlerSilent,
    Subscription,
    after_failure,
    checked_answer,
    contained,
    describe,
    rest_event,
)
from panotti_daemon.core.events.models import Delivery, DeliveryState, Event
from panotti_daemon.core.events.runs import Interruption, Run, interrupt, settled
from panotti_daemon.core.events.types import EventPriority
from panotti_daemon.errors import (
    DatabaseConflict,
    DatabaseError,
    PanottiError,
    PermanentError,
    PluginFailed,
    Unavailable,
)
from panotti_daemon.models.database import Database, Transaction, stamp

log = structlog.get_logger(__name__)


FAIR_CLAIM = 10
"""Every so many claims the oldest delivery has its turn, whatever its priority."""
CLOCK_SECONDS = 60.0
"""What waits for a time of day is looked at so often: the machine may sleep, or its clock be set."""


class Outbox(Protocol):
    """Where events and deliveries are stored, together with whatever follows them."""

    async def store(self, transaction: Transaction, events: Iterable[Event]) -> None: ...

    async def change(self, transaction: Transaction, delivery: Delivery, event: Event | None = None) -> None: ...

    async def claim(
        self, transaction: Transaction, subscription: Subscription, *, least: EventPriority, oldest: bool
    ) -> tuple[Delivery, Event] | None: ...

    def rest_changed(self, name: str, rest: Rest | None) -> None: ...


class Subscriber:
    """Stands from the moment it is declared; it delivers while a handler is attached."""

    def __init__(
        self,
        subscription: Subscription,
        outbox: Outbox,
        database: Database,
        clock: Clock,
        random: Random,
        *,
        database_retry_seconds: float,
        obey_seconds: float,
    ) -> None:
        self.subscription = subscription
        self._outbox = outbox
        self._database = database
        self._clock = clock
        self._random = random
        self._database_retry_seconds = database_retry_seconds
        self._obey_seconds = obey_seconds
        self._handler: Handler | None = None
        self._dispatcher: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._wake = asyncio.Event()
        self._runs: dict[int, Run] = {}
        self._disobedient: set[asyncio.Task[list[Event]]] = set()
        self._least: EventPriority | None = EventPriority.BACKLOG
        """What is claimed has this priority at least; None: nothing is."""
        self._claims = 0
        self._circuit = Circuit()
        self._shown_rest: Rest | None = None

    @property
    def rest(self) -> Rest | None:
        rest = self._circuit.rest
        return rest if rest and not rest.is_over(self._clock.now()) else None

    @property
    def name(self) -> str:
        return self.subscription.name

    def runs_of(self, correlation_id: str) -> list[Run]:
        return [run for run in self._runs.values() if run.delivery.correlation_id == correlation_id]

    def attach(self, handler: Handler) -> None:
        """Starts to deliver, whatever this subscriber's earlier handlers failed at."""
        self._handler = handler
        self._circuit = Circuit()
        self._ending.clear()
        self._dispatcher = asyncio.create_task(self._dispatch(handler), name=f"dispatch {self.name}")

    async def detach(self, grace_seconds: float) -> None:
        """Delivers nothing more. What runs has the grace time to end, and is then put back, at no attempt's cost."""
        self._ending.set()
        self._wake.set()
        if self._dispatcher:
            await asyncio.wait([self._dispatcher])
        await settled(list(self._runs.values()), timeout=grace_seconds)
        await interrupt(list(self._runs.values()), Interruption.STOP)
        self._handler = self._dispatcher = None

    def end_rest(self) -> None:
        self._succeeded()
        self._wake.set()

    def wake(self) -> None:
        """There may be something to claim."""
        self._wake.set()

    def take(self, least: EventPriority | None) -> None:
        """From now on claims what has this priority at least; with None, nothing. What runs and has less is held: it
        may be silent, and goes back to the queue for what has more."""
        self._least = least
        for run in self._runs.values():
            run.deadline = self._deadline()
        self._wake.set()

    def hurry(self, correlation_id: str) -> None:
        """What runs of a correlation is wanted now, too."""
        for run in self.runs_of(correlation_id):
            run.delivery = run.delivery.model_copy(update={"priority": EventPriority.NOW})
        self._wake.set()

    def heartbeat(self, event_id: str) -> None:
        for run in self._runs.values():
            if run.delivery.event_id == event_id:
                run.deadline = self._deadline()

    async def spare_attempt(self, event_id: str) -> None:
        for run in self._runs.values():
            if run.delivery.event_id == event_id and not run.spared:
                run.delivery, run.spared = run.refunded(), True
                async with self._database.transaction() as transaction:
                    if self._runs.get(run.delivery.id) is run:  # its outcome may have been stored meanwhile
                        await self._outbox.change(transaction, run.delivery, run.event)
                return

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.subscription.silence_seconds

    async def _dispatch(self, handler: Handler) -> None:
        while not self._ending.is_set():
            self._wake.clear()
            seconds: float | None = None
            try:
                rest = self.rest
                self._show(rest)
                if rest:
                    seconds = (rest.until - self._clock.now()).total_seconds()
                elif self._least is not None and await self._has_room(self._least):
                    if await self._start_next(handler, self._least):
                        continue
                    async with self._database.reading() as connection:
                        due = await persistence.next_available_at(connection, self.name)
                    seconds = (due - self._clock.now()).total_seconds() if due else None
            except DatabaseError as error:
                log.error("cannot claim deliveries", plugin=self.name, reason=error.message)
                seconds = self._database_retry_seconds
            except Exception:  # whatever it is, a subscriber that nobody serves would be worse
                log.exception("cannot claim deliveries", plugin=self.name)
                seconds = self._database_retry_seconds
            await _set_within(self._wake, None if seconds is None else min(max(0.05, seconds), CLOCK_SECONDS))

    @property
    def _busy(self) -> int:
        return sum(not run.lingers for run in self._runs.values())

    @property
    def _slots(self) -> int:
        """After a rest, one delivery at a time shows whether it is better now."""
        return 1 if self._circuit.rest else self.subscription.concurrency

    def _is_held(self, run: Run) -> bool:
        return self._least is None or run.delivery.priority < self._least

    async def _has_room(self, least: EventPriority) -> bool:
        """What is held makes room for what need not wait, and what gives way, for what is wanted now."""
        if self._busy < self._slots:
            return True
        runs = [run for run in self._runs.values() if not run.lingers]
        yielding = [run for run in runs if self._is_held(run)]
        if not yielding and self.subscription.gives_way:
            yielding = [run for run in runs if run.delivery.priority < EventPriority.NOW]
            least = EventPriority.NOW
        if not yielding:
            return False
        async with self._database.reading() as connection:
            is_asked = await persistence.is_claimable(connection, self.name, least)
        if is_asked:
            await interrupt(yielding[:1], Interruption.STOP)
        return is_asked

    async def _start_next(self, handler: Handler, least: EventPriority) -> bool:
        async with self._database.transaction() as transaction:
            oldest = self._claims % FAIR_CLAIM == FAIR_CLAIM - 1
            claimed = await self._outbox.claim(transaction, self.subscription, least=least, oldest=oldest)
            if claimed:
                self._claims += 1
                transaction.after_commit(partial(self._start, handler, *claimed))
        return claimed is not None

    def _start(self, handler: Handler, delivery: Delivery, event: Event) -> None:
        run = self._runs[delivery.id] = Run(
            delivery,
            event,
            asyncio.create_task(_handle(handler, event), name=f"handle {event.name}"),
            self._deadline(),
            interrupted=asyncio.get_running_loop().create_future(),
            released=asyncio.Event(),
        )
        run.settled = asyncio.create_task(self._finish(run), name=f"settle {event.name}")

    async def _finish(self, run: Run) -> None:
        try:
            await self._end(run)
            after, follow_ons = self._outcome(run)
            try:
                await self._settle(after, run.event, follow_ons)
                if after.state is DeliveryState.DONE and after.error is None:
                    self._succeeded()
            except Exception as error:  # what a plugin returned may be beyond storing
                log.exception("an outcome cannot be stored", plugin=self.name, about=run.event.name)
                refused = PluginFailed(f"What it returned cannot be stored: {describe(error)}")
                after, follow_ons = self._failed(run, refused)
                await self._settle(after, run.event, follow_ons)
        finally:
            del self._runs[run.delivery.id]
            self._wake.set()

    async def _end(self, run: Run) -> None:
        """Until the handler has ended, or was cancelled and does not obey."""
        now = asyncio.get_running_loop().time
        while not run.handling.done() and not run.interrupted.done():
            if self._is_held(run):
                run.deadline = self._deadline()
            if run.deadline <= now():
                run.interrupt(Interruption.SILENCE)
                break
            ends: list[asyncio.Future[Any]] = [run.handling, run.interrupted]
            await asyncio.wait(ends, timeout=run.deadline - now(), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([run.handling], timeout=self._obey_seconds)
        if not run.handling.done():
            log.error("a handler ignores that it was ended", plugin=self.name, about=run.event.name)
            self._disobedient.add(run.handling)
            run.handling.add_done_callback(self._forget_disobedient)
            if run.interrupted.result() is Interruption.SILENCE and not self._is_last_attempt(run):
                await self._outlast(run)

    def _is_last_attempt(self, run: Run) -> bool:
        return run.delivery.attempts >= self.subscription.max_attempts

    async def _outlast(self, run: Run) -> None:
        """Frees the slot of a handler that does not obey, but not its delivery: no retry begins beside it."""
        run.lingers = True
        self._wake.set()
        released = asyncio.ensure_future(run.released.wait())
        ends: list[asyncio.Future[Any]] = [run.handling, released]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        released.cancel()

    def _forget_disobedient(self, handling: asyncio.Task[list[Event]]) -> None:
        self._disobedient.discard(handling)
        _failure(handling)  # or asyncio would say that nobody looked

    def _outcome(self, run: Run) -> tuple[Delivery, list[Event]]:
        delivery = run.delivery
        error = _failure(run.handling)
        why = run.interrupted.result() if run.interrupted.done() else None
        if why is Interruption.WITHDRAW:
            return delivery.withdrawn(), []
        if error is None:
            return delivery.model_copy(update={"state": DeliveryState.DONE, "error": None}), run.handling.result()
        if why is Interruption.STOP:
            return run.refunded().model_copy(update={"state": DeliveryState.QUEUED}), []
        if why is Interruption.SILENCE:
            seconds = self.subscription.silence_seconds
            error = HandlerSilent(f"It gave no sign of life for {seconds:.0f} s, and was ended")
        after, news = self._failed(run, error)
        log.warning(
            "handler failed",
            plugin=self.name,
            about=run.event.name,
            attempt=delivery.attempts,
            becomes=after.state.value,
            reason=describe(error),
            exc_info=None if isinstance(error, PanottiError) else error,
        )
        return after, news

    def _failed(self, run: Run, error: BaseException) -> tuple[Delivery, list[Event]]:
        """What becomes of the delivery, and the news that the plugin rests if that begins with this failure."""
        now = self._clock.now()
        after = after_failure(run.delivery, error, self.subscription, now, self._random, spared=run.spared)
        if isinstance(error, Unavailable | PermanentError):  # the plugin itself is well
            return after, []
        rests_already = self._circuit.rest is not None
        rest = self._circuit.failed(run.event.id, describe(error), now)
        if rest is None:
            return after, []
        log.error("plugin rests", plugin=self.name, reason=rest.reason, until=stamp(rest.until))
        self._show(rest)
        return after, [] if rests_already else [rest_event(self.name, rest)]

    def _succeeded(self) -> None:
        self._circuit.succeeded()
        self._show(None)

    def _show(self, rest: Rest | None) -> None:
        if rest != self._shown_rest:
            self._shown_rest = rest
            self._outbox.rest_changed(self.name, rest)

    async def _settle(self, delivery: Delivery, event: Event, follow_ons: list[Event]) -> None:
        """Stores the outcome together with the follow-on events, however long the disk refuses. One that could not be
        stored before the daemon stops stays as it would after a crash."""
        while True:
            is_last_try = self._ending.is_set()
            try:
                async with self._database.transaction() as transaction:
                    await self._outbox.change(transaction, delivery, event)
                    await self._outbox.store(transaction, follow_ons)
                return
            except DatabaseConflict:
                raise
            except DatabaseError as error:
                log.error("cannot store an outcome", plugin=self.name, reason=error.message)
                if is_last_try:
                    return
            await _set_within(self._ending, self._database_retry_seconds)


async def _handle(handler: Handler, event: Event) -> list[Event]:
    return checked_answer(await contained(partial(handler, event.current())))


def _failure(handling: asyncio.Task[list[Event]]) -> BaseException | None:
    if not handling.done():
        return PluginFailed("It does not end")
    if handling.cancelled():
        return PluginFailed("It cancelled itself")
    return handling.exception()


async def _set_within(event: asyncio.Event, seconds: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
