"""Has transcription wait when it must, and lets through what is asked for now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog
from pydantic import BaseModel, TypeAdapter

from panotti_daemon.clock import Clock
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.models import Delivery, DeliveryState, Event
from panotti_daemon.core.events.types import EventPriority
from panotti_daemon.engine.messages import Pace
from panotti_daemon.loops import keep_going
from panotti_daemon.models.database import Database, Transaction, queries
from panotti_daemon.pausing.state import PauseState, Readings, Reason, Verdict
from panotti_daemon.settings import PoliteSettings

log = structlog.get_logger(__name__)

LOOK_SECONDS = 20.0
"""How often machine and clock are looked at: a machine may sleep, and a clock be set."""
SOONEST_SECONDS = 0.05


class StoredPause(BaseModel):
    """The user's, over a restart."""

    until: datetime | None = None


_STORED: TypeAdapter[StoredPause | None] = TypeAdapter(StoredPause | None)


class Engine(Protocol):
    def keep_pace(self, pace: Pace) -> None: ...


class Machine(Protocol):
    @property
    def tells(self) -> bool: ...

    def read(self) -> Readings: ...


class Pausing:
    """A projection of the bus, so that it knows when something urgent runs."""

    def __init__(
        self,
        database: Database,
        bus: EventBus,
        engine: Engine,
        machine: Machine,
        settings: PoliteSettings,
        clock: Clock,
        *,
        transcribers: Callable[[], Iterable[str]],
        changed: Callable[[], None],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`transcribers` are the plugins that it holds up."""
        self.verdict = Verdict()
        """What holds now."""
        self.pace = Pace.FULL
        """The engine's: what is urgent is not held up."""
        self._database = database
        self._bus = bus
        self._engine = engine
        self._machine = machine
        self._clock = clock
        self._transcribers = transcribers
        self._changed = changed
        self._look_seconds = look_seconds
        self._state = PauseState(settings)
        self._depends_on_time = settings.hours is not None
        self._readings = Readings()
        self._urgent: set[int] = set()
        """Deliveries."""
        self._asking = asyncio.Lock()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Takes up the pause that the daemon was ended in."""
        async with self._database.reading() as connection:
            stored = await queries().plugin_value(connection, plugin="daemon", key="pause")
        if stored and (pause := _STORED.validate_json(stored)):
            self._state.pause(pause.until, self._clock.now(), self._clock.monotonic())
        await self.look()
        self._task = asyncio.create_task(keep_going("pausing", self._look_for_ever), name="pausing")

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def pause(self, until: datetime | None) -> None:
        """By the user; nothing goes on, however urgent."""
        async with self._asking:
            await self._store(StoredPause(until=until))
            self._state.pause(until, self._clock.now(), self._clock.monotonic())
            self._apply()

    async def resume(self) -> None:
        """Ends the user's pause, or else what holds transcription up, until that is over by itself."""
        async with self._asking:
            await self._store(None)
            self._state.resume()
            self._apply()

    def declared(self, transcriber: str) -> None:
        """One that was switched on or reloaded takes part."""
        self._hold(transcriber)

    async def look(self) -> None:
        if self._machine.tells:
            self._readings = await asyncio.to_thread(self._machine.read)
        async with self._asking:
            was_paused = _reason(self.verdict) is Reason.ASKED
            self._apply()
            if was_paused and _reason(self.verdict) is not Reason.ASKED:
                await self._store(None)

    async def event_stored(self, transaction: Transaction, event: Event) -> None:
        pass

    async def delivery_changed(self, transaction: Transaction, delivery: Delivery, event: Event) -> None:
        if delivery.subscriber in self._transcribers():
            is_urgent = delivery.state is DeliveryState.RUNNING and delivery.priority >= EventPriority.NOW
            transaction.after_commit(partial(self._note, delivery.id, is_urgent))

    def _note(self, delivery: int, is_urgent: bool) -> None:
        if is_urgent:
            self._urgent.add(delivery)
        else:
            self._urgent.discard(delivery)
        self._set_pace()

    async def _look_for_ever(self) -> None:
        while True:
            self._wake.clear()
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds_to_next_look()):
                    await self._wake.wait()

    def _seconds_to_next_look(self) -> float | None:
        """None where nothing can change by itself."""
        cause = self.verdict.cause
        if not (self._machine.tells or self._depends_on_time or (cause and cause.until)):
            return None
        if cause and cause.until:
            left = (cause.until - self._clock.now()).total_seconds()
            return min(self._look_seconds, max(SOONEST_SECONDS, left))
        return self._look_seconds

    def _apply(self) -> None:
        before = self.verdict
        self.verdict = self._state.look(self._clock.now(), self._clock.monotonic(), self._readings)
        if self.verdict == before:
            return
        if (self.verdict.pace, _reason(self.verdict)) != (before.pace, _reason(before)):
            log.info("pace", pace=self.verdict.pace, reason=_reason(self.verdict))
            for name in filter(self._bus.is_declared, self._transcribers()):
                self._hold(name)
            self._set_pace()
        self._wake.set()
        self._changed()

    def _hold(self, transcriber: str) -> None:
        if self.verdict.pace is not Pace.HELD:
            self._bus.resume(transcriber)
        else:
            self._bus.pause(transcriber, but=EventPriority.NOW if self.verdict.spares_urgent else None)

    def _set_pace(self) -> None:
        pace = Pace.FULL if self._urgent and self.verdict.spares_urgent else self.verdict.pace
        if pace is not self.pace:
            self.pace = pace
            self._engine.keep_pace(pace)
            self._changed()

    async def _store(self, pause: StoredPause | None) -> None:
        async with self._database.transaction() as transaction:
            await queries().set_plugin_value(
                transaction.connection, plugin="daemon", key="pause", value=_STORED.dump_json(pause).decode()
            )


def _reason(verdict: Verdict) -> Reason | None:
    return verdict.cause.reason if verdict.cause else None
