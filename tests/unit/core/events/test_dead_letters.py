from __future__ import annotations

from pathlib import Path

import pytest

from panotti_daemon.core.events.dead_letters import AT_ONCE, DeadLetters
from panotti_daemon.core.events.journal import Selection
from panotti_daemon.core.events.models import Delivery, Event
from panotti_daemon.errors import PermanentError
from panotti_daemon.models.database import Transaction
from tests.unit.core.events.scene import Recorder, Scene, play


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "panotti.db"


class Followed:
    """What a projection was told."""

    def __init__(self) -> None:
        self.states: list[str] = []

    async def event_stored(self, transaction: Transaction, event: Event) -> None: ...

    async def delivery_changed(self, transaction: Transaction, delivery: Delivery, event: Event) -> None:
        self.states.append(delivery.state.value)


def test_what_died_is_listed_with_its_event_and_reason(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("worker", Recorder(PermanentError("broken"), None), "a.*")
        dead, _ = await s.publish("a.dead", "a.well")
        await s.until("dead", "done")
        (letter,) = await DeadLetters(s.database, s.bus).find(Selection())
        assert (letter.event.id, letter.delivery.subscriber, letter.delivery.error) == (dead.id, "worker", "broken")

    play(path, act)


def test_a_retry_takes_only_what_is_chosen_and_gives_all_attempts_back(path: Path) -> None:
    async def act(s: Scene) -> None:
        letters = DeadLetters(s.database, s.bus)
        one, other = Recorder(PermanentError("1"), PermanentError("2")), Recorder(PermanentError("3"))
        s.subscribe("one", one, "a.*")
        s.subscribe("other", other, "a.*")
        first, second = await s.publish("a.first", "a.second")
        await s.until("dead", "dead", subscriber="one")
        await s.until("dead", "done", subscriber="other")

        assert await letters.retry(Selection(event_id=second.id)) == 1
        assert await letters.retry(Selection(event_id=second.id, subscriber="other")) == 0
        await s.until("dead", "done", subscriber="one")
        assert await letters.retry(Selection(subscriber="other")) == 1
        await s.until("done", "done", subscriber="other")
        assert [event.id for event in one.seen] == [first.id, second.id, second.id]
        assert {d.attempts for d in await s.deliveries()} == {1}

    play(path, act)


def test_a_retry_says_nothing_more_of_the_death_and_the_next_death_is_told_again(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("worker", Recorder(PermanentError("first"), PermanentError("second")), "a.*")
        await s.publish("a.thing")
        await s.until("dead")
        assert len(await s.events("worker.error")) == 1
        await s.bus.detach("worker")
        assert await DeadLetters(s.database, s.bus).retry(Selection()) == 1
        assert len(await s.events("worker.error")) == 1
        assert await s.states() == ["queued"]

    play(path, act)


def test_what_is_discarded_is_done_for_everybody_who_follows_and_no_failure_is_told(path: Path) -> None:
    async def act(s: Scene) -> None:
        followed = Followed()
        s.bus.project(followed)
        s.subscribe("worker", Recorder(PermanentError("broken")), "a.*")
        await s.publish("a.thing")
        await s.until("dead")
        letters = DeadLetters(s.database, s.bus)
        assert await letters.discard(Selection(subscriber="worker")) == 1
        delivery = await s.only("worker")
        assert (delivery.state, delivery.error) == ("done", "discarded")
        assert followed.states == ["running", "dead", "done"]
        assert len(await s.events("worker.error")) == 1
        assert await letters.discard(Selection()) == 0
        assert await letters.retry(Selection()) == 0

    play(path, act)


def test_more_than_one_transaction_takes_each_dead_delivery_once(path: Path) -> None:
    async def act(s: Scene) -> None:
        always = Recorder(*(PermanentError("no") for _ in range(3 * AT_ONCE)))
        s.subscribe("worker", always, "a.*", concurrency=50)
        count = AT_ONCE + 20
        await s.publish(*("a.thing" for _ in range(count)))
        await s.until(*["dead"] * count)
        assert await DeadLetters(s.database, s.bus).retry(Selection()) == count
        await s.until(*["dead"] * count)
        assert len(always.seen) == 2 * count

    play(path, act)
