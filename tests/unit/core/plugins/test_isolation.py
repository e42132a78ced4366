"""The borders around a plugin's code: what it sends, what it blocks, what it does to its neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from panotti_daemon.core.plugins.manager import PluginManager
from panotti_daemon.core.plugins.manifest import read_manifest
from tests.unit.core.events.scene import Scene
from tests.unit.core.plugins.managed import managed, plugin


def play(tmp_path: Path, act: Callable[[PluginManager, Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        async with managed(tmp_path) as (manager, s):
            await act(manager, s)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("return [Event.create('other.done', {})]", "one may not emit other.done"),
        ("await self.publish(Event.create('other.done', {}))", "one may not emit other.done"),
        ("await self.announce('other.done', {})", "one may not emit other.done"),
        ("return [event]", "one may not emit a.happened"),
        (
            "return [self.create_child_event(event, 'one.done', {'x': 'x' * 300_000})]",
            "292 KB of data; 256 are allowed",
        ),
        ("return (event for _ in iter(int, 1))", "handle() may return 1000 events, not more"),
        ("return [Event.create('one.error', {})]", "ValidationError: 6 validation errors for PluginError"),
    ],
)
def test_what_a_plugin_may_not_send_fails_its_delivery_and_is_not_stored(
    tmp_path: Path, seen: list[str], line: str, reason: str
) -> None:
    async def act(manager: PluginManager, s: Scene) -> None:
        heard: list[str] = []

        async def hear(message: object) -> None:
            heard.append(getattr(message, "name", ""))

        s.bus.listen(hear)
        await s.publish("a.happened")
        (dead,) = await s.until("dead", subscriber="one")
        assert reason in str(dead.error)
        assert [event.name for event in await s.events()] == ["a.happened", "one.error"]
        assert "other.done" not in heard

    plugin(
        tmp_path / "plugins",
        "one",
        f"async def handle(self, event):\n    {line}",
        subscribes=["a.*"],
        max_attempts=1,
    )
    play(tmp_path, act)


def test_what_a_plugin_sends_is_known_to_be_its_own(tmp_path: Path, seen: list[str]) -> None:
    async def act(manager: PluginManager, s: Scene) -> None:
        await s.publish("a.happened")
        await s.until("done")
        sent = [event for event in await s.events() if event.name != "a.happened"]
        assert {(event.name, event.source_plugin) for event in sent} == {("one.told", "one"), ("area.changed", "one")}

    body = """
        async def handle(self, event):
            await self.publish(Event.create("one.told", {}))
            return [Event.create("area.changed", {})]
    """
    plugin(tmp_path / "plugins", "one", body, subscribes=["a.*"], emits=["area.*"])
    play(tmp_path, act)


def test_a_plugin_can_run_what_blocks_without_holding_anybody_up(tmp_path: Path, seen: list[str]) -> None:
    async def act(manager: PluginManager, s: Scene) -> None:
        await s.publish("a.happened")
        await s.until("done", subscriber="two")
        assert await s.states("one") == ["running"]
        assert await manager.act("one", "open", {}) == "opened"
        await s.until("done", subscriber="one")

    body = """
        import threading
        gate = threading.Event()
        async def handle(self, event):
            assert await self.run_blocking(self.gate.wait, timeout=60)
        async def act(self, action, arguments):
            self.gate.set()
            return "opened"
    """
    plugin(tmp_path / "plugins", "one", body, subscribes=["a.*"])
    plugin(tmp_path / "plugins", "two", subscribes=["a.*"])
    play(tmp_path, act)


def test_a_manifest_says_how_its_plugin_is_retried(tmp_path: Path) -> None:
    policy: dict[str, Any] = {"retry_seconds": 1, "retry_factor": 3, "retry_longest_seconds": 20, "retry_jitter": 0}
    subscription = read_manifest(plugin(tmp_path, "one", **policy)).subscription()
    assert [subscription.retry_pause(attempts, Random(1)) for attempts in (1, 2, 3, 4)] == [1, 3, 9, 20]
