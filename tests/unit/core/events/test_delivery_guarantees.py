"""Whatever happens in whatever order: what the bus promises of every event, held against a model of it."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.handlers import Subscription
from panotti_daemon.core.events.journal import Selection
from panotti_daemon.core.events.models import Event
from panotti_daemon.core.events.replay import Replay
from panotti_daemon.core.events.types import RESTS, EventPriority
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
    st.one_of(
        publishes,
        st.sampled_from(["crash", "restart", "pause", "resume", "wake", "detach", "attach", "replay"]),
        st.integers(0, 500),
    ),
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
    replays: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    begun_before_replays: dict[str, list[tuple[str, str]]] | None = None
    """A replay begins anew, out of the order."""
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
        plan: list[str] = event.data.get("plan", [])
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
        if event.name == "question.asked" and self.name == "worker":
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


async def replay(scene: Scene, model: Model) -> None:
    if model.begun_before_replays is None:
        model.begun_before_replays = {name: list(begun) for name, begun in model.begun.items()}
    for step in await Replay(scene.database, scene.bus, scene.clock).run(Selection(name="question.*")):
        for name in step.subscribers:
            model.replays[name, step.event.id] += 1


async def wake(scene: Scene) -> None:
    scene.clock.advance(120)
    for name in ("worker", "listener"):
        scene.bus.resume(name)


async def live(path: Path, script: list[Publish | str | int]) -> tuple[Model, list[Event]]:
    model = Model()
    scene, is_attached = await begin(path, model), True
    for step in script:
        match step:
            case int():
                for _ in range(step):
                    await asyncio.sleep(0)
            case "crash":
                await crash(scene)
                model.crashed_lives.add(model.life)
                model.life += 1
                scene, is_attached = await begin(path, model), True
            case "restart":
                await scene.bus.stop(grace_seconds=0)
                await scene.database.close()
                model.life += 1
                scene, is_attached = await begin(path, model), True
            case "detach" if is_attached:
                await scene.bus.detach("worker", grace_seconds=0)
                is_attached = False
            case "attach" if not is_attached:
                scene.bus.attach("worker", model.handler("worker"))
                is_attached = True
            case "replay":
                await replay(scene, model)
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
    if not is_attached:
        scene.bus.attach("worker", model.handler("worker"))

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
    wished = {event.id: 1 + model.replays["worker", event.id] for event in model.published}
    assert Counter(str(answer.cause_id) for answer in answers) == wished

    rests = {event.id for event in events if event.name == RESTS and event.source_plugin == "listener"}
    wanted = {("worker", e.id) for e in model.published} | {("listener", e.id) for e in events if e.id not in rests}
    assert set(model.successes) == wanted
    for key, lives in model.successes.items():
        times = sum(life not in model.crashed_lives for life in lives)
        assert times <= 1 + model.replays[key] <= len(lives), "handled twice without a crash or a replay between"

    position = {event.id: number for number, event in enumerate(events)}
    begun_in_order = model.begun if model.begun_before_replays is None else model.begun_before_replays
    for begun in begun_in_order.values():
        for correlation in {correlation for _, correlation in begun}:
            order = [position[event_id] for event_id, of in begun if of == correlation]
            assert order == sorted(order), "overtaken within its correlation"
