from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest

from panotti_daemon.core.events.models import Event
from panotti_daemon.settings import PluginSettings
from tests.unit.core.events.scene import eventually
from tests.unit.core.plugins.managed import RUNNING, managed, outcome, plugin


def test_plugins_start_get_their_events_and_stop(tmp_path: Path, seen: list[str]) -> None:
    plugin(tmp_path / "plugins", "one", subscribes=["a.*"])

    async def main() -> None:
        async with managed(tmp_path, tmp_path / "plugins") as (manager, s):
            assert manager.records["one"].state.value == "running"
            await s.publish("a.happened", "b.happened")
            await s.until("done")
        assert manager.records["one"].state.value == "stopped"

    asyncio.run(main())
    assert seen == ["one initialize", "one a.happened", "one shutdown"]


def test_the_first_of_two_with_one_name_wins_bundled_before_the_users(tmp_path: Path) -> None:
    first = plugin(tmp_path / "bundled", "same")
    plugin(tmp_path / "user", "same")
    plugin(tmp_path / "user", "own")

    async def main() -> None:
        async with managed(tmp_path, tmp_path / "bundled", tmp_path / "missing", tmp_path / "user") as (manager, _):
            assert list(manager.records) == ["same", "own"]
            assert manager.records["same"].folder == first
            assert manager.records["same"].hidden == [tmp_path / "user" / "same"]

    asyncio.run(main())


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry_points: str) -> Path:
    """A distribution, as pip would have installed it."""
    site = tmp_path / "site-packages"
    info = site / "their_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[panotti.plugins]\n{entry_points}\n")
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    return site


def test_an_installed_distribution_brings_its_plugin_after_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = install(tmp_path, monkeypatch, "theirs = their_package.theirs")
    (site / "their_package").mkdir()
    (site / "their_package" / "__init__.py").write_text("raise AssertionError('imported')")
    plugin(site / "their_package", "theirs")
    plugin(tmp_path / "plugins", "zzz")
    assert outcome(tmp_path) == {"zzz": RUNNING, "theirs": RUNNING}


def test_an_entry_point_to_nowhere_is_a_failed_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "theirs = no_such_package.theirs")
    plugin(tmp_path / "plugins", "one")
    found = outcome(tmp_path)
    assert found["one"] == RUNNING
    state, reason = found["theirs"]
    assert (state, reason) == ("failed", "no_such_package/theirs/plugin.yaml cannot be read: No such file or directory")


def test_a_plugin_starts_after_those_it_depends_on_and_stops_before_them(tmp_path: Path, seen: list[str]) -> None:
    plugin(tmp_path / "plugins", "a", dependencies={"c": ">=1"})
    plugin(tmp_path / "plugins", "b")
    plugin(tmp_path / "plugins", "c", dependencies={"b": ">=0.5,<2"})
    assert set(outcome(tmp_path).values()) == {RUNNING}
    started = [note.split()[0] for note in seen if note.endswith("initialize")]
    stopped = [note.split()[0] for note in seen if note.endswith("shutdown")]
    assert started == ["b", "c", "a"]
    assert stopped == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({}, "needy -> missing >=1, which is not there"),
        ({"missing": {"version": "0.9"}}, "needy -> missing >=1, and 0.9 is there"),
        ({"missing": {"enabled": False}}, "needy -> missing, which is disabled"),
        (
            {"missing": {"config": {"unknown": 1}}},
            "needy -> missing, which is failed: settings: plugins.missing.config.unknown: there is no such key",
        ),
    ],
)
def test_a_dependency_that_is_not_to_be_had_is_said_so(
    tmp_path: Path, other: dict[str, dict[str, Any]], reason: str
) -> None:
    plugin(tmp_path / "plugins", "needy", dependencies={"missing": ">=1"})
    plugin(tmp_path / "plugins", "fine")
    for name, manifest in other.items():
        plugin(tmp_path / "plugins", name, **manifest)
    found = outcome(tmp_path)
    assert found["needy"] == ("failed", f"cannot start: {reason}")
    assert found["fine"] == RUNNING


