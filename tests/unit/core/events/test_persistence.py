from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from panotti_daemon.core.events import persistence
from panotti_daemon.core.events.dead_letters import DeadLetters
from panotti_daemon.core.events.journal import Journal, Selection
from panotti_daemon.core.events.models import DeliveryState, Event
from panotti_daemon.core.events.types import EventPriority
from panotti_daemon.models.database import queries
from tests.unit.core.events.scene import NOW, Recorder, Scene, holds, play

EVENT = Event.create(
    "example.happened",
    {"title": "Grüße, 你好 \u2028 \x00", "nested": [{"a": None}, 1.5, True]},
    source_plugin="plugin",
    priority=EventPriority.HIGH,
    cause_id="cause",
    created_at=NOW,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "panotti.db"


def test_an_event_comes_back_as_it_was(path: Path) -> None:
    async def act(s: Scene) -> None:
        async with s.database.transaction() as transaction:
            await persistence.insert(transaction.connection, [(EVENT, [])])
            assert await persistence.load(transaction.connection, EVENT.id) == EVENT

    play(path, act)


def test_a_claim_marks_the_delivery_as_running_and_counts_the_attempt(path: Path) -> None:
    async def act(s: Scene) -> None:
        async with s.database.transaction() as transaction:
            await persistence.insert(transaction.connection, [(EVENT, ["plugin", "other"])])
            claimed = await persistence.claim(transaction.connection, "plugin", NOW)
            assert claimed
            delivery, event = claimed
            assert event == EVENT
            assert (delivery.state, delivery.attempts, delivery.priority) == ("running", 1, EventPriority.HIGH)
            assert await persistence.claim(transaction.connection, "plugin", NOW) is None
            assert await persistence.in_state(transaction.connection, DeliveryState.RUNNING) == [delivery]

    play(path, act)


def test_a_waiting_delivery_can_be_claimed_when_its_time_has_come(path: Path) -> None:
    async def act(s: Scene) -> None:
        async with s.database.transaction() as transaction:
            connection = transaction.connection
            await persistence.insert(connection, [(EVENT, ["plugin"])])
            claimed = await persistence.claim(connection, "plugin", NOW)
            assert claimed
            due = NOW + timedelta(seconds=30)
            waiting = claimed[0].model_copy(update={"state": DeliveryState.WAITING, "available_at": due})
            await persistence.update(connection, waiting, NOW)
            assert await persistence.next_available_at(connection, "plugin") == due
            assert await persistence.claim(connection, "plugin", due - timedelta(milliseconds=1)) is None
            again = await persistence.claim(connection, "plugin", due)
            assert again
            assert (again[0].attempts, again[0].available_at) == (2, None)

    play(path, act)


def test_all_but_what_is_done_becomes_more_urgent(path: Path) -> None:
    async def act(s: Scene) -> None:
        async with s.database.transaction() as transaction:
            connection = transaction.connection
            await persistence.insert(connection, [(EVENT, ["plugin", "running", "other"])])
            await persistence.claim(connection, "running", NOW)
            claimed = await persistence.claim(connection, "plugin", NOW)
            assert claimed
            done = claimed[0].model_copy(update={"state": DeliveryState.DONE})
            await persistence.update(connection, done, NOW)
            assert await persistence.raise_priority(connection, EVENT.correlation_id, EventPriority.NOW) == 2
            assert await persistence.raise_priority(connection, EVENT.correlation_id, EventPriority.NORMAL) == 0
            found = await persistence.of_correlation(connection, EVENT.correlation_id)
            assert {d.subscriber: d.priority for d in found} == {"plugin": 20, "running": 30, "other": 30}

    play(path, act)


def test_the_same_event_is_not_stored_twice(path: Path) -> None:
    async def act(s: Scene) -> None:
        async with s.database.transaction() as transaction:
            await persistence.insert(transaction.connection, [(EVENT, [])])
            with pytest.raises(sqlite3.IntegrityError):
                await persistence.insert(transaction.connection, [(EVENT, [])])

    play(path, act)


@pytest.mark.parametrize("query", ["claim_delivery", "claim_oldest_delivery"])
def test_claiming_uses_an_index_however_many_deliveries_are_done(path: Path, query: str) -> None:
    async def act(s: Scene) -> None:
        statement = getattr(queries(), query).sql
        async with s.database.reading() as connection:
            parameters = {"subscriber": "plugin", "now": "x", "priority": 0}
            rows = await (await connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)).fetchall()
        plan = [row[3] for row in rows]
        assert not [step for step in plan if step.startswith("SCAN") or "TEMP B-TREE" in step], plan

    play(path, act)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("data", '{"half'),
        ("data", "[]"),
        ("name", "NO NAME"),
        ("name", b"no.utf\xff"),
        ("created_at", "yesterday"),
    ],
)
def test_a_damaged_event_is_dead_with_a_reason_and_in_nobodys_way(path: Path, column: str, value: str | bytes) -> None:
    async def act(s: Scene) -> None:
        worker = Recorder()
        s.subscribe("worker", worker)
        async with s.database.transaction() as transaction:
            await persistence.insert(transaction.connection, [(EVENT, ["worker"])])
            await transaction.connection.execute(f"UPDATE events SET {column} = CAST(? AS TEXT)", (value,))
        await s.publish("a.sound")
        await holds(lambda: worker.names == ["a.sound"])
        (letter,) = await DeadLetters(s.database, s.bus).find(Selection())
        assert letter.event.id == EVENT.id
        assert f"The stored event is damaged: its {column} cannot be read." in str(letter.delivery.error)
        entries, _ = await Journal(s.database).page(Selection(), limit=10)
        assert EVENT.id in [entry.event.id for entry in entries]

    play(path, act)
