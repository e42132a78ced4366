from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panotti_daemon.core.events import persistence, subscriber
from panotti_daemon.core.events.circuit import Rest
from panotti_daemon.core.events.handlers import Subscription
from panotti_daemon.core.events.models import Delivery, DeliveryState, Event
from panotti_daemon.core.events.runs import Interruption, interrupt
from panotti_daemon.core.events.subscriber import FAIR_CLAIM
from panotti_daemon.core.events.types import EventPriority, PluginError, PluginRests
from panotti_daemon.errors import DatabaseError, PermanentError, Unavailable
from panotti_daemon.models.database import Transaction
from tests.unit.core.events.scene import Gate, Recorder, Scene, eventually, holds, play, scene


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "panotti.db"


def test_an_event_is_stored_and_delivered_to_everybody_who_wants_it(path: Path) -> None:
    async def act(s: Scene) -> None:
        one, other, neither = Recorder(), Recorder(), Recorder()
        s.subscribe("one", one, "example.happened")
        s.subscribe("other", other, "example.*")
        s.subscribe("neither", neither, "another.*")
        (event,) = await s.publish("example.happened")
        await s.until("done", "done")
        assert one.seen == other.seen == await s.events()
        assert [(seen.id, seen.data) for seen in one.seen] == [(event.id, event.data)]
        assert neither.seen == []

    play(path, act)


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("*", ["a.done", "b.done", "b.started"]),
        ("*.done", ["a.done", "b.done"]),
        ("b.*", ["b.done", "b.started"]),
        ("b.done", ["b.done"]),
        ("c.*", []),
    ],
)
def test_wildcards_choose_among_names(path: Path, pattern: str, wanted: list[str]) -> None:
    async def act(s: Scene) -> None:
        recorder = Recorder()
        s.subscribe("plugin", recorder, pattern)
        await s.publish("a.done", "b.done", "b.started")
        await s.until(*["done"] * len(wanted))
        assert recorder.names == wanted

    play(path, act)


def test_the_next_delivery_is_the_most_urgent_and_among_these_the_oldest(path: Path) -> None:
    async def act(s: Scene) -> None:
        recorder = Recorder()
        s.bus.declare(Subscription("plugin", ("*",)))
        await s.publish("backlog.one", "backlog.two", priority=EventPriority.BACKLOG)
        await s.publish("normal.one", "normal.two")
        await s.publish("now.one", priority=EventPriority.NOW)
        s.bus.attach("plugin", recorder)
        await s.until(*["done"] * 5)
        assert recorder.names == ["now.one", "normal.one", "normal.two", "backlog.one", "backlog.two"]

    play(path, act)


def test_no_more_handlers_run_at_once_than_the_subscription_allows(path: Path) -> None:
    async def act(s: Scene) -> None:
        gate = Gate()
        s.subscribe("plugin", gate, concurrency=2)
        await s.publish("a.one", "a.two", "a.three")
        await s.until("running", "running", "queued")
        await asyncio.sleep(0)
        assert gate.inside == 2
        gate.open()
        await s.until("done", "done", "done")

    play(path, act)


def test_a_delivery_that_waits_for_its_retry_holds_back_its_correlation_and_no_other(path: Path) -> None:
    async def act(s: Scene) -> None:
        recorder = Recorder(ValueError("once"))
        s.subscribe("plugin", recorder, concurrency=5, retry_seconds=100)
        await s.publish("held.one", "held.two", correlation_id="held")
        await s.publish("other.one")
        await s.until("waiting", "queued", "done")
        s.clock.advance(200)
        s.bus.resume("plugin")
        await s.until("done", "done", "done")
        assert recorder.names == ["held.one", "other.one", "held.one", "held.two"]

    play(path, act)


def test_a_dead_delivery_releases_its_correlation(path: Path) -> None:
    async def act(s: Scene) -> None:
        recorder = Recorder(PermanentError("never"))
        s.subscribe("plugin", recorder, "held.*")
        await s.publish("held.one", "held.two", correlation_id="held")
        await s.until("dead", "done")

    play(path, act)


def test_one_subscriber_does_not_hold_back_another(path: Path) -> None:
    async def act(s: Scene) -> None:
        gate, recorder = Gate(), Recorder()
        s.subscribe("slow", gate)
        s.subscribe("fast", recorder)
        await s.publish("a.one", "a.two", correlation_id="same")
        await s.until("done", "done", subscriber="fast")
        assert await s.states("slow") == ["running", "queued"]

    play(path, act)


def test_follow_ons_are_stored_together_with_the_fact_that_their_cause_is_done(path: Path) -> None:
    async def act(s: Scene) -> None:
        class Witness:
            async def event_stored(self, transaction: Transaction, event: Event) -> None:
                if event.name == "answer.given":
                    rows = await persistence.in_state(transaction.connection, DeliveryState.DONE)
                    seen.append([row.event_id for row in rows])

            async def delivery_changed(self, transaction: Transaction, delivery: Delivery, event: Event) -> None: ...

        async def answer(event: Event) -> Iterable[Event]:
            return [event.child("answer.given", {}, source_plugin="plugin")]

        seen: list[list[str]] = []
        s.bus.project(Witness())
        s.subscribe("plugin", answer, "question.asked")
        (question,) = await s.publish("question.asked")
        await s.until("done")
        assert seen == [[question.id]]
        (answered,) = await s.events("answer.given")
        assert (answered.cause_id, answered.correlation_id) == (question.id, question.correlation_id)

    play(path, act)


