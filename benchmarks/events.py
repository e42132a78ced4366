"""What the event bus does in a second, beside a bare loop of the same SQLite inserts; how fast an event reaches a
handler at rest; and what a long history costs.

python -m benchmarks.events [EVENTS]
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

from benchmarks.report import Row, only_warnings, show, surroundings
from panotti_daemon.clock import SystemClock
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.handlers import Subscription
from panotti_daemon.core.events.journal import Journal, Selection
from panotti_daemon.core.events.models import Announcement, Event
from panotti_daemon.core.events.retention import Retention
from panotti_daemon.models.database import Database, queries, stamp
from panotti_daemon.settings import EventSettings

SUBSCRIBER = "benchmark"
IN_ONE_CALL = 100
ROUNDS = 12
HISTORY = 100_000
LATENCIES = 300
DATA = {
    "recording": {"id": "0" * 36, "title": "interview", "path": "/home/me/Recordings/interview.wav", "tracks": []},
    "metadata": {"duration": 61.5, "words": 150, "excerpt": "and so it was that we began " * 6},
}


def made(count: int) -> list[Event]:
    return [Event.create("example.happened", DATA) for _ in range(count)]


def connected(path: Path) -> sqlite3.Connection:
    """As the daemon connects."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def event_row(event: Event) -> dict[str, object]:
    return {**event.model_dump(), "data": json.dumps(event.data), "created_at": stamp(event.created_at)}


def delivery_row(event: Event) -> dict[str, object]:
    return {
        "event_id": event.id,
        "subscriber": SUBSCRIBER,
        "correlation_id": event.correlation_id,
        "priority": int(event.priority),
        "now": stamp(event.created_at),
    }


def bare(path: Path, events: Sequence[Event], in_one_commit: int, *, state: str = "queued") -> float:
    """Events a second, each with one delivery, by the very statements of the bus."""
    insert_event = queries().insert_events.sql
    insert_delivery = queries().insert_deliveries.sql.replace("'queued'", f"'{state}'")
    rows = [(event_row(event), delivery_row(event)) for event in events]
    with closing(connected(path)) as connection:
        began = time.perf_counter()
        for start in range(0, len(rows), in_one_commit):
            connection.execute("BEGIN IMMEDIATE")
            for event, delivery in rows[start : start + in_one_commit]:
                connection.execute(insert_event, event)
                connection.execute(insert_delivery, delivery)
            connection.execute("COMMIT")
        return len(events) / (time.perf_counter() - began)


def cut(events: Sequence[Event], size: int) -> Iterable[Sequence[Event]]:
    return (events[start : start + size] for start in range(0, len(events), size))


class Counter:
    """A handler that only counts, and tells when it has seen enough."""

    def __init__(self, enough: int) -> None:
        self._left = enough
        self.seen_all = asyncio.Event()

    async def __call__(self, event: Event) -> None:
        self._left -= 1
        if not self._left:
            self.seen_all.set()


Work = Callable[[Database, EventBus], Awaitable[float]]


async def on_a_bus(path: Path, work: Work, concurrency: int = 1) -> float:
    database = await Database.open(path, datetime.now(UTC))
    bus = EventBus(database, SystemClock())
    bus.declare(Subscription(SUBSCRIBER, ("example.*",), concurrency=concurrency))
    await bus.start()
    try:
        return await work(database, bus)
    finally:
        await bus.stop()
        await database.close()


def publishing(events: Sequence[Event], in_one_call: int) -> Work:
    async def work(database: Database, bus: EventBus) -> float:
        began = time.perf_counter()
        for batch in cut(events, in_one_call):
            await bus.publish(*batch)
        return len(events) / (time.perf_counter() - began)

    return work


def handling(events: Sequence[Event]) -> Work:
    """From the first publish until the last is handled."""

    async def work(database: Database, bus: EventBus) -> float:
        counter = Counter(len(events))
        bus.attach(SUBSCRIBER, counter)
        began = time.perf_counter()
        for batch in cut(events, IN_ONE_CALL):
            await bus.publish(*batch)
        await counter.seen_all.wait()
        return len(events) / (time.perf_counter() - began)

    return work


def announcing(count: int) -> Work:
    """From the first announcement until a listener has heard the last."""

    async def work(database: Database, bus: EventBus) -> float:
        left, heard_all = count, asyncio.Event()

        async def hear(message: object) -> None:
            nonlocal left
            left -= 1
            if not left:
                heard_all.set()

        bus.listen(hear)
        announcement = Announcement.create("example.progress", {"fraction": 0.5})
        began = time.perf_counter()
        for _ in range(count):
            await bus.announce(announcement)
        await heard_all.wait()
        assert not bus.announcements_dropped
        return count / (time.perf_counter() - began)

    return work


