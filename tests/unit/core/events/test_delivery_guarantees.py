"""Whatever happens in whatever order: what the bus promises of every event, held against a model of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.handlers import Subscription
from panotti_daemon.core.events.models import Event
from panotti_daemon.core.events.types import EventPriority
from panotti_daemon.errors import Unavailable
from panotti_daemon.models.database import Database
from tests.unit.core.events.scene import NOW, Scene, StoppedClock, eventually

Publish = tuple[int, list[str], EventPriority]
"""Correlation, what becomes of each attempt at handling it, and how urgent it is."""

publishes = st.tuples(
    st.integers(0, 2),
    st.lists(st.sampled_from(["fail", "unavailable", "dawdle"]), max_size=3),
    st.sampled_from(EventPriority),
)
steps = st.lists(
    st.one_of(publishes, st.sampled_from(["crash", "restart", "pause", "resume", "wake"]), st.integers(0, 500)),
    max_size=24,
)


@dataclass
class Model:
    """What the handlers saw. A life lasts from one crash or restart to the next."""

    published: list[Event] = field(default_factory=list)
    successes: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    begun: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """By subscriber: event and correlation, in the order in which handlers were called."""
    crashed_lives: set[int] = field(default_factory=set)
    life: int = 0
    attempts: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    calm: bool = False

    def handler(self, name: str) -> Worker:
        return Worker(name, self)


@dataclass
class Worker:
    name: str
    model: Model

    async def __call__(self, event: Event) -> Iterable[Event]:
        model, key = self.model, (self.name, event.id)
        model.begun[self.name].append((event.id, event.correlation_id))
        plan: list[str] = event.data["plan"]
        attempt = model.attempts[key]
        model.attempts[key] += 1
        if not model.calm and attempt < len(plan):
            match plan[attempt]:
                case "fail":
                    raise ValueError("no luck")
                case "unavailable":
                    raise Unavailable("not yet")
                case "dawdle":
                    for _ in range(50):
                        await asyncio.sleep(0)
        model.successes[key].append(model.life)
        if self.name == "worker":
            return [event.child("answer.given", {"plan": []}, source_plugin="worker")]
        return []


async def begin(path: Path, model: Model) -> Scene:
    database = await Database.open(path, NOW)
    clock = StoppedClock()
    bus = EventBus(database, clock, Random(1))
    for name, pattern in (("worker", "question.*"), ("listener", "*")):
        bus.declare(Subscription(name, (pattern,), max_attempts=1000, concurrency=2, retry_seconds=0))
    await bus.start()
    for name in ("worker", "listener"):
        bus.attach(name, model.handler(name))
    return Scene(database, bus, clock)


async def crash(scene: Scene) -> None:
    """All its tasks stop where they are, as those of a killed process, and what was not committed is gone."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await scene.database.close()


async def wake(scene: Scene) -> None:
    scene.clock.advance(120)
    for name in ("worker", "listener"):
        scene.bus.resume(name)


async def live(path: Path, script: list[Publish | str | int]) -> tuple[Model, list[Event]]:
    model = Model()
    scene = await begin(path, model)
    for step in script:
        match step:
            case int():
                for _ in range(step):
                    await asyncio.sleep(0)
            case "crash":
                await crash(scene)
                model.crashed_lives.add(model.life)
                model.life += 1
                scene = await begin(path, model)
            case "restart":
                await scene.bus.stop(grace_seconds=0)
                await scene.database.close()
                model.life += 1
                scene = await begin(path, model)
            case "pause":
                scene.bus.pause("worker")
            case "resume" | "wake":
                await wake(scene)
            case (correlation, plan, priority):
                event = Event.create(
                    "question.asked", {"plan": plan}, correlation_id=f"c{correlation}", priority=priority
                )
                await scene.bus.publish(event)
                model.published.append(event)
    model.calm = True

    async def all_done() -> bool:
        await wake(scene)
        return set(await scene.states()) <= {"done"}

    await eventually(all_done)
    events = await scene.events()
    await scene.bus.stop()
    await scene.database.close()
    return model, events


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(script=steps)
def test_every_event_reaches_every_subscriber_in_order_and_its_follow_ons_come_once(
    script: list[Publish | str | int],
) -> None:
    with TemporaryDirectory() as folder:
        model, events = asyncio.run(live(Path(folder, "panotti.db"), script))

    answers = [event for event in events if event.name == "answer.given"]
    assert [event.id for event in events if event.name == "question.asked"] == [e.id for e in model.published]
    assert sorted(str(answer.cause_id) for answer in answers) == sorted(event.id for event in model.published)

    wanted = {("worker", e.id) for e in model.published} | {("listener", e.id) for e in events}
    assert set(model.successes) == wanted
    for lives in model.successes.values():
        assert all(life in model.crashed_lives for life in lives[:-1]), "handled twice without a crash between"

    position = {event.id: number for number, event in enumerate(events)}
    for begun in model.begun.values():
        for correlation in {correlation for _, correlation in begun}:
            order = [position[event_id] for event_id, of in begun if of == correlation]
            assert order == sorted(order), "overtaken within its correlation"
