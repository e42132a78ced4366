from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from panotti_daemon.core.events.handlers import Subscription
from panotti_daemon.core.events.types import EventPriority
from panotti_daemon.engine.messages import Pace
from panotti_daemon.pausing.control import LOOK_SECONDS, Pausing
from panotti_daemon.pausing.state import Readings, Reason
from panotti_daemon.settings import PoliteSettings
from tests.unit.core.events.scene import Gate, Recorder, Scene, eventually, holds, scene

DRAINED = Readings(battery_percent=20)


class Engine:
    def __init__(self) -> None:
        self.paces: list[Pace] = []

    def keep_pace(self, pace: Pace) -> None:
        self.paces.append(pace)


class Machine:
    def __init__(self) -> None:
        self.tells = True
        self.readings = Readings()

    def read(self) -> Readings:
        return self.readings


class Desk:
    """A pausing on a real bus, that holds up the plugin `transcriber`."""

    def __init__(self, scene: Scene, look_seconds: float, settings: dict[str, object]) -> None:
        self.bus, self.clock = scene.bus, scene.clock
        self.scene = scene
        self.engine, self.machine = Engine(), Machine()
        self.changes = 0
        self.pausing = Pausing(
            scene.database,
            scene.bus,
            self.engine,
            self.machine,
            PoliteSettings.model_validate(settings),
            scene.clock,
            transcribers=lambda: ["transcriber", "not declared"],
            changed=self._changed,
            look_seconds=look_seconds,
        )
        scene.bus.project(self.pausing)

    def _changed(self) -> None:
        self.changes += 1

    @property
    def reason(self) -> Reason | None:
        cause = self.pausing.verdict.cause
        return cause.reason if cause else None

    async def read(self, readings: Readings) -> None:
        self.machine.readings = readings
        await self.pausing.look()

    async def drop(self, name: str, priority: EventPriority = EventPriority.NORMAL) -> None:
        await self.scene.publish(f"{name}.ready", correlation_id=name, priority=priority)