async def latencies(database: Database, bus: EventBus, into: list[float]) -> float:
    """Milliseconds from the call of publish to that of the handler, with nothing else to do."""
    handled = asyncio.Event()
    began = 0.0

    async def handle(event: Event) -> None:
        into.append(1000 * (time.perf_counter() - began))
        handled.set()

    bus.attach(SUBSCRIBER, handle)
    for event in made(LATENCIES):
        await asyncio.sleep(0.005)  # until it is at rest again
        handled.clear()
        began = time.perf_counter()
        await bus.publish(event)
        await handled.wait()
    return median(into)


def rates(folder: Path, count: int) -> list[Row]:
    """The best of the rounds: whatever else runs on the machine only ever slows down."""
    few = max(100, count // 10)
    ways: dict[str, Callable[[Path], float]] = {
        "bare loop, one a commit": lambda path: bare(path, made(few), 1),
        f"bare loop, {IN_ONE_CALL} a commit": lambda path: bare(path, made(count), IN_ONE_CALL),
        "publish, one a call": lambda path: asyncio.run(on_a_bus(path, publishing(made(few), 1))),
        f"publish, {IN_ONE_CALL} a call": lambda path: asyncio.run(
            on_a_bus(path, publishing(made(count), IN_ONE_CALL))
        ),
        "publish and handle, one at a time": lambda path: asyncio.run(on_a_bus(path, handling(made(few)))),
        "publish and handle, 16 at a time": lambda path: asyncio.run(on_a_bus(path, handling(made(few)), 16)),
        "announce, and listen": lambda path: asyncio.run(on_a_bus(path, announcing(count))),
    }
    best = dict.fromkeys(ways, 0.0)
    for number in range(ROUNDS):
        for place, (way, measure) in enumerate(ways.items()):
            path = folder / f"{place}-{number}.db"
            asyncio.run(on_a_bus(path, publishing([], 1)))  # makes the schema
            best[way] = max(best[way], measure(path))
    single, batched = list(best.values())[:2]
    return [
        {
            "way": way,
            "a second": round(found),
            "to bare, batched": found / batched,
            "to bare, one a commit": found / single,
        }
        for way, found in best.items()
    ]


def history(folder: Path) -> list[Row]:
    return [{"events stored": count, **asyncio.run(with_history(folder, count))} for count in (0, HISTORY)]


async def with_history(folder: Path, count: int) -> dict[str, float]:
    path = folder / f"history{count}.db"
    await on_a_bus(path, publishing([], 1))
    bare(path, made(count), 1000, state="done")
    took: dict[str, float] = {}

    async def timed(what: str, work: Awaitable[object]) -> None:
        began = time.perf_counter()
        await work
        took[what] = 1000 * (time.perf_counter() - began)

    opening = time.perf_counter()
    database = await Database.open(path, datetime.now(UTC))
    took["open, ms"] = 1000 * (time.perf_counter() - opening)
    bus = EventBus(database, SystemClock())
    bus.declare(Subscription(SUBSCRIBER, ("example.*",)))
    try:
        await timed("start the bus, ms", bus.start())
        found: list[float] = []
        took["latency, ms"] = await latencies(database, bus, found)
        journal = Journal(database)
        await timed("newest page, ms", journal.page(Selection(), 50))
        await timed("a name that never was, ms", journal.page(Selection(name="no.such"), 50))
        keep_all = EventSettings(keep_days=1, keep_count=10 * HISTORY)
        await timed("sweep that keeps all, ms", Retention(database, SystemClock(), keep_all).sweep())
        half = EventSettings(keep_count=max(1, count // 2))
        await timed("sweep that takes half, ms", Retention(database, SystemClock(), half).sweep())
    finally:
        await bus.stop()
        await database.close()
    return took


def main(count: int) -> None:
    only_warnings()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        notes = surroundings() | {"sqlite": sqlite3.sqlite_version, "rounds": ROUNDS}
        show("Events a second", rates(folder, count), notes)
        found: list[float] = []

        async def measured(database: Database, bus: EventBus) -> float:
            return await latencies(database, bus, found)

        asyncio.run(on_a_bus(folder / "latency.db", measured))
        cuts = quantiles(found, n=100)
        show(
            "From publish to handler, at rest",
            [{"median, ms": median(found), "99 of 100 within, ms": cuts[98], "events": len(found)}],
            notes,
        )
        show("What a history costs", history(folder), notes)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
