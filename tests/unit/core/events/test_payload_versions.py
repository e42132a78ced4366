"""Events that another version of Panotti stored: they load wherever an event is read, and whoever handles one sees data
in today's form or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from panotti_daemon.core.events import persistence
from panotti_daemon.core.events.dead_letters import DeadLetters
from panotti_daemon.core.events.journal import Journal, Selection
from panotti_daemon.core.events.models import Event
from panotti_daemon.core.events.replay import Replay
from panotti_daemon.core.events.types import EVENTS, Payload
from panotti_daemon.errors import PayloadMisfit
from tests.unit.core.events.scene import NOW, Recorder, Scene, play

NAME = "example.measured"
SAID = "what was said in confidence"


class Measured(Payload):
    """In its first version, seconds were milliseconds."""

    payload_version: ClassVar[int] = 2

    seconds: float
    excerpt: str = ""

    @classmethod
    def upgrade(cls, data: dict[str, Any], version: int) -> dict[str, Any]:
        return {**data, "seconds": data.pop("milliseconds") / 1000}


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EVENTS, NAME, Measured)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "panotti.db"


async def stored(s: Scene, data: dict[str, Any], version: int) -> Event:
    """As another version left it, waiting for its delivery."""
    event = Event(name=NAME, data=data, payload_version=version, correlation_id="c", created_at=NOW)
    async with s.database.transaction() as transaction:
        await persistence.insert(transaction.connection, [(event, ["worker"])])
    return event


def test_an_event_of_an_older_version_is_handled_shown_and_replayed_in_todays_form(path: Path) -> None:
    async def act(s: Scene) -> None:
        event = await stored(s, {"milliseconds": 1500}, version=1)
        worker = Recorder()
        s.subscribe("worker", worker)
        await s.until("done")
        await Replay(s.database, s.bus, s.clock).run(Selection(event_id=event.id))
        await s.until("done")
        assert [(e.data, e.payload_version) for e in worker.seen] == [({"seconds": 1.5, "excerpt": ""}, 2)] * 2
        assert worker.seen[0].read(Measured) == Measured(seconds=1.5)
        shown = (await Journal(s.database).entry(event.id)).event
        assert (shown.data, shown.payload_version) == ({"milliseconds": 1500}, 1)
        assert shown.read(Measured) == Measured(seconds=1.5)

    play(path, act)


def test_an_event_of_a_newer_version_is_handled_as_far_as_it_is_understood(path: Path) -> None:
    async def act(s: Scene) -> None:
        await stored(s, {"seconds": 1.5, "unheard_of": True}, version=9)
        worker = Recorder()
        s.subscribe("worker", worker)
        await s.until("done")
        assert worker.seen[0].read(Measured) == Measured(seconds=1.5)

    play(path, act)


@pytest.mark.parametrize(
    ("data", "version", "reason"),
    [
        ({"seconds": [SAID]}, 2, "does not fit version 2: seconds: Input should be a valid number"),
        ({"excerpt": SAID}, 9, "does not fit version 2: seconds: Field required"),
        ({"excerpt": SAID}, 1, "was stored at version 1 and does not fit version 2: KeyError"),
        ({"milliseconds": SAID}, 1, "does not fit version 2: TypeError"),
    ],
)
def test_data_that_does_not_fit_kills_the_delivery_before_anybody_sees_it(
    path: Path, data: dict[str, Any], version: int, reason: str
) -> None:
    async def act(s: Scene) -> None:
        event = await stored(s, data, version)
        worker = Recorder()
        s.subscribe("worker", worker, NAME)
        delivery = (await s.until("dead"))[0]
        assert worker.seen == []
        assert delivery.attempts == 1
        assert f"The data of {NAME} was stored at version {version}" in str(delivery.error)
        assert reason in str(delivery.error)
        assert SAID not in str(delivery.error)
        assert (await Journal(s.database).entry(event.id)).event.data == data
        (letter,) = await DeadLetters(s.database, s.bus).find(Selection())
        assert letter.event.id == event.id

    play(path, act)


def test_what_no_model_describes_is_handled_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(EVENTS, NAME)

    async def act(s: Scene) -> None:
        await stored(s, {"anything": 1}, version=7)
        worker = Recorder()
        s.subscribe("worker", worker)
        await s.until("done")
        assert worker.seen[0].data == {"anything": 1}

    play(path, act)


def test_data_that_were_spoilt_after_they_were_checked_are_not_published(path: Path) -> None:
    async def act(s: Scene) -> None:
        spoilt = Event.create(NAME, {"seconds": 1.5})
        spoilt.data["seconds"] = [SAID]
        with pytest.raises(PayloadMisfit, match="seconds: Input should be a valid number"):
            await s.bus.publish(spoilt)
        s.subscribe("worker", Recorder([spoilt]), "a.*", max_attempts=1)
        await s.publish("a.thing")
        delivery = (await s.until("dead"))[0]
        assert "What it returned cannot be stored" in str(delivery.error)
        assert [event.name for event in await s.events()] == ["a.thing", "worker.error"]

    play(path, act)
