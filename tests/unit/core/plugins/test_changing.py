"""Plugins switched on and off, configured and reloaded while events come."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from panotti_daemon.core.plugins.manager import PluginManager
from panotti_daemon.core.plugins.wishes import Wishes
from panotti_daemon.errors import PanottiError, PermanentError, PluginFailed
from panotti_daemon.settings import PluginSettings
from tests.unit.core.events.scene import Scene, eventually, holds
from tests.unit.core.plugins.managed import RUNNING, managed, plugin

Act = Callable[[PluginManager, Scene], Awaitable[None]]

DAYS = """
    class Config(BaseModel):
        days: int = Field(1, ge=1)
    async def initialize(self): note(f"days {self.config.days}")
"""
SLOW = """
    word = {word!r}
    async def handle(self, event):
        note(self.word + " begins " + event.name)
        while "go" not in sys.panotti_seen: await asyncio.sleep(0.001)
        note(self.word + " ends " + event.name)
"""


def play(tmp_path: Path, act: Act, **options: Any) -> None:
    async def main() -> None:
        async with managed(tmp_path, **options) as (manager, s):
            await act(manager, s)

    asyncio.run(main())


def state(manager: PluginManager, name: str) -> tuple[str, str | None]:
    return manager.records[name].state.value, manager.records[name].reason


def test_what_waits_for_a_plugin_that_is_switched_off_is_delivered_once_it_is_on_again(
    tmp_path: Path, seen: list[str]
) -> None:
    plugin(
        tmp_path / "plugins", "one", "async def handle(self, event): raise Unavailable('no drive')", subscribes=["*"]
    )

    async def act(manager: PluginManager, s: Scene) -> None:
        await s.publish("a.kept")
        await s.until("waiting")
        await manager.disable("one")
        assert state(manager, "one") == ("disabled", None)
        await s.publish("a.missed")
        assert await s.states() == ["waiting"]
        plugin(tmp_path / "plugins", "one", subscribes=["*"])
        await manager.enable("one")
        s.clock.advance(3600)
        s.bus.resume("one")
        await s.until("done")
        await s.publish("a.new")
        await s.until("done", "done")
        assert seen == ["one initialize", "one shutdown", "one initialize", "one a.kept", "one a.new"]

    play(tmp_path, act)


def test_a_wish_outlives_the_manager(tmp_path: Path) -> None:
    plugin(tmp_path / "plugins", "one")
    wishes = Wishes()

    async def switch_off(manager: PluginManager, s: Scene) -> None:
        await manager.disable("one")

    async def look(manager: PluginManager, s: Scene) -> None:
        assert state(manager, "one") == ("disabled", None)

    play(tmp_path, switch_off, wishes=wishes)
    play(tmp_path, look, wishes=wishes)


def test_a_plugin_that_others_need_is_not_switched_off_unless_they_may_stop_too(
    tmp_path: Path, seen: list[str]
) -> None:
    plugin(tmp_path / "plugins", "base")
    plugin(tmp_path / "plugins", "middle", dependencies={"base": ">=1"})
    plugin(tmp_path / "plugins", "top", dependencies={"middle": ">=1"}, subscribes=["*"])

    async def act(manager: PluginManager, s: Scene) -> None:
        with pytest.raises(PluginFailed, match="top and middle would stop with it"):
            await manager.disable("base")
        assert all(state(manager, name) == RUNNING for name in ("base", "middle", "top"))
        await manager.disable("base", cascade=True)
        assert [note for note in seen if "shutdown" in note] == ["top shutdown", "middle shutdown", "base shutdown"]
        assert state(manager, "middle") == ("failed", "cannot start: middle -> base, which is disabled")
        await s.publish("a.kept")
        await manager.enable("base")
        assert all(state(manager, name) == RUNNING for name in ("base", "middle", "top"))
        await s.until("done")

    play(tmp_path, act)


def test_one_that_was_switched_off_itself_does_not_start_with_what_it_needs(tmp_path: Path) -> None:
    plugin(tmp_path / "plugins", "base")
    plugin(tmp_path / "plugins", "top", dependencies={"base": ">=1"})

    async def act(manager: PluginManager, s: Scene) -> None:
        await manager.disable("base", cascade=True)
        await manager.disable("top")
        await manager.enable("base")
        assert state(manager, "top") == ("disabled", None)

    play(tmp_path, act)


def test_a_new_version_takes_over_once_the_old_one_has_finished_what_it_runs(tmp_path: Path, seen: list[str]) -> None:
    plugin(tmp_path / "plugins", "one", SLOW.format(word="old"), subscribes=["a.*"])
    plugin(tmp_path / "plugins", "two", "async def initialize(self): pass\nasync def shutdown(self): pass")

    async def act(manager: PluginManager, s: Scene) -> None:
        await s.publish("a.first", "a.second")
        await holds(lambda: "one old begins a.first" in seen)
        plugin(tmp_path / "plugins", "one", SLOW.format(word="new"), subscribes=["a.*", "b.*"], version="2.0")
        reloading = asyncio.create_task(manager.reload("one"))
        await s.publish("a.third")
        await holds(lambda: manager.records["one"].is_changing)
        with pytest.raises(PluginFailed, match="one is about to be replaced"):
            await manager.disable("one")
        await manager.disable("two")
        seen.append("go")
        await reloading
        await s.publish("b.fourth")
        await s.until("done", "done", "done", "done")
        assert state(manager, "one") == ("running", "reloaded, version 2.0")

    play(tmp_path, act)
    assert [note for note in seen if note != "go"] == [
        "one initialize",
        "one old begins a.first",
        "one old ends a.first",
        "one initialize",
        "one shutdown",
        *(f"one new {what} {name}" for name in ("a.second", "a.third", "b.fourth") for what in ("begins", "ends")),
        "one shutdown",
    ]


def test_a_reload_that_is_given_up_leaves_the_old_one_at_work(tmp_path: Path, seen: list[str]) -> None:
    plugin(tmp_path / "plugins", "one", SLOW.format(word="old"), subscribes=["*"])

    async def act(manager: PluginManager, s: Scene) -> None:
        await s.publish("a.first")
        await holds(lambda: "one old begins a.first" in seen)
        plugin(tmp_path / "plugins", "one", SLOW.format(word="new"), subscribes=["*"])
        reloading = asyncio.create_task(manager.reload("one"))
        await holds(lambda: manager.records["one"].is_changing)
        reloading.cancel()
        await asyncio.wait([reloading])
        assert reloading.cancelled()
        seen.append("go")
        await s.publish("a.second")
        await s.until("done", "done")
        assert "one old ends a.second" in seen
        assert state(manager, "one") == RUNNING

    play(tmp_path, act)


def test_state_is_kept_over_a_reload(tmp_path: Path, seen: list[str]) -> None:
    body = """
        async def handle(self, event):
            count = await self.get_state("count", 0) + 1
            await self.update_state("count", count)
            note(f"count {count}")
    """
    plugin(tmp_path / "plugins", "one", body, subscribes=["*"])

    async def act(manager: PluginManager, s: Scene) -> None:
        await s.publish("a.b")
        await s.until("done")
        await manager.reload("one")
        await s.publish("a.b")
        await s.until("done", "done")

    play(tmp_path, act)
    assert [note for note in seen if "count" in note] == ["one count 1", "one count 2"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": "one"}, "plugin.yaml: version: must be a version such as 1.0.0 (it is 'one')"),
        ({"api_version": 99}, "plugin.yaml: api_version: this Panotti offers 1, the plugin wants 99"),
        ({"before": "this is no python"}, "plugin.py:3: SyntaxError: invalid syntax"),
        ({"before": "1 / 0"}, "plugin.py:3: ZeroDivisionError: division by zero"),
        ({"body": "async def initialize(self): self.no_such_thing"}, "plugin.py:9: AttributeError: "),
        ({"body": "async def initialize(self): sys.exit()"}, "plugin.py:9: It raised SystemExit"),
        ({"body": "async def initialize(self): await asyncio.sleep(60)"}, "initialize() took longer than 0.1 s"),
        ({"config": {"unknown": 1}}, "settings: plugins.one.config.unknown: there is no such key"),
        ({"dependencies": {"two": ">=1"}}, "one -> two >=1, which is not there"),
        ({"dependencies": {"one": ">=1"}}, "one -> one, which is a circle"),
        ({"version": "2.0"}, "needy needs one <2, and this is 2.0"),
    ],
)
def test_a_version_that_cannot_take_over_leaves_the_old_one_running(
    tmp_path: Path, seen: list[str], change: dict[str, Any], reason: str
) -> None:
    folder = plugin(tmp_path / "plugins", "one", subscribes=["*"])
    plugin(tmp_path / "plugins", "needy", dependencies={"one": "<2"})

    async def act(manager: PluginManager, s: Scene) -> None:
        plugin(tmp_path / "plugins", "one", **{"subscribes": ["*"], **change})
        with pytest.raises(PluginFailed) as caught:
            await manager.reload("one")
        assert caught.value.message.removeprefix(f"{folder}/").startswith(reason)
        record = manager.records["one"]
        assert (record.state.value, record.setback) == ("running", caught.value.message)
        assert str(record.problem).startswith("The plugin one goes on as it was: ")
        await s.publish("a.happened")
        await s.until("done")
        assert "one a.happened" in seen
        plugin(tmp_path / "plugins", "one", subscribes=["*"])
        await manager.reload("one")
        assert record.problem is None

    play(tmp_path, act, initialize_seconds=0.1)


def test_a_plugin_that_failed_is_reloaded_into_life_with_those_that_need_it(tmp_path: Path) -> None:
    plugin(tmp_path / "plugins", "one", before="this is no python", subscribes=["*"])
    plugin(tmp_path / "plugins", "needy", dependencies={"one": ">=1"})

    async def act(manager: PluginManager, s: Scene) -> None:
        await s.publish("a.kept")
        with pytest.raises(PluginFailed, match="SyntaxError"):
            await manager.reload("one")
        plugin(tmp_path / "plugins", "one", subscribes=["*"])
        await manager.reload("one")
        await s.until("done")
        assert state(manager, "needy") == RUNNING

    play(tmp_path, act)


def test_a_plugin_that_was_put_there_since_is_found_and_one_that_is_gone_ends(tmp_path: Path) -> None:
    plugin(tmp_path / "plugins", "one")

    async def act(manager: PluginManager, s: Scene) -> None:
        with pytest.raises(PermanentError, match="There is no plugin two"):
            await manager.reload("two")
        folder = plugin(tmp_path / "plugins", "two", subscribes=["*"])
        await manager.reload("two")
        assert state(manager, "two") == RUNNING
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        with pytest.raises(PermanentError, match="is gone"):
            await manager.reload("two")
        assert list(manager.records) == ["one"]
        await s.publish("a.happened")
        assert await s.states() == []

    play(tmp_path, act)


def test_a_plugin_that_is_switched_off_is_not_reloaded(tmp_path: Path) -> None:
    plugin(tmp_path / "plugins", "one", enabled=False)

    async def act(manager: PluginManager, s: Scene) -> None:
        with pytest.raises(PluginFailed, match="panotti plugins enable one"):
            await manager.reload("one")

    play(tmp_path, act)


def test_a_plugin_is_configured_above_its_users_settings(tmp_path: Path, seen: list[str]) -> None:
    plugin(tmp_path / "plugins", "one", DAYS, config={"days": 2})

    async def act(manager: PluginManager, s: Scene) -> None:
        await manager.configure("one", {"days": 4})
        with pytest.raises(PluginFailed, match="days: must be at least 1"):
            await manager.configure("one", {"days": 0})
        assert manager.wishes.by_command("one") == {"config": {"days": 4}}
        assert manager.records["one"].problem is None
        await manager.reload("one")
        await manager.configure("one", {})

    play(tmp_path, act, settings={"one": PluginSettings(config={"days": 3})})
    assert [note for note in seen if "days" in note] == ["one days 3", "one days 4", "one days 4", "one days 3"]


def test_settings_that_a_plugin_cannot_start_with_are_not_kept(tmp_path: Path) -> None:
    body = """
        class Config(BaseModel):
            host: str = "here"
        async def initialize(self):
            if self.config.host != "here": raise ConnectionError("nobody answers")
    """
    plugin(tmp_path / "plugins", "one", body)

    async def act(manager: PluginManager, s: Scene) -> None:
        with pytest.raises(PluginFailed, match="nobody answers"):
            await manager.configure("one", {"host": "there"})
        assert manager.wishes.by_command("one") == {}
        assert state(manager, "one") == RUNNING

    play(tmp_path, act)


def test_a_plugin_that_is_off_refuses_settings_in_whatever_way_its_own_code_does(tmp_path: Path) -> None:
    body = """
        class Config(BaseModel):
            folder: Annotated[str, AfterValidator(lambda folder: 1 / 0)] = ""
    """
    before = "from typing import Annotated; from pydantic import AfterValidator"
    plugin(tmp_path / "plugins", "one", body, before=before, enabled=False)

    async def act(manager: PluginManager, s: Scene) -> None:
        with pytest.raises(PluginFailed, match="ZeroDivisionError"):
            await manager.configure("one", {"folder": "x"})
        assert manager.wishes.by_command("one") == {}

    play(tmp_path, act)


def test_a_plugin_that_failed_over_its_settings_starts_with_better_ones(tmp_path: Path) -> None:
    plugin(tmp_path / "plugins", "one", DAYS, config={"days": 0})

    async def act(manager: PluginManager, s: Scene) -> None:
        assert manager.records["one"].state.value == "failed"
        await manager.configure("one", {"days": 5})
        assert state(manager, "one") == RUNNING

    play(tmp_path, act)


@pytest.mark.parametrize("begun", ["raise ValueError('no luck')", "sys.exit()", "await asyncio.sleep(60)"])
def test_shutdown_is_called_once_initialize_was_begun(tmp_path: Path, seen: list[str], begun: str) -> None:
    plugin(tmp_path / "plugins", "one", f"async def initialize(self): {begun}")

    async def act(manager: PluginManager, s: Scene) -> None:
        assert manager.records["one"].state.value == "failed"
        assert seen == ["one shutdown"]

    play(tmp_path, act, initialize_seconds=0.05)
    assert seen == ["one shutdown"]


def test_a_start_that_is_given_up_half_way_releases_what_was_begun_in_reverse(tmp_path: Path, seen: list[str]) -> None:
    plugin(tmp_path / "plugins", "a")
    plugin(tmp_path / "plugins", "b", "async def initialize(self): note('begins'); await asyncio.Event().wait()")

    async def main() -> None:
        async def start() -> None:
            async with managed(tmp_path):
                raise AssertionError

        starting = asyncio.create_task(start())
        await holds(lambda: "b begins" in seen)
        starting.cancel()
        await asyncio.wait([starting])

    asyncio.run(main())
    assert seen == ["a initialize", "b begins"]


def test_a_plugin_does_what_a_person_asks_of_it(tmp_path: Path) -> None:
    body = """
        async def act(self, action, arguments):
            match action:
                case "add": return {"sum": arguments["a"] + arguments["b"]}
                case "fail": raise ValueError("no luck")
                case "leave": sys.exit()
                case "hand": return object()
            return await super().act(action, arguments)
    """
    folder = plugin(tmp_path / "plugins", "one", body)

    async def act(manager: PluginManager, s: Scene) -> None:
        assert await manager.act("one", "add", {"a": 1, "b": 2}) == {"sum": 3}
        for action, reason in {
            "fail": f"{folder}/plugin.py:13: ValueError: no luck",
            "leave": "It raised SystemExit, which a plugin must not do",
            "hand": "What hand answered is no JSON: Unable to serialize unknown type: <class 'object'>",
            "jump": "one has no action 'jump'",
        }.items():
            with pytest.raises(PanottiError) as caught:
                await manager.act("one", action, {})
            assert caught.value.message == reason
        await manager.disable("one")
        with pytest.raises(PluginFailed, match="one does not run: disabled"):
            await manager.act("one", "add", {})

    play(tmp_path, act)


def test_an_action_is_finished_before_a_new_version_takes_the_place_of_the_old(tmp_path: Path, seen: list[str]) -> None:
    body = """
        async def act(self, action, arguments):
            note("asked")
            while "go" not in sys.panotti_seen: await asyncio.sleep(0.001)
            return "done"
    """
    plugin(tmp_path / "plugins", "one", body)

    async def act(manager: PluginManager, s: Scene) -> None:
        asked = asyncio.create_task(manager.act("one", "wait", {}))
        await holds(lambda: "one asked" in seen)
        reloading = asyncio.create_task(manager.reload("one"))
        await holds(lambda: manager.records["one"].is_changing)
        assert "one shutdown" not in seen
        seen.append("go")
        await reloading
        assert await asked == "done"

    play(tmp_path, act)


def test_nothing_is_lost_or_handled_twice_under_a_stream_of_events(tmp_path: Path) -> None:
    handled: Counter[int] = Counter()
    sys.panotti_handled = handled  # type: ignore[attr-defined]
    body = """
        async def handle(self, event):
            await asyncio.sleep(0)
            sys.panotti_handled[event.data["number"]] += 1
    """
    plugin(tmp_path / "plugins", "one", body, subscribes=["a.*"], concurrency=3)
    total = 120

    async def act(manager: PluginManager, s: Scene) -> None:
        async def stream() -> None:
            for _ in range(total // 4):
                await s.publish(*(f"a.n{number}" for number in range(4)))

        streaming = asyncio.create_task(stream())
        for number in range(8):
            broken = number % 2
            plugin(
                tmp_path / "plugins", "one", body, subscribes=["a.*"], concurrency=3, before="1 / 0" if broken else ""
            )
            try:
                await manager.reload("one")
            except PluginFailed:
                assert broken
        await streaming

        async def all_done() -> bool:
            return await s.states() == ["done"] * total

        await eventually(all_done)

    try:
        play(tmp_path, act)
    finally:
        del sys.panotti_handled  # type: ignore[attr-defined]
    assert handled == dict.fromkeys(range(4), total // 4)
