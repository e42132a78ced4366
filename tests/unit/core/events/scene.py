"""A bus on a real database, with handlers that do as a test tells them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from panotti_daemon.core.events import persistence
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.handlers import Handler, Subscription
from panotti_daemon.core.events.models import Delivery, DeliveryState, Event
from panotti_daemon.models.database import Database
from panotti_daemon.testing import NOW as NOW
from panotti_daemon.testing import StoppedClock as StoppedClock
from tests.daemon import PATIENCE


@dataclass
class Scene:
    database: Database
    bus: EventBus
    clock: StoppedClock

    def subscribe(self, name: str, handler: Handler, *patterns: str, **options: Any) -> None:
        self.bus.declare(Subscription(name, patterns or ("*",), **options))
        self.bus.attach(name, handler)

    async def publish(self, *names: str, correlation_id: str | None = None, **options: Any) -> list[Event]:
        events = [
            Event.create(name, {"number": number}, correlation_id=correlation_id, **options)
            for number, name in enumerate(names)
        ]
        await self.bus.publish(*events)
        return events

    async def deliveries(self, subscriber: str | None = None) -> list[Delivery]:
        async with self.database.reading() as connection:
            found = [d for state in DeliveryState for d in await persistence.in_state(connection, state)]
        return sorted((d for d in found if subscriber in (None, d.subscriber)), key=lambda d: d.id)

    async def states(self, subscriber: str | None = None) -> list[str]:
        return [delivery.state.value for delivery in await self.deliveries(subscriber)]

    async def only(self, subscriber: str | None = None) -> Delivery:
        (delivery,) = await self.deliveries(subscriber)
        return delivery

    async def events(self, name: str | None = None) -> list[Event]:
        async with self.database.reading() as connection:
            rows = await (await connection.execute("SELECT id FROM events ORDER BY sequence")).fetchall()
            found = [await persistence.load(connection, row[0]) for row in rows]
        return [event for event in found if name in (None, event.name)]

    async def until(self, *states: str, subscriber: str | None = None) -> list[Delivery]:
        """Waits for the deliveries to be in these states, in their order."""

        async def reached() -> bool:
            return await self.states(subscriber) == list(states)

        await eventually(reached)
        return await self.deliveries(subscriber)


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while not await condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"never happened: {condition}") from None


async def holds(condition: Callable[[], object]) -> None:
    async def asked() -> object:
        return condition()

    await eventually(asked)


@asynccontextmanager
async def scene(path: Path, *, start: bool = True, **options: Any) -> AsyncIterator[Scene]:
    database = await Database.open(path, NOW)
    clock = StoppedClock()
    bus = EventBus(database, clock, Random(1), **options)
    try:
        if start:
            await bus.start()
        yield Scene(database, bus, clock)
    finally:
        await bus.stop(grace_seconds=0)
        await database.close()


def play(path: Path, act: Callable[[Scene], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with scene(path, **options) as opened:
            await act(opened)

    asyncio.run(main())


class Recorder:
    """A handler that notes what it gets, and fails or answers as told."""

    def __init__(self, *outcomes: BaseException | Iterable[Event] | None) -> None:
        self.seen: list[Event] = []
        self._outcomes = list(outcomes)

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.seen]

    async def __call__(self, event: Event) -> Iterable[Event] | None:
        self.seen.append(event)
        outcome = self._outcomes.pop(0) if self._outcomes else None
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


class Gate:
    """A handler that waits to be let on."""

    def __init__(self, *, ignores_cancellation: bool = False) -> None:
        self.begun: list[Event] = []
        self.ended: list[Event] = []
        self.cancelled = 0
        self._ignores = ignores_cancellation
        self._open = asyncio.Event()

    @property
    def inside(self) -> int:
        return len(self.begun) - len(self.ended)

    def open(self) -> None:
        self._open.set()

    async def __call__(self, event: Event) -> None:
        self.begun.append(event)
        try:
            while True:
                try:
                    await self._open.wait()
                    return
                except asyncio.CancelledError:
                    self.cancelled += 1
                    if not self._ignores:
                        raise
        finally:
            self.ended.append(event)
