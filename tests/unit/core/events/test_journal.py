from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from panotti_daemon.core.events.journal import Journal, Selection
from panotti_daemon.core.events.models import DeliveryState, Event
from panotti_daemon.errors import PanottiError, PermanentError
from tests.unit.core.events.scene import NOW, Recorder, Scene, play


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "panotti.db"


async def names(journal: Journal, **selection: object) -> list[str]:
    entries, _ = await journal.page(Selection(**selection), limit=100)  # type: ignore[arg-type]
    return [entry.event.name for entry in entries]


def test_the_newest_events_come_first_with_what_became_of_them(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("good", Recorder(), "a.*")
        s.subscribe("bad", Recorder(PermanentError("no use")), "a.*")
        await s.publish("a.first")
        await s.until("done", "dead")
        await s.publish("b.second")

        entries, more = await Journal(s.database).page(Selection(), limit=10)

        assert [entry.event.name for entry in entries] == ["b.second", "bad.error", "a.first"]
        assert more is None
        first = entries[-1]
        assert {d.subscriber: (d.state, d.error) for d in first.deliveries} == {
            "good": (DeliveryState.DONE, None),
            "bad": (DeliveryState.DEAD, "no use"),
        }

    play(path, act)


def test_each_filter_leaves_out_what_it_does_not_name(path: Path) -> None:
    async def act(s: Scene) -> None:
        journal = Journal(s.database)
        s.subscribe("good", Recorder(), "a.*")
        await s.publish("a.early", correlation_id="one", created_at=NOW - timedelta(hours=2))
        await s.publish("b.late", correlation_id="two", created_at=NOW)
        await s.until("done")

        assert await names(journal) == ["b.late", "a.early"]
        assert await names(journal, name="*.late") == ["b.late"]
        assert await names(journal, name="a.early") == ["a.early"]
        assert await names(journal, correlation_id="one") == ["a.early"]
        assert await names(journal, since=NOW - timedelta(hours=1)) == ["b.late"]
        assert await names(journal, until=NOW) == ["a.early"]
        assert await names(journal, subscriber="good") == ["a.early"]
        assert await names(journal, subscriber="good", state=DeliveryState.DEAD) == []
        assert await names(journal, state=DeliveryState.DONE) == ["a.early"]

    play(path, act)


def test_pages_follow_each_other_without_a_gap_also_while_events_come(path: Path) -> None:
    async def act(s: Scene) -> None:
        journal = Journal(s.database)
        published = await s.publish(*(f"a.number{n}" for n in range(5)), created_at=NOW)
        first, before = await journal.page(Selection(), limit=2)
        await s.publish("b.meanwhile")
        second, before = await journal.page(Selection(), limit=2, before=before)
        third, end = await journal.page(Selection(), limit=2, before=before)
        assert [e.event.id for e in first + second + third] == [e.id for e in reversed(published)]
        assert end is None

    play(path, act)


def test_pages_follow_the_time_also_where_events_were_stored_in_another_order(path: Path) -> None:
    async def act(s: Scene) -> None:
        journal = Journal(s.database)
        for hours in (2, 0, 3, 1):
            await s.publish(f"a.hours{hours}", created_at=NOW - timedelta(hours=hours))
        first, before = await journal.page(Selection(), limit=2)
        second, end = await journal.page(Selection(), limit=2, before=before)
        assert [e.event.name for e in first + second] == ["a.hours0", "a.hours1", "a.hours2", "a.hours3"]
        assert end is None

    play(path, act)


def test_a_part_of_an_id_is_enough_if_no_other_has_it(path: Path) -> None:
    async def act(s: Scene) -> None:
        journal = Journal(s.database)
        one, two = await s.publish("a.one", "a.two", correlation_id="shared-correlation")
        assert (await journal.entry(one.id)).event.id == one.id
        assert (await journal.entry(two.id[-12:])).event.id == two.id
        assert [e.event.id for e in await journal.correlation("shared")] == [one.id, two.id]
        with pytest.raises(PanottiError, match="More than one event begins or ends with"):
            await journal.entry(one.id[:6])
        with pytest.raises(PermanentError, match="No event that is kept"):
            await journal.entry("nothing")
        with pytest.raises(PermanentError, match="No correlation that is kept"):
            await journal.correlation("%")

    play(path, act)


def test_a_whole_id_is_meant_even_if_others_begin_with_it(path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.publish("a.one", correlation_id="c1")
        for other in ("c10", "c11", "c12"):
            await s.publish("a.other", correlation_id=other)
        assert [e.event.name for e in await Journal(s.database).correlation("c1")] == ["a.one"]

    play(path, act)


def test_a_correlation_tells_what_caused_what(path: Path) -> None:
    async def act(s: Scene) -> None:
        asked = Event.create("question.asked", {})
        answer = asked.child("answer.given", {}, source_plugin="worker")
        s.subscribe("worker", Recorder([answer]), "question.*")
        await s.bus.publish(asked)
        await s.until("done")
        entries = await Journal(s.database).correlation(asked.correlation_id)
        assert [(e.event.name, e.event.cause_id) for e in entries] == [
            ("question.asked", None),
            ("answer.given", asked.id),
        ]

    play(path, act)