def test_a_delivery_whose_follow_ons_cannot_be_stored_is_not_done(path: Path) -> None:
    async def act(s: Scene) -> None:
        refused = asyncio.Event()

        class Refusing:
            async def event_stored(self, transaction: Transaction, event: Event) -> None:
                if event.name == "answer.given" and not refused.is_set():
                    refused.set()
                    raise DatabaseError("the disk is full")

            async def delivery_changed(self, transaction: Transaction, delivery: Delivery, event: Event) -> None: ...

        async def answer(event: Event) -> Iterable[Event]:
            return [event.child("answer.given", {}, source_plugin="plugin")]

        s.bus.project(Refusing())
        s.subscribe("plugin", answer, "question.asked")
        await s.publish("question.asked")
        await refused.wait()
        assert await s.states() == ["running"]
        assert await s.events("answer.given") == []
        await s.bus.stop()
        assert await s.states() == ["done"]
        assert len(await s.events("answer.given")) == 1

    play(path, act, database_retry_seconds=60.0)


def test_events_can_be_stored_together_with_something_else_or_not_at_all(path: Path) -> None:
    async def act(s: Scene) -> None:
        recorder = Recorder()
        s.subscribe("plugin", recorder)

        async def fail() -> None:
            async with s.database.transaction() as transaction:
                await s.bus.publish(Event.create("never.happened", {}), transaction=transaction)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        async with s.database.transaction() as transaction:
            await s.bus.publish(Event.create("a.happened", {}), transaction=transaction)
        await s.until("done")
        assert recorder.names == ["a.happened"]

    play(path, act)


def test_a_handler_that_keeps_failing_is_retried_and_its_death_told_once(path: Path) -> None:
    async def act(s: Scene) -> None:
        recorder, notifier = Recorder(*[ValueError("no luck")] * 9), Recorder()
        s.subscribe("plugin", recorder, "recording.*", "*.error", max_attempts=3, retry_seconds=0)
        s.subscribe("notifier", notifier, "*.error")
        data = {"recording": {"id": "r1", "title": "Call", "path": "/in/call.wav"}}
        await s.bus.publish(Event.create("recording.heard", data))
        await s.until("done", subscriber="notifier")
        dead = await s.only("plugin")
        assert (dead.state, dead.attempts, dead.error) == ("dead", 3, "ValueError: no luck")
        (told,) = notifier.seen
        error = told.read(PluginError)
        assert (told.name, error.attempts, error.message) == ("plugin.error", 3, "ValueError: no luck")
        assert (error.recording_id, error.recording_title, error.path) == ("r1", "Call", "/in/call.wav")
        assert len(recorder.seen) == 3

    play(path, act)