Act = Callable[[Desk], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Each play is a start of the daemon on the same database."""

    def run(act: Act, *, look_seconds: float = LOOK_SECONDS, advance: float = 0, **settings: Any) -> None:
        async def main() -> None:
            async with scene(tmp_path / "panotti.db") as opened:
                opened.clock.advance(advance)
                desk = Desk(opened, look_seconds, settings)
                await desk.pausing.start()
                try:
                    await act(desk)
                finally:
                    await desk.pausing.stop()

        asyncio.run(main())

    return run


def test_what_need_not_be_done_now_waits_until_it_may_go_on(play: Callable[..., None]) -> None:
    async def act(desk: Desk) -> None:
        await desk.read(DRAINED)
        recorder = Recorder()
        desk.scene.subscribe("transcriber", recorder)
        desk.pausing.declared("transcriber")
        await desk.drop("memo")
        await desk.drop("call", EventPriority.NOW)
        await desk.scene.until("queued", "done")
        assert recorder.names == ["call.ready"]
        await desk.read(Readings())
        await desk.scene.until("done", "done")

    play(act)


def test_the_engine_is_held_but_for_what_is_urgent(play: Callable[..., None]) -> None:
    async def act(desk: Desk) -> None:
        gate = Gate()
        desk.scene.subscribe("transcriber", gate)
        await desk.read(DRAINED)
        assert desk.engine.paces == [Pace.HELD]
        await desk.drop("call", EventPriority.NOW)
        await holds(lambda: gate.begun)
        assert desk.pausing.pace is Pace.FULL
        gate.open()
        await desk.scene.until("done")
        await holds(lambda: desk.pausing.pace is Pace.HELD)
        assert desk.engine.paces == [Pace.HELD, Pace.FULL, Pace.HELD]

    play(act)


def test_what_runs_is_held_and_goes_back_to_the_queue_for_what_is_urgent(play: Callable[..., None]) -> None:
    async def act(desk: Desk) -> None:
        gate = Gate()
        desk.scene.subscribe("transcriber", gate)
        await desk.drop("memo")
        await holds(lambda: gate.begun)
        await desk.read(DRAINED)
        assert (await desk.scene.states(), desk.engine.paces) == (["running"], [Pace.HELD])
        await desk.drop("call", EventPriority.NOW)
        await desk.scene.until("queued", "running")
        memo, _ = await desk.scene.deliveries()
        assert (memo.attempts, gate.cancelled) == (0, 1)
        assert desk.pausing.pace is Pace.FULL
        gate.open()
        await desk.scene.until("queued", "done")
        await desk.read(Readings())
        await desk.scene.until("done", "done")
        assert [event.name for event in gate.begun] == ["memo.ready", "call.ready", "memo.ready"]

    play(act)


def test_what_runs_and_is_wanted_now_goes_on(play: Callable[..., None]) -> None:
    async def act(desk: Desk) -> None:
        gate = Gate()
        desk.scene.subscribe("transcriber", gate)
        await desk.drop("memo")
        await desk.drop("other", EventPriority.HIGH)
        await holds(lambda: gate.begun)
        await desk.read(DRAINED)
        assert await desk.bus.hurry("memo") == 1
        await holds(lambda: desk.pausing.pace is Pace.FULL)
        assert await desk.bus.hurry("other") == 1
        gate.open()
        await desk.scene.until("done", "done")
        assert gate.cancelled == 0

    play(act)


def test_what_waits_is_begun_when_it_is_wanted_now(play: Callable[..., None]) -> None:
    async def act(desk: Desk) -> None:
        recorder = Recorder()
        desk.scene.subscribe("transcriber", recorder)
        await desk.read(DRAINED)
        await desk.drop("memo")
        await desk.drop("call")
        await desk.bus.hurry("call")
        await desk.scene.until("queued", "done")
        assert recorder.names == ["call.ready"]

    play(act)


def test_a_pause_holds_what_is_urgent_too(play: Callable[..., None]) -> None:
    async def act(desk: Desk) -> None:
        gate = Gate()
        desk.scene.subscribe("transcriber", gate)
        await desk.drop("call", EventPriority.NOW)
        await holds(lambda: gate.begun)
        await desk.pausing.pause(None)
        await desk.drop("memo", EventPriority.NOW)
        assert (desk.reason, desk.pausing.pace) == (Reason.ASKED, Pace.HELD)
        assert await desk.scene.states() == ["running", "queued"]
        await desk.pausing.resume()
        gate.open()
        await desk.scene.until("done", "done")

    play(act)


def test_a_held_handler_may_be_silent_and_an_urgent_one_may_not(play: Callable[..., None]) -> None:
    async def act(desk: Desk) -> None:
        gate = Gate()
        desk.scene.subscribe("transcriber", gate, silence_seconds=0.1, max_attempts=1)
        await desk.drop("memo")
        await holds(lambda: gate.begun)
        await desk.read(DRAINED)
        await asyncio.sleep(0.3)
        assert await desk.scene.states() == ["running"]
        await desk.drop("call", EventPriority.NOW)

        async def call_died() -> bool:
            return (await desk.scene.states("transcriber"))[:2] == ["queued", "dead"]

        await eventually(call_died)

    play(act)


def test_a_slow_pace_goes_on_with_all_and_with_what_is_urgent_at_full_pace(play: Callable[..., None]) -> None:
    async def act(desk: Desk) -> None:
        gate = Gate()
        desk.scene.subscribe("transcriber", gate)
        await desk.read(DRAINED)
        assert desk.pausing.pace is Pace.SLOW
        await desk.drop("memo")
        await holds(lambda: gate.begun)
        assert desk.pausing.pace is Pace.SLOW
        await desk.bus.hurry("memo")
        await holds(lambda: desk.pausing.pace is Pace.FULL)
        gate.open()
        await holds(lambda: desk.pausing.pace is Pace.SLOW)

    play(act, on_battery="slow_down")


def test_other_plugins_are_not_held_up(play: Callable[..., None]) -> None:
    async def act(desk: Desk) -> None:
        desk.bus.declare(Subscription("transcriber", ("*",)))
        desk.scene.subscribe("other", Recorder())
        await desk.pausing.pause(None)
        await desk.drop("memo", EventPriority.NOW)
        await desk.scene.until("done", subscriber="other")
        assert desk.pausing.pace is Pace.HELD

    play(act)


def test_resuming_goes_on_in_spite_of_the_battery(play: Callable[..., None]) -> None:
    async def act(desk: Desk) -> None:
        desk.scene.subscribe("transcriber", Recorder())
        await desk.read(DRAINED)
        await desk.drop("memo")
        await desk.pausing.resume()
        await desk.scene.until("done")
        assert desk.engine.paces == [Pace.HELD, Pace.FULL]

    play(act)


def test_a_pause_survives_the_daemon_and_ends_when_it_is_over(play: Callable[..., None]) -> None:
    async def pause(desk: Desk) -> None:
        await desk.pausing.pause(desk.clock.now() + timedelta(hours=1))

    async def still(desk: Desk) -> None:
        assert desk.reason is Reason.ASKED

    async def over(desk: Desk) -> None:
        assert desk.reason is None

    play(pause)
    play(still, advance=3599)
    play(over, advance=3600)


def test_a_pause_that_is_over_does_not_come_back_with_a_clock_that_is_set_back(play: Callable[..., None]) -> None:
    async def act(desk: Desk) -> None:
        await desk.pausing.pause(desk.clock.now() + timedelta(hours=1))
        desk.clock.advance(3600)
        await holds(lambda: desk.reason is None)

    async def later(desk: Desk) -> None:
        assert desk.reason is None

    play(act, look_seconds=0.01)
    play(later)


def test_the_end_of_a_pause_and_of_the_hours_is_seen_after_a_sleep(play: Callable[..., None]) -> None:
    async def act(desk: Desk) -> None:
        desk.scene.subscribe("transcriber", Recorder())
        desk.machine.tells = False
        begin = desk.pausing.verdict.cause
        assert begin
        assert begin.reason is Reason.HOURS
        assert begin.until
        await desk.drop("memo")
        desk.clock.advance((begin.until - desk.clock.now()).total_seconds() + 60)
        await desk.scene.until("done")
        desk.clock.advance(3600)
        await holds(lambda: desk.reason is Reason.HOURS)

    play(act, look_seconds=0.01, hours="23:58-23:59")


def test_a_charge_that_sinks_is_news_but_wakes_nobody(play: Callable[..., None]) -> None:
    async def act(desk: Desk) -> None:
        desk.bus.declare(Subscription("transcriber", ("*",)))
        await desk.read(DRAINED)
        changes = desk.changes
        await desk.read(Readings(battery_percent=19))
        assert desk.changes > changes
        assert desk.engine.paces == [Pace.HELD]
        changes = desk.changes
        await desk.read(Readings(battery_percent=19))
        assert desk.changes == changes

    play(act)