def test_a_circle_fails_with_what_depends_on_it_and_nothing_else(tmp_path: Path) -> None:
    for name, needs in {"a": "b", "b": "c", "c": "a", "outside": "a", "below": "fine", "fine": None}.items():
        plugin(tmp_path / "plugins", name, dependencies={needs: ">=1"} if needs else {})
    plugin(tmp_path / "plugins", "itself", dependencies={"itself": ">=1"})
    found = outcome(tmp_path)
    assert {name for name, (state, _) in found.items() if state == "running"} == {"fine", "below"}
    assert found["b"][1] == "cannot start: b -> c -> a -> b, which is a circle"
    assert found["itself"][1] == "cannot start: itself -> itself, which is a circle"
    assert found["outside"][1] == "cannot start: outside -> a -> b -> c -> a, which is a circle"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"before": "import no_such_module"}, "plugin.py:3: ModuleNotFoundError: No module named 'no_such_module'"),
        ({"before": "sys.exit(3)"}, "plugin.py:3: SystemExit: 3"),
        ({"before": "raise KeyboardInterrupt"}, "plugin.py:3: KeyboardInterrupt"),
        ({"before": "this is no python"}, "plugin.py:3: SyntaxError: invalid syntax"),
        ({"body": "def __init__(self, *a): sys.exit()"}, "plugin.py:9: SystemExit"),
        ({"body": "async def initialize(self): raise ValueError('no luck')"}, "plugin.py:9: ValueError: no luck"),
        (
            {"body": "async def initialize(self): sys.exit()"},
            "plugin.py:9: It raised SystemExit, which a plugin must not do",
        ),
        ({"body": "async def initialize(self): raise asyncio.CancelledError"}, "It cancelled itself"),
        (
            {"body": "async def initialize(self): raise TimeoutError('the server')"},
            "plugin.py:9: TimeoutError: the server",
        ),
        ({"body": "async def initialize(self): await asyncio.Event().wait()"}, "initialize() took longer than 0.2 s"),
        (
            {"body": "class Config(BaseModel):\n    days: int = Field(1, ge=1)", "config": {"days": 0}},
            "settings: plugins.broken.config.days: must be at least 1 (it is 0)",
        ),
    ],
)
def test_one_bad_plugin_keeps_no_other_from_running(tmp_path: Path, broken: dict[str, Any], reason: str) -> None:
    plugin(tmp_path / "plugins", "broken", **broken)
    plugin(tmp_path / "plugins", "fine")
    found = outcome(tmp_path, initialize_seconds=0.2)
    state, why = found["broken"]
    assert found["fine"] == RUNNING
    assert (state, str(why).removeprefix(f"{tmp_path / 'plugins' / 'broken'}/")) == ("failed", reason)


def test_a_plugin_without_its_class_or_file_is_said_so(tmp_path: Path) -> None:
    for name in ("no_class", "no_file"):
        plugin(tmp_path / "plugins", name)
    (tmp_path / "plugins" / "no_class" / "plugin.py").write_text("Plugin = 5")
    (tmp_path / "plugins" / "no_file" / "plugin.py").unlink()
    found = outcome(tmp_path)
    assert str(found["no_class"][1]).endswith("plugin.py must hold a class Plugin(PluginBase)")
    assert str(found["no_file"][1]).endswith("plugin.py is not there")


def test_a_manifest_that_cannot_be_read_stops_nothing_else(tmp_path: Path, seen: list[str]) -> None:
    plugin(tmp_path / "plugins", "broken", before="raise AssertionError('imported')", api_version=99)
    plugin(tmp_path / "plugins", "fine")
    found = outcome(tmp_path)
    assert found["fine"] == RUNNING
    assert str(found["broken"][1]).endswith("api_version: this Panotti offers 1, the plugin wants 99")


def test_the_users_settings_stand_above_the_manifests(tmp_path: Path, seen: list[str]) -> None:
    body = """
        class Config(BaseModel):
            days: int
            hours: int
        async def initialize(self): note(f"{self.config.days} {self.config.hours}")
    """
    plugin(tmp_path / "plugins", "one", body, config={"days": 1, "hours": 2})
    outcome(tmp_path, settings={"one": PluginSettings(config={"days": 3})})
    assert seen[0] == "one 3 2"


@pytest.mark.parametrize(("manifest", "wish", "state"), [(True, False, "disabled"), (False, True, "running")])
def test_the_user_decides_whether_a_plugin_is_on(tmp_path: Path, manifest: bool, wish: bool, state: str) -> None:
    plugin(tmp_path / "plugins", "one", enabled=manifest)
    assert outcome(tmp_path, settings={"one": PluginSettings(enabled=wish)})["one"][0] == state