def test_a_handler_that_succeeds_at_last_is_done_without_an_error(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("plugin", Recorder(ValueError("once"), ValueError("twice")), retry_seconds=0)
        await s.publish("a.happened")
        (done,) = await s.until("done")
        assert (done.attempts, done.error) == (3, None)
        assert len(await s.events()) == 1

    play(path, act)


def test_an_error_about_an_odd_recording_is_told_all_the_same(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("plugin", Recorder(PermanentError("no")), "a.happened")
        await s.bus.publish(Event.create("a.happened", {"recording": "not a mapping"}))
        await s.until("dead")
        (told,) = await s.events("plugin.error")
        assert told.data["recording_id"] is None

    play(path, act)


def test_a_plugin_is_not_told_of_its_own_error(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("plugin", Recorder(PermanentError("no")), "*")
        await s.publish("a.happened")
        await s.until("dead")
        assert len(await s.events("plugin.error")) == 1

    play(path, act)


def test_two_plugins_that_fail_at_errors_do_not_keep_each_other_failing(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("one", Recorder(*[PermanentError("no")] * 50), "*")
        s.subscribe("two", Recorder(*[PermanentError("no")] * 50), "*.error")
        await s.publish("a.happened")
        await s.until("dead", "dead")
        assert [event.name for event in await s.events()] == ["a.happened", "one.error", "two.error"]

    play(path, act)


def test_a_plugin_that_is_not_declared_gets_nothing_afterwards_either(path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.publish("a.happened")
        recorder = Recorder()
        s.subscribe("later", recorder)
        await s.publish("b.happened")
        await s.until("done")
        assert recorder.names == ["b.happened"]

    play(path, act)


def test_deliveries_of_a_plugin_that_could_not_be_loaded_wait_until_it_is(path: Path) -> None:
    async def missing(s: Scene) -> None:
        s.bus.declare(Subscription("plugin", ("*",)))
        await s.publish("a.happened")
        await s.until("queued")

    async def loaded(s: Scene) -> None:
        s.subscribe("plugin", Recorder())
        await s.until("done")

    play(path, missing)
    play(path, loaded)


def test_a_handler_that_gives_no_sign_of_life_is_ended_and_retried(path: Path) -> None:
    async def act(s: Scene) -> None:
        gate = Gate()
        s.subscribe("plugin", gate, max_attempts=2, retry_seconds=0, silence_seconds=0.01)
        await s.publish("a.happened")
        (dead,) = await s.until("dead")
        assert gate.cancelled == 2
        assert dead.error == "It gave no sign of life for 0 s, and was ended"

    play(path, act)


def test_a_silent_handler_that_ignores_its_end_frees_its_slot(path: Path) -> None:
    async def act(s: Scene) -> None:
        deaf = Gate(ignores_cancellation=True)
        s.subscribe("plugin", deaf, max_attempts=1, silence_seconds=0.01)
        await s.publish("a.happened", "b.happened")
        await s.until("dead", "dead")
        deaf.open()
        await holds(lambda: deaf.inside == 0)

    play(path, act, obey_seconds=0.01)


def test_a_time_out_of_the_handlers_own_is_no_silence(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("plugin", Recorder(TimeoutError("the server")), max_attempts=1)
        await s.publish("a.happened")
        (dead,) = await s.until("dead")
        assert dead.error == "TimeoutError: the server"

    play(path, act)


def test_a_heartbeat_keeps_a_long_handler_alive(path: Path) -> None:
    async def act(s: Scene) -> None:
        loop = asyncio.get_running_loop()
        silence = 0.2

        async def work(event: Event) -> None:
            end = loop.time() + 3 * silence
            while loop.time() < end:
                s.bus.heartbeat("plugin", event.id)
                await asyncio.sleep(silence / 10)

        s.subscribe("plugin", work, silence_seconds=silence)
        await s.publish("a.happened")
        (done,) = await s.until("done")
        assert done.attempts == 1

    play(path, act)


def test_the_heartbeat_of_one_plugin_does_not_speak_for_another(path: Path) -> None:
    async def act(s: Scene) -> None:
        async def work(event: Event) -> None:
            while not hung.cancelled:
                s.bus.heartbeat("busy", event.id)
                await asyncio.sleep(0.005)

        hung = Gate()
        s.subscribe("busy", work, silence_seconds=10)
        s.subscribe("hung", hung, max_attempts=1, silence_seconds=0.1)
        await s.publish("a.happened")
        await s.until("dead", subscriber="hung")

    play(path, act)


def test_a_paused_subscriber_begins_nothing_until_it_is_resumed(path: Path) -> None:
    async def act(s: Scene) -> None:
        paused, other = Recorder(), Recorder()
        s.subscribe("paused", paused)
        s.subscribe("other", other)
        s.bus.pause("paused")
        await s.publish("a.happened")
        await s.until("done", subscriber="other")
        assert await s.states("paused") == ["queued"]
        s.bus.resume("paused")
        await s.until("done", "done")

    play(path, act)


def test_nobody_is_called_silent_while_paused(path: Path) -> None:
    async def act(s: Scene) -> None:
        gate = Gate()
        s.subscribe("plugin", gate, silence_seconds=0.05)
        await s.publish("a.happened")
        await s.until("running")
        s.bus.pause("plugin")
        await asyncio.sleep(0.15)  # longer than the silence that would end it
        assert gate.cancelled == 0
        gate.open()
        await s.until("done")

    play(path, act)


def test_no_retry_begins_before_the_old_run_has_really_ended(path: Path) -> None:
    async def act(s: Scene) -> None:
        deaf = Gate(ignores_cancellation=True)
        s.subscribe("plugin", deaf, max_attempts=2, retry_seconds=0, silence_seconds=0.01)
        await s.publish("held.one", correlation_id="held")
        await s.publish("other.one")
        await holds(lambda: deaf.inside == 2)
        assert await s.states() == ["running", "running"]
        assert [event.name for event in deaf.begun] == ["held.one", "other.one"]
        deaf.open()
        await s.until("done", "done")
        assert [delivery.attempts for delivery in await s.deliveries()] == [1, 1]

    play(path, act, obey_seconds=0.01)


def test_a_handler_that_outlasts_its_end_is_in_the_way_of_neither_a_withdrawal_nor_a_stop(path: Path) -> None:
    async def main() -> None:
        async with scene(path, obey_seconds=0.01) as s:
            deaf = Gate(ignores_cancellation=True)
            s.subscribe("plugin", deaf, max_attempts=2, silence_seconds=0.01)
            try:
                await s.publish("a.happened", correlation_id="gone")
                await holds(lambda: deaf.cancelled == 1)
                assert await s.bus.withdraw("gone") == 1
                assert (await s.only()).error == "withdrawn"
                await s.publish("b.happened")
                await holds(lambda: deaf.cancelled == 2)
                await s.bus.stop(grace_seconds=0)
                assert await s.states() == ["done", "waiting"]
            finally:
                deaf.open()

    asyncio.run(main())


def test_a_plugin_that_keeps_failing_rests_and_is_then_tried_with_one_delivery(path: Path) -> None:
    async def act(s: Scene) -> None:
        told: list[Rest | None] = []
        s.bus.watch_rests(lambda name, rest: told.append(rest))
        recorder, notifier = Recorder(*[ValueError("no luck")] * 6), Recorder()
        s.bus.subscribe(recorder, "a.*", name="plugin", max_attempts=2, retry_seconds=0, concurrency=1)
        s.bus.subscribe(notifier, "daemon.*", name="notifier")
        await s.publish(*["a.happened"] * 5)
        await s.until("done", subscriber="notifier")
        assert await s.states("plugin") == ["dead", "dead", "waiting", "queued", "queued"]
        assert s.bus.rest_of("plugin") == told[0]
        (news,) = notifier.seen
        assert news.read(PluginRests).reason == "it failed 5 times in a row, at last with: ValueError: no luck"

        s.clock.advance(60)  # tried again, it fails a sixth time, and rests for longer
        s.bus.resume("plugin")
        await s.until("dead", "dead", "dead", "queued", "queued", subscriber="plugin")
        s.clock.advance(60)
        assert s.bus.rest_of("plugin")
        s.clock.advance(60)
        s.bus.resume("plugin")
        await s.until("dead", "dead", "dead", "done", "done", subscriber="plugin")
        assert s.bus.rest_of("plugin") is None
        assert [rest is not None for rest in told] == [True, False, True, False]
        assert len(notifier.seen) == 1

    play(path, act)


def test_what_a_plugin_cannot_help_does_not_make_it_rest(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("plugin", Recorder(*[PermanentError("no")] * 6, *[Unavailable("not yet")] * 6))
        await s.publish(*["a.happened"] * 12)
        await s.until(*["dead"] * 6, *["waiting"] * 6)
        assert s.bus.rest_of("plugin") is None

    play(path, act)


def test_a_handler_that_is_attached_anew_need_not_rest_for_what_the_old_one_did(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("plugin", Recorder(*[ValueError("no luck")] * 9), "a.*", max_attempts=1)
        await s.publish(*["a.happened"] * 6)
        await s.until(*["dead"] * 5, "queued")
        await s.bus.detach("plugin")
        s.bus.attach("plugin", Recorder())
        await s.until(*["dead"] * 5, "done")

    play(path, act)


def test_a_subscriber_can_be_taken_back(path: Path) -> None:
    async def act(s: Scene) -> None:
        recorder = Recorder()
        s.bus.subscribe(recorder, "a.*", "b.done", name="plugin")
        await s.publish("a.happened", "b.done", "b.started")
        await s.until("done", "done")
        await s.bus.unsubscribe("plugin")
        await s.publish("a.happened")
        assert await s.states() == ["done", "done"]
        assert recorder.names == ["a.happened", "b.done"]

    play(path, act)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(priorities=st.lists(st.sampled_from(EventPriority), min_size=1, max_size=40))
def test_each_tenth_claim_is_the_oldests_unless_something_is_wanted_now(
    tmp_path_factory: pytest.TempPathFactory, priorities: list[EventPriority]
) -> None:
    def expected() -> list[int]:
        waiting = dict(enumerate(priorities))
        order: list[int] = []
        while waiting:
            urgent = max(waiting, key=lambda number: (waiting[number], -number))
            is_fair = len(order) % FAIR_CLAIM == FAIR_CLAIM - 1
            chosen = min(waiting) if is_fair and waiting[urgent] is not EventPriority.NOW else urgent
            order.append(chosen)
            del waiting[chosen]
        return order

    async def act(s: Scene) -> None:
        recorder = Recorder()
        s.bus.declare(Subscription("plugin", ("*",)))
        await s.bus.publish(*(Event.create("a.happened", {"number": n}, priority=p) for n, p in enumerate(priorities)))
        s.bus.attach("plugin", recorder)
        await s.until(*["done"] * len(priorities))
        assert [event.data["number"] for event in recorder.seen] == expected()

    play(tmp_path_factory.mktemp("bus") / "panotti.db", act)


def test_where_it_is_known_who_ended_the_process_nobody_else_is_charged_for_it(path: Path) -> None:
    async def crashed(s: Scene) -> None:
        for name in ("culprit", "bystander"):
            s.bus.declare(Subscription(name, ("*",)))
        await s.publish("a.happened")
        async with s.database.transaction() as transaction:
            for name in ("culprit", "bystander"):
                await s.bus.claim(transaction, Subscription(name, ("*",)), oldest=False)

    async def again(s: Scene) -> None:
        await s.bus.start(["culprit"])
        assert [(d.subscriber, d.state.value, d.attempts) for d in await s.deliveries()] == [
            ("culprit", "queued", 1),
            ("bystander", "queued", 0),
        ]

    play(path, crashed)
    play(path, again, start=False)


def test_a_pause_can_let_through_what_is_urgent_and_never_the_oldest_in_its_stead(path: Path) -> None:
    async def act(s: Scene) -> None:
        recorder = Recorder()
        s.subscribe("plugin", recorder)
        s.bus.pause("plugin", but=EventPriority.NOW)
        await s.publish("old.one")
        await s.publish(*["urgent.one"] * (FAIR_CLAIM + 1), priority=EventPriority.NOW)
        await s.until("queued", *["done"] * (FAIR_CLAIM + 1))
        s.bus.resume("plugin")
        await s.until(*["done"] * (FAIR_CLAIM + 2))
        assert recorder.names[-1] == "old.one"

    play(path, act)


def test_a_handler_makes_way_only_for_what_can_be_claimed(path: Path) -> None:
    async def act(s: Scene) -> None:
        gate = Gate()
        s.subscribe("plugin", gate)
        await s.publish("a.happened", correlation_id="c")
        await s.until("running")
        s.bus.pause("plugin", but=EventPriority.NOW)
        await s.publish("b.happened", correlation_id="c", priority=EventPriority.NOW)
        await s.publish("c.happened", priority=EventPriority.NOW)
        await s.until("queued", "queued", "running")
        gate.open()
        await s.until("queued", "queued", "done")
        assert [event.name for event in gate.begun] == ["a.happened", "c.happened"]

    play(path, act)


def test_who_gives_way_goes_back_to_the_queue_for_what_is_wanted_now(path: Path) -> None:
    async def act(s: Scene) -> None:
        gate = Gate()
        s.subscribe("plugin", gate, gives_way=True)
        await s.publish("a.happened")
        await s.until("running")
        await s.publish("b.happened", priority=EventPriority.HIGH)
        await s.publish("c.happened", priority=EventPriority.NOW)
        await s.until("queued", "queued", "running")
        await s.publish("d.happened", priority=EventPriority.NOW)
        gate.open()
        await s.until("done", "done", "done", "done")
        assert [event.name for event in gate.begun] == [
            "a.happened",
            "c.happened",
            "d.happened",
            "b.happened",
            "a.happened",
        ]
        assert [delivery.attempts for delivery in await s.deliveries()] == [1, 1, 1, 1]

    play(path, act)


def test_who_does_not_give_way_finishes_first(path: Path) -> None:
    async def act(s: Scene) -> None:
        gate = Gate()
        s.subscribe("plugin", gate)
        await s.publish("a.happened")
        await s.until("running")
        await s.publish("b.happened", priority=EventPriority.NOW)
        assert await s.states() == ["running", "queued"]
        gate.open()
        await s.until("done", "done")
        assert [event.name for event in gate.begun] == ["a.happened", "b.happened"]

    play(path, act)


def test_an_attempt_whose_work_is_kept_costs_nothing_however_it_ends(path: Path) -> None:
    async def act(s: Scene) -> None:
        failures = 4

        async def work(event: Event) -> None:
            nonlocal failures
            if failures:
                failures -= 1
                await s.bus.spare_attempt("plugin", event.id)
                await s.bus.spare_attempt("plugin", event.id)  # of one attempt
                raise ValueError("the engine crashed")

        s.subscribe("plugin", work, max_attempts=2, retry_seconds=0)
        await s.publish("a.happened")
        await s.until("done")
        assert failures == 0

    play(path, act)


def test_an_attempt_whose_work_is_kept_is_not_counted_after_a_crash_either(path: Path) -> None:
    async def crashed(s: Scene) -> None:
        async def work(event: Event) -> None:
            await s.bus.spare_attempt("plugin", event.id)
            await asyncio.Event().wait()

        s.subscribe("plugin", work)
        await s.publish("a.happened")

        async def spared() -> bool:
            return [(d.state.value, d.attempts) for d in await s.deliveries()] == [("running", 0)]

        await eventually(spared)
        await s.bus.detach("plugin", grace_seconds=0)
        assert [(d.state.value, d.attempts) for d in await s.deliveries()] == [("queued", 0)]

    play(path, crashed)


@pytest.mark.parametrize("ends", ["unavailable", "stopped"])
def test_an_attempt_is_given_back_once(path: Path, ends: str) -> None:
    async def act(s: Scene) -> None:
        attempts = 0

        async def work(event: Event) -> None:
            nonlocal attempts
            attempts += 1
            if attempts == 1:
                raise ValueError("nothing was kept")
            await s.bus.spare_attempt("plugin", event.id)
            if ends == "unavailable":
                raise Unavailable("the drive is gone")
            await asyncio.Event().wait()

        async def spared() -> bool:
            return (await s.only()).attempts == 1 and attempts == 2

        s.subscribe("plugin", work, retry_seconds=0)
        await s.publish("a.happened")
        await eventually(spared)
        await s.bus.detach("plugin", grace_seconds=0)
        assert (await s.only()).attempts == 1

    play(path, act)


def test_a_handler_that_does_not_obey_brings_no_delivery_back_by_sparing_its_attempt(path: Path) -> None:
    async def act(s: Scene) -> None:
        gate = Gate(ignores_cancellation=True)
        s.subscribe("plugin", gate)
        (event,) = await s.publish("a.happened", correlation_id="one")
        await s.until("running")
        (run,) = s.bus._subscribers["plugin"].runs_of("one")
        async with s.database.transaction():
            withdrawing = asyncio.create_task(interrupt([run], Interruption.WITHDRAW))
            await holds(lambda: s.database._lock._waiters)  # its end is about to be stored
            sparing = asyncio.create_task(s.bus.spare_attempt("plugin", event.id))
            await asyncio.sleep(0)
        await asyncio.gather(withdrawing, sparing)
        gate.open()
        assert await s.states() == ["done"]

    play(path, act, obey_seconds=0)


def test_silence_counts_again_after_a_pause(path: Path) -> None:
    async def act(s: Scene) -> None:
        gate = Gate()
        s.subscribe("plugin", gate, max_attempts=1, silence_seconds=0.05)
        await s.publish("a.happened")
        await s.until("running")
        s.bus.pause("plugin")
        s.bus.resume("plugin")
        await s.until("dead")

    play(path, act)


@pytest.mark.parametrize("ignores_cancellation", [False, True])
def test_a_graceful_stop_puts_back_what_runs_and_refunds_its_attempt(path: Path, ignores_cancellation: bool) -> None:
    async def main() -> None:
        async with scene(path, obey_seconds=0.05) as s:
            gate = Gate(ignores_cancellation=ignores_cancellation)
            s.subscribe("plugin", gate)
            await s.publish("a.happened", "b.happened")
            await s.until("running", "queued")
            await s.bus.stop(grace_seconds=0)
            first, second = await s.deliveries()
            assert (first.state, first.attempts) == ("queued", 0)
            assert (second.state, second.attempts) == ("queued", 0)
            gate.open()

    asyncio.run(main())


def test_a_handler_that_raises_something_else_when_it_is_stopped_is_put_back_too(path: Path) -> None:
    async def act(s: Scene) -> None:
        begun = asyncio.Event()

        async def clean_up_badly(event: Event) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise PermanentError("the connection broke") from None

        s.subscribe("plugin", clean_up_badly)
        await s.publish("a.happened")
        await begun.wait()
        await s.bus.stop(grace_seconds=0)
        delivery = await s.only()
        assert (delivery.state, delivery.attempts) == ("queued", 0)

    play(path, act)


def test_what_ends_within_the_grace_time_is_done(path: Path) -> None:
    async def act(s: Scene) -> None:
        gate = Gate()
        s.subscribe("plugin", gate)
        await s.publish("a.happened")
        await s.until("running")
        stopping = asyncio.create_task(s.bus.stop(grace_seconds=10))
        gate.open()
        await stopping
        assert await s.states() == ["done"]

    play(path, act)


def test_a_stop_in_the_middle_of_claiming_loses_nothing(path: Path) -> None:
    async def act(s: Scene) -> None:
        gate = Gate()
        s.subscribe("plugin", gate)
        async with s.database.transaction() as transaction:  # whoever claims waits for us
            await s.bus.publish(*(Event.create("a.happened", {}) for _ in range(3)), transaction=transaction)
            s.bus.resume("plugin")
            await asyncio.sleep(0.01)
            stopping = asyncio.create_task(s.bus.stop(grace_seconds=0))
            await asyncio.sleep(0.01)
            assert not stopping.done()
        await stopping
        assert [(d.state.value, d.attempts) for d in await s.deliveries()] == [("queued", 0)] * 3
        assert gate.inside == 0

    play(path, act)


def test_a_bus_that_never_started_can_be_stopped(path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.bus.stop()

    play(path, act, start=False)


async def crash_while_running(path: Path, *, attempts: int) -> None:
    """Leaves a delivery as a process that was killed in its n-th attempt would."""
    async with scene(path) as s:
        s.bus.declare(Subscription("plugin", ("a.*",)))
        await s.publish("a.happened")
        async with s.database.transaction() as transaction:
            (delivery,) = await persistence.in_state(transaction.connection, DeliveryState.QUEUED)
            running = delivery.model_copy(update={"state": DeliveryState.RUNNING, "attempts": attempts})
            await persistence.update(transaction.connection, running, s.clock.now())


def test_what_a_crash_left_running_is_tried_again_with_its_attempt_counted(path: Path) -> None:
    asyncio.run(crash_while_running(path, attempts=1))

    async def act(s: Scene) -> None:
        recorder = Recorder()
        s.bus.declare(Subscription("plugin", ("a.*",)))
        await s.bus.start()
        queued = await s.only()
        assert (queued.state, queued.attempts) == ("queued", 1)
        s.bus.attach("plugin", recorder)
        (done,) = await s.until("done")
        assert done.attempts == 2

    play(path, act, start=False)


def test_what_has_crashed_too_often_is_dead_and_told(path: Path) -> None:
    asyncio.run(crash_while_running(path, attempts=3))

    async def act(s: Scene) -> None:
        s.bus.declare(Subscription("plugin", ("a.*",), max_attempts=3))
        await s.bus.start()
        dead = await s.only()
        assert dead.error == "Panotti itself ended 3 times while working on it"
        (told,) = await s.events("plugin.error")
        assert told.read(PluginError).attempts == 3

    play(path, act, start=False)


def test_a_plugin_that_is_gone_leaves_its_deliveries_waiting(path: Path) -> None:
    asyncio.run(crash_while_running(path, attempts=3))

    async def act(s: Scene) -> None:
        assert await s.states() == ["queued"]

    play(path, act)


def test_withdrawing_ends_what_is_queued_waiting_and_running(path: Path) -> None:
    async def act(s: Scene) -> None:
        gate = Gate()
        s.subscribe("running", gate)
        s.subscribe("waiting", Recorder(Unavailable("no drive")))
        s.bus.declare(Subscription("queued", ("*",)))
        await s.publish("a.happened", correlation_id="gone")
        await s.publish("b.happened", correlation_id="stays")
        await s.until("running", "queued", subscriber="running")
        await s.until("waiting", "done", subscriber="waiting")
        assert await s.bus.withdraw("gone") == 3
        assert gate.cancelled == 1
        gone = [d for d in await s.deliveries() if d.correlation_id == "gone"]
        assert [(d.state, d.error) for d in gone] == [("done", "withdrawn")] * 3
        await s.until("done", "running", subscriber="running")

    play(path, act)


def test_what_a_withdrawn_handler_still_answers_is_dropped(path: Path) -> None:
    async def act(s: Scene) -> None:
        begun = asyncio.Event()

        async def answer_anyway(event: Event) -> list[Event]:
            begun.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return [event.child("answer.given", {}, source_plugin="plugin")]

        s.subscribe("plugin", answer_anyway)
        await s.publish("a.happened", correlation_id="gone")
        await begun.wait()
        assert await s.bus.withdraw("gone") == 1
        assert [event.name for event in await s.events()] == ["a.happened"]

    play(path, act)


def test_a_delivery_that_is_just_being_claimed_is_withdrawn_too(path: Path) -> None:
    async def act(s: Scene) -> None:
        for number in range(20):
            gate = Gate()
            name = f"plugin_{number}"
            s.subscribe(name, gate, f"round_{number}.*")
            await s.publish(f"round_{number}.begun", correlation_id=name)
            for _ in range(number):
                await asyncio.sleep(0.0002)
            await s.bus.withdraw(name)
            assert await s.states(name) == ["done"]
            assert gate.inside == 0

    play(path, act)


def test_follow_ons_that_are_stored_during_a_withdrawal_are_withdrawn(path: Path) -> None:
    async def act(s: Scene) -> None:
        async def answer(event: Event) -> list[Event]:
            return [event.child("b.happened", {}, source_plugin="plugin")]

        gate = Gate()
        s.subscribe("plugin", answer, "a.*")
        s.subscribe("next", gate, "b.*")
        await s.publish("a.happened", correlation_id="gone")
        withdrawing = asyncio.create_task(s.bus.withdraw("gone"))
        await withdrawing
        assert set(await s.states()) == {"done"}
        assert gate.inside == 0

    play(path, act)


def test_dead_deliveries_can_be_retried_with_all_their_attempts(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("plugin", Recorder(PermanentError("no")), "a.*")
        await s.publish("a.happened", correlation_id="c")
        await s.until("dead")
        assert await s.bus.retry_dead("c") == 1
        (done,) = await s.until("done")
        assert (done.attempts, done.waits, done.error) == (1, 0, None)
        assert done.priority == EventPriority.HIGH
        assert await s.bus.retry_dead("c") == 0

    play(path, act)


def test_what_waits_can_be_tried_at_once(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("plugin", Recorder(Unavailable("no drive")))
        await s.publish("a.happened", correlation_id="c")
        (waiting,) = await s.until("waiting")
        assert (waiting.attempts, waiting.waits, waiting.error) == (0, 1, "no drive")
        assert await s.bus.wake_waiting("c") == 1
        await s.until("done")

    play(path, act)


def test_what_waits_in_a_correlation_can_be_put_before_everything_else(path: Path) -> None:
    async def act(s: Scene) -> None:
        recorder = Recorder()
        s.bus.declare(Subscription("plugin", ("*",)))
        await s.publish("high.one", priority=EventPriority.HIGH)
        await s.publish("backlog.one", priority=EventPriority.BACKLOG, correlation_id="c")
        assert await s.bus.hurry("c") == 1
        s.bus.attach("plugin", recorder)
        await s.until("done", "done")
        assert recorder.names == ["backlog.one", "high.one"]

    play(path, act)


def test_what_waits_goes_on_soon_after_the_computer_has_slept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(s: Scene) -> None:
        monkeypatch.setattr(subscriber, "CLOCK_SECONDS", 0.02)
        s.subscribe("plugin", Recorder(ValueError("once")), retry_seconds=600)
        await s.publish("a.happened")
        await s.until("waiting")
        s.clock.advance(8 * 3600)
        await s.until("done")
        assert (await s.only()).attempts == 2

    play(path, act)


def test_a_clock_that_is_set_back_does_not_put_a_retry_off_for_ever(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("plugin", Recorder(ValueError("once")))
        s.clock.advance(86_400)
        await s.publish("a.happened")
        await s.until("waiting")
        s.clock.advance(-86_400)
        s.bus.resume("plugin")
        await s.until("done")

    play(path, act)


class Broken(Exception):
    def __str__(self) -> str:
        raise AttributeError("it never got its message")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SystemExit(0), "It raised SystemExit, which a plugin must not do"),
        (KeyboardInterrupt(), "It raised KeyboardInterrupt, which a plugin must not do"),
        (asyncio.CancelledError(), "It cancelled itself"),
        (BaseException("odd"), "BaseException: odd"),
        (Broken(), "Broken"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_handler_raises_fails_its_delivery_and_nothing_else(
    path: Path, error: BaseException, reason: str
) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("plugin", Recorder(error), max_attempts=1)
        await s.publish("a.happened", "b.happened")
        first, _ = await s.until("dead", "done")
        assert first.error == reason

    play(path, act)


def twice(event: Event) -> object:
    return [event.child("b.happened", {}, source_plugin="plugin")] * 2


def itself(event: Event) -> object:
    return [event]


def not_json(event: Event) -> object:
    return [event.model_copy(update={"id": "new", "data": {"file": object()}})]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda _: 42, "handle() must return a list of events or None, not int"),
        (lambda _: "done", "handle() must return events, not str"),
        (lambda _: [None], "handle() must return events, not NoneType"),
        (lambda event: event, "handle() must return a list of events or None, not Event"),
        (twice, "What it returned cannot be stored: UNIQUE constraint failed: events.id"),
        (itself, "What it returned cannot be stored: UNIQUE constraint failed: events.id"),
        (not_json, "What it returned cannot be stored: TypeError: Object of type object is not JSON serializable"),
    ],
)
def test_a_handler_that_returns_rubbish_has_failed(path: Path, answer: object, reason: str) -> None:
    async def act(s: Scene) -> None:
        async def handle(event: Event) -> object:
            return answer(event) if event.name == "a.happened" else None  # type: ignore[operator]

        s.subscribe("plugin", handle, "a.happened", "c.happened", max_attempts=1)  # type: ignore[arg-type]
        await s.publish("a.happened", "c.happened")
        first, _ = await s.until("dead", "done")
        assert first.error == reason
        assert [event.name for event in await s.events()] == ["a.happened", "c.happened", "plugin.error"]

    play(path, act)


def test_a_projection_that_fails_does_not_end_the_deliveries(path: Path) -> None:
    async def act(s: Scene) -> None:
        class Broken:
            failures = 1

            async def event_stored(self, transaction: Transaction, event: Event) -> None: ...

            async def delivery_changed(self, transaction: Transaction, delivery: Delivery, event: Event) -> None:
                if self.failures:
                    self.failures -= 1
                    raise KeyError("broken")

        s.bus.project(Broken())
        s.subscribe("plugin", Recorder())
        await s.publish("a.happened")
        await s.until("done")

    play(path, act, database_retry_seconds=0.01)


async def set_page_limit(s: Scene, pages: int | None) -> None:
    async with s.database.reading() as connection:
        row = await (await connection.execute("PRAGMA page_count")).fetchone()
        assert row
        await connection.execute(f"PRAGMA max_page_count = {pages or row[0]}")


@pytest.mark.skipif(sys.platform == "win32", reason="the same everywhere")
def test_an_outcome_that_a_full_disk_refuses_is_stored_later(path: Path) -> None:
    async def act(s: Scene) -> None:
        async def answer(event: Event) -> list[Event]:
            return [event.child("b.happened", {"long": "x" * 100_000}, source_plugin="plugin")]

        s.subscribe("plugin", answer, "a.happened")
        await set_page_limit(s, None)
        await s.publish("a.happened")
        await s.until("running")
        assert len(await s.events()) == 1
        await set_page_limit(s, 1_000_000)
        await s.until("done")
        assert len(await s.events("b.happened")) == 1

    play(path, act, database_retry_seconds=0.02)


def test_a_bus_stops_although_an_outcome_cannot_be_stored(path: Path) -> None:
    async def refused(s: Scene) -> None:
        async def answer(event: Event) -> list[Event]:
            return [event.child("b.happened", {"long": "x" * 100_000}, source_plugin="plugin")]

        s.subscribe("plugin", answer, "a.happened")
        await set_page_limit(s, None)
        await s.publish("a.happened")
        await s.until("running")
        await s.bus.stop()
        assert await s.states() == ["running"]

    async def again(s: Scene) -> None:
        s.subscribe("plugin", Recorder())
        await s.until("done")

    play(path, refused)
    play(path, again)


def test_many_publishers_at_once_lose_nothing(path: Path) -> None:
    async def act(s: Scene) -> None:
        recorder = Recorder()
        s.subscribe("plugin", recorder, concurrency=10)
        events = [Event.create("a.happened", {"number": number}) for number in range(100)]
        await asyncio.gather(*(s.bus.publish(event) for event in events))

        async def all_done() -> bool:
            return await s.states() == ["done"] * 100

        await eventually(all_done)
        assert {event.id for event in recorder.seen} == {event.id for event in events}
        assert len(recorder.seen) == 100

    play(path, act)


def test_a_publisher_cancelled_at_any_moment_stores_and_delivers_or_does_neither(path: Path) -> None:
    async def act(s: Scene) -> None:
        recorder = Recorder()
        s.subscribe("plugin", recorder)
        for number in range(60):
            task = asyncio.create_task(s.publish("a.happened"))
            await asyncio.sleep(number * 0.0001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        async def all_done() -> bool:
            return set(await s.states()) <= {"done"} and len(await s.events()) == len(recorder.seen)

        await eventually(all_done)

    play(path, act)
