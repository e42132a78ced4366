from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from panotti_daemon.core.events.journal import Journal, Selection
from panotti_daemon.core.events.retention import AT_ONCE, Retention
from panotti_daemon.errors import PermanentError, Unavailable
from panotti_daemon.settings import EventSettings
from tests.unit.core.events.scene import NOW, Gate, Recorder, Scene, eventually, play

OLD = NOW - timedelta(days=31)
MONTH = EventSettings(keep_days=30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "panotti.db"


async def kept(s: Scene) -> list[str]:
    return [event.name for event in await s.events()]


def test_events_go_when_they_are_too_old_with_their_deliveries(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("worker", Recorder())
        await s.publish("a.old", created_at=OLD)
        await s.publish("a.new", created_at=NOW - timedelta(days=29))
        await s.until("done", "done")
        assert await Retention(s.database, s.clock, MONTH).sweep() == 1
        assert await kept(s) == ["a.new"]
        assert await s.states() == ["done"]

    play(path, act)


def test_the_oldest_go_when_there_are_too_many(path: Path) -> None:
    async def act(s: Scene) -> None:
        for number in range(5):
            await s.publish(f"a.number{number}", created_at=NOW + timedelta(seconds=number))
        retention = Retention(s.database, s.clock, EventSettings(keep_count=2))
        assert await retention.sweep() == 3
        assert await kept(s) == ["a.number3", "a.number4"]
        assert await retention.sweep() == 0

    play(path, act)


def test_nothing_goes_that_is_still_to_be_delivered_or_dead_nor_what_led_to_it(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("running", Gate(), "run.*")
        s.subscribe("waiting", Recorder(Unavailable("not yet")), "wait.*")
        s.subscribe("dead", Recorder(PermanentError("broken")), "die.*")
        s.subscribe("queued", Recorder(), "queue.*")
        s.bus.pause("queued")
        await s.publish("cause.thing", correlation_id="c", created_at=OLD)
        for name in ("run.thing", "wait.thing", "die.thing", "queue.thing"):
            await s.publish(name, correlation_id=None if name == "run.thing" else "c", created_at=OLD)
        await s.until("running", "waiting", "dead", "queued")
        assert await Retention(s.database, s.clock, MONTH).sweep() == 0
        assert sorted(await kept(s)) == [
            *("cause.thing", "dead.error", "die.thing", "queue.thing", "run.thing", "wait.thing")
        ]

    play(path, act)


def test_a_correlation_that_lost_its_beginning_is_still_told(path: Path) -> None:
    async def act(s: Scene) -> None:
        (cause,) = await s.publish("a.cause", correlation_id="c", created_at=OLD)
        await s.publish("a.effect", correlation_id="c", cause_id=cause.id, created_at=NOW)
        assert await Retention(s.database, s.clock, MONTH).sweep() == 1
        (entry,) = await Journal(s.database).correlation("c")
        assert entry.event.cause_id == cause.id

    play(path, act)


def test_a_sweep_goes_through_many_in_parts_past_those_that_stay(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("worker", Recorder(), "keep.*")
        s.bus.pause("worker")
        await s.publish(*("keep.thing" for _ in range(AT_ONCE + 1)), created_at=OLD)
        await s.publish(*("a.thing" for _ in range(AT_ONCE + 1)), created_at=OLD)
        assert await Retention(s.database, s.clock, MONTH).sweep() == AT_ONCE + 1
        assert set(await kept(s)) == {"keep.thing"}

    play(path, act)


def test_old_events_go_by_themselves_after_a_while(path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.publish("a.old", created_at=OLD)
        retention = Retention(s.database, s.clock, MONTH, first_after_seconds=0, every_seconds=0.01)
        retention.start()

        async def gone() -> bool:
            return not (await Journal(s.database).page(Selection(), 1))[0]

        try:
            await eventually(gone)
            await s.publish("a.older", created_at=OLD)
            await eventually(gone)
        finally:
            await retention.stop()

    play(path, act)


def test_a_retention_that_never_started_can_be_stopped(path: Path) -> None:
    async def act(s: Scene) -> None:
        await asyncio.wait_for(Retention(s.database, s.clock, MONTH).stop(), 5)

    play(path, act)