def test_a_plugin_that_is_switched_off_gets_nothing_and_one_that_failed_loses_nothing(
    tmp_path: Path, seen: list[str]
) -> None:
    plugin(tmp_path / "plugins", "off", subscribes=["*"], enabled=False)
    broken = plugin(tmp_path / "plugins", "broken", subscribes=["*"], before="raise ValueError")

    async def fail() -> None:
        async with managed(tmp_path, tmp_path / "plugins") as (_, s):
            await s.publish("a.happened")
            await s.until("queued")

    async def repaired() -> None:
        on = {"off": PluginSettings(enabled=True)}
        async with managed(tmp_path, tmp_path / "plugins", settings=on) as (_, s):
            await s.until("done")

    asyncio.run(fail())
    code = (broken / "plugin.py").read_text()
    (broken / "plugin.py").write_text(code.replace("raise ValueError", ""))
    asyncio.run(repaired())
    assert "broken a.happened" in seen
    assert "off a.happened" not in seen


def test_settings_for_a_plugin_that_is_not_there_are_noticed(tmp_path: Path) -> None:
    plugin(tmp_path / "plugins", "cleanup_files")
    found = outcome(tmp_path, settings={"cleanup_file": PluginSettings()})
    reason = "the settings name it, but there is no such plugin; did you mean cleanup_files?"
    assert found == {"cleanup_files": RUNNING, "cleanup_file": ("failed", reason)}


def test_a_plugin_imports_its_neighbours_relatively_and_no_others(tmp_path: Path, seen: list[str]) -> None:
    for name in ("one", "two"):
        plugin(
            tmp_path / "plugins",
            name,
            before="from .helper import word",
            body="async def initialize(self): note(word)",
            files={"helper.py": f"word = 'of {name}'"},
        )
    outcome(tmp_path)
    assert seen[:2] == ["one of one", "two of two"]


def test_state_survives_and_belongs_to_one_plugin(tmp_path: Path, seen: list[str]) -> None:
    body = """
        async def initialize(self):
            note(repr(await self.get_state("count", 0)))
            await self.update_state("count", {"of": (await self.get_state("count", {"of": 0}))["of"] + 1})
    """
    for name in ("one", "two"):
        plugin(tmp_path / "plugins", name, body)
    outcome(tmp_path)
    outcome(tmp_path, settings={"two": PluginSettings(enabled=False)})
    assert [note for note in seen if "shutdown" not in note] == ["one 0", "two 0", "one {'of': 1}"]


def test_a_plugin_that_fails_at_its_end_keeps_no_other_from_ending(tmp_path: Path, seen: list[str]) -> None:
    plugin(tmp_path / "plugins", "a")
    plugin(tmp_path / "plugins", "b", "async def shutdown(self): raise ValueError('no')")
    plugin(tmp_path / "plugins", "c", "async def shutdown(self): await asyncio.Event().wait()")
    plugin(tmp_path / "plugins", "d", "async def shutdown(self): sys.exit()")

    async def main() -> dict[str, str | None]:
        async with managed(tmp_path, tmp_path / "plugins", shutdown_seconds=0.05) as (manager, _):
            pass
        return {name: record.reason for name, record in manager.records.items()}

    assert asyncio.run(main()) == {
        "a": None,
        "b": "shutdown: ValueError: no",
        "c": "shutdown: shutdown() took longer than 0.05 s",
        "d": "shutdown: It raised SystemExit, which a plugin must not do",
    }
    assert "a shutdown" in seen


def test_a_plugin_announces_answers_and_shows_that_it_lives(tmp_path: Path) -> None:
    body = """
        async def handle(self, event):
            self.is_alive(event)
            await self.announce("one.progress", {"half": True})
            return [self.create_child_event(event, "one.completed", {"of": event.name})]
    """
    plugin(tmp_path / "plugins", "one", body, subscribes=["a.*"])

    async def main() -> None:
        heard: list[str] = []

        async def listen(message: Any) -> None:
            heard.append(message.name)

        async with managed(tmp_path, tmp_path / "plugins") as (_, s):
            s.bus.listen(listen)
            (asked,) = await s.publish("a.happened")
            await s.until("done")
            (answer,) = await s.events("one.completed")
            assert isinstance(answer, Event)
            assert (answer.cause_id, answer.source_plugin) == (asked.id, "one")

            async def all_heard() -> bool:
                return heard == ["a.happened", "one.progress", "one.completed"]

            await eventually(all_heard)

    asyncio.run(main())
