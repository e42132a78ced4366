from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from panotti_daemon.core.events.journal import Selection
from panotti_daemon.core.events.models import Event
from panotti_daemon.core.events.replay import AT_ONCE, Replay, Step
from panotti_daemon.core.events.types import EventPriority
from panotti_daemon.errors import PanottiError, PermanentError
from tests.unit.core.events.scene import NOW, Gate, Recorder, Scene, eventually, play


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "panotti.db"


def replay_of(s: Scene) -> Replay:
    return Replay(s.database, s.bus, s.clock)


def said(steps: list[Step]) -> list[tuple[str, tuple[str, ...]]]:
    return [(step.event.name, step.subscribers) for step in steps]


def test_a_plan_says_what_a_replay_then_does_and_does_nothing_itself(path: Path) -> None:
    async def act(s: Scene) -> None:
        worker, other = Recorder(), Recorder()
        s.subscribe("worker", worker, "a.*")
        s.subscribe("other", other, "*")
        await s.publish("a.first", "b.second")
        await s.until("done", "done", "done")

        planned = await replay_of(s).plan(Selection(name="*"))
        assert said(planned) == [("a.first", ("worker", "other")), ("b.second", ("other",))]
        assert await s.states() == ["done", "done", "done"]
        assert await replay_of(s).run(Selection(name="*")) == planned
        await s.until("done", "done", "done")
        assert (worker.names, other.names) == (["a.first"] * 2, ["a.first", "b.second"] * 2)
        assert {d.attempts for d in await s.deliveries()} == {1}

    play(path, act)


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(correlation_id="one"), ["a.early"]),
        (Selection(name="*.late"), ["a.late"]),
        (Selection(since=NOW - timedelta(hours=1)), ["a.late"]),
        (Selection(until=NOW - timedelta(hours=1)), ["a.early"]),
        (Selection(name="*.late", correlation_id="one"), []),
        (Selection(event_id="unknown"), []),
    ],
)
def test_only_what_is_chosen_is_replayed(path: Path, selection: Selection, names: list[str]) -> None:
    async def act(s: Scene) -> None:
        worker = Recorder()
        s.subscribe("worker", worker)
        await s.publish("a.early", correlation_id="one", created_at=NOW - timedelta(hours=2))
        await s.publish("a.late", correlation_id="two", created_at=NOW)
        await s.until("done", "done")
        steps = await replay_of(s).run(selection)
        await s.until("done", "done")
        assert [step.event.name for step in steps] == names
        assert worker.names[2:] == names

    play(path, act)


def test_a_replay_of_one_event_to_one_subscriber_reaches_nobody_else(path: Path) -> None:
    async def act(s: Scene) -> None:
        worker, other = Recorder(), Recorder()
        s.subscribe("worker", worker)
        s.subscribe("other", other)
        first, _ = await s.publish("a.first", "a.second")
        await s.until("done", "done", "done", "done")
        await replay_of(s).run(Selection(event_id=first.id), to="other")
        await s.until("done", "done", "done", "done")
        assert (worker.names, other.names) == (["a.first", "a.second"], ["a.first", "a.second", "a.first"])

    play(path, act)


def test_a_replay_that_names_nothing_or_nobody_is_refused(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("worker", Recorder())
        with pytest.raises(PanottiError, match="Say which events"):
            await replay_of(s).plan(Selection())
        with pytest.raises(PanottiError, match="No plugin wroker gets events now; did you mean worker"):
            await replay_of(s).run(Selection(name="*"), to="wroker")

    play(path, act)


def test_a_subscriber_that_came_later_gets_events_from_before_in_their_order(path: Path) -> None:
    async def act(s: Scene) -> None:
        early, late = Recorder(), Recorder()
        s.subscribe("early", early, "a.*")
        await s.publish("a.first", correlation_id="c")
        s.subscribe("late", late, "a.*")
        await s.publish("a.second", correlation_id="c")
        await s.publish("b.not_wanted", correlation_id="c")
        await s.until("done", "done", "done")
        await replay_of(s).run(Selection(correlation_id="c"), to="late")
        await s.until("done", "done", "done", "done")
        assert late.names == ["a.second", "a.first", "a.second"]
        assert early.names == ["a.first", "a.second"]

    play(path, act)


def test_what_is_still_on_its_way_is_left_alone(path: Path) -> None:
    async def act(s: Scene) -> None:
        gate = Gate()
        s.subscribe("worker", gate)
        await s.publish("a.running", "a.queued", correlation_id="c")
        await s.until("running", "queued")
        steps = await replay_of(s).run(Selection(correlation_id="c"))
        assert [(step.subscribers, step.on_its_way_to) for step in steps] == [((), ("worker",)), ((), ("worker",))]
        gate.open()
        await s.until("done", "done")
        assert [event.name for event in gate.begun] == ["a.running", "a.queued"]

    play(path, act)


def test_a_replay_comes_behind_what_is_on_its_way_in_its_correlation(path: Path) -> None:
    async def act(s: Scene) -> None:
        worker = Recorder()
        s.subscribe("worker", worker)
        await s.publish("a.old", correlation_id="c")
        await s.until("done")
        s.bus.pause("worker")
        await s.publish("a.new", correlation_id="c")
        await replay_of(s).run(Selection(name="a.old"), priority=EventPriority.NOW)
        s.bus.resume("worker")
        await s.until("done", "done")
        assert worker.names == ["a.old", "a.new", "a.old"]

    play(path, act)


def test_a_replay_waits_behind_everything_else_unless_it_is_urgent(path: Path) -> None:
    async def act(s: Scene) -> None:
        worker = Recorder()
        s.subscribe("worker", worker)
        await s.publish("a.old", "b.old", priority=EventPriority.HIGH)
        await s.until("done", "done")
        s.bus.pause("worker")
        await replay_of(s).run(Selection(name="a.old"))
        await s.publish("c.new")
        await replay_of(s).run(Selection(name="b.old"), priority=EventPriority.NOW)
        s.bus.resume("worker")
        await s.until("done", "done", "done")
        assert worker.names[2:] == ["b.old", "c.new", "a.old"]

    play(path, act)


def test_a_dead_delivery_is_replayed_and_may_die_and_be_told_again(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("worker", Recorder(PermanentError("one"), PermanentError("two")), "a.*")
        await s.publish("a.thing")
        await s.until("dead")
        await replay_of(s).run(Selection(name="a.thing"))
        await eventually(lambda: _counted(s, 2))

    async def _counted(s: Scene, count: int) -> bool:
        return len(await s.events("worker.error")) == count

    play(path, act)


def test_what_a_replayed_event_sets_off_is_new_and_not_replayed_itself(path: Path) -> None:
    async def act(s: Scene) -> None:
        answers = 0

        async def answer(event: Event) -> list[Event]:
            nonlocal answers
            if event.name == "answer.given":
                return []
            answers += 1
            return [event.child("answer.given", {}, source_plugin="worker")]

        s.subscribe("worker", answer, concurrency=8)
        count = AT_ONCE + 20
        await s.publish(*("question.asked" for _ in range(count)))
        await s.until(*["done"] * 2 * count)
        steps = await replay_of(s).run(Selection(name="*.*"))
        assert len(steps) == 2 * count
        await s.until(*["done"] * 3 * count)
        assert answers == 2 * count

    play(path, act)
