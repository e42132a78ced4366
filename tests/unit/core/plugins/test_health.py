from __future__ import annotations

import asyncio
from pathlib import Path

from panotti_daemon.core.plugins.health import HealthChecks
from tests.unit.core.events.scene import holds
from tests.unit.core.plugins.managed import managed, plugin

BODIES = {
    "well": "async def health(self): return Health(message='3 files')",
    "ill": "async def health(self): return Health(ok=False, message='no network')",
    "raises": "async def health(self): raise ValueError('no luck')",
    "leaves": "async def health(self): sys.exit()",
    "cancels": "async def health(self): raise asyncio.CancelledError",
    "answers_wrong": "async def health(self): return True",
}
PROBLEMS = {
    "ill": "no network",
    "raises": "health() failed: ValueError: no luck",
    "leaves": "health() failed: It raised SystemExit, which a plugin must not do",
    "cancels": "health() cancelled itself",
    "answers_wrong": "health() must return Health, not bool",
}


def test_what_each_plugin_says_of_itself_is_known_and_stays_its_own_affair(tmp_path: Path) -> None:
    for name, body in BODIES.items():
        plugin(tmp_path / "plugins", name, body)
    plugin(tmp_path / "plugins", "off", enabled=False)

    async def main() -> None:
        async with managed(tmp_path) as (manager, _):
            await HealthChecks(manager, 60).check()
            problems = {name: record.problem for name, record in manager.records.items() if record.problem}
            assert problems == {name: f"The plugin {name} is not well: {message}" for name, message in PROBLEMS.items()}
            assert {record.state.value for record in manager.records.values()} == {"running", "disabled"}

    asyncio.run(main())


def test_one_that_hangs_is_unwell_and_is_not_asked_again_before_it_has_ended(tmp_path: Path, seen: list[str]) -> None:
    body = """
        async def health(self):
            note("asked")
            while "go" not in sys.panotti_seen:
                try: await asyncio.sleep(0.001)
                except asyncio.CancelledError: pass
            return Health()
    """
    plugin(tmp_path / "plugins", "hangs", body)
    plugin(tmp_path / "plugins", "well")

    async def main() -> None:
        async with managed(tmp_path) as (manager, _):
            checks = HealthChecks(manager, 60, answer_seconds=0.05)
            await checks.check()
            await checks.check()
            record = manager.records["hangs"]
            assert record.problem == "The plugin hangs is not well: health() has not answered within 0.05 s"
            assert seen.count("hangs asked") == 1
            assert manager.records["well"].problem is None
            seen.append("go")
            await holds(lambda: not checks.is_busy("hangs"))
            await checks.check()
            assert seen.count("hangs asked") == 2
            assert record.health.ok
            await checks.stop()

    asyncio.run(main())


def test_plugins_are_asked_on_a_timer_and_no_longer_once_it_stops(tmp_path: Path, seen: list[str]) -> None:
    plugin(tmp_path / "plugins", "one", "async def health(self): note('asked'); return Health()")

    async def main() -> None:
        async with managed(tmp_path) as (manager, _):
            checks = HealthChecks(manager, 0.001)
            checks.start()
            await holds(lambda: seen.count("one asked") > 2)
            await checks.stop()
            asked = seen.count("one asked")
            await asyncio.sleep(0.02)
            assert seen.count("one asked") == asked

    asyncio.run(main())


def test_a_plugin_that_lacked_something_outside_is_tried_again_by_the_timer(tmp_path: Path, seen: list[str]) -> None:
    body = """
        async def initialize(self):
            if "up" not in sys.panotti_seen: raise Unavailable("the server is not up")
    """
    plugin(tmp_path / "plugins", "one", body)

    async def main() -> None:
        async with managed(tmp_path) as (manager, _):
            record = manager.records["one"]
            assert str(record.reason).endswith("the server is not up")
            checks = HealthChecks(manager, 0.001)
            checks.start()
            seen.append("up")
            await holds(lambda: record.state.value == "running")
            await checks.stop()

    asyncio.run(main())


def test_a_new_version_begins_in_good_health(tmp_path: Path) -> None:
    plugin(tmp_path / "plugins", "one", BODIES["ill"])

    async def main() -> None:
        async with managed(tmp_path) as (manager, _):
            checks = HealthChecks(manager, 60)
            await checks.check()
            assert manager.records["one"].problem
            plugin(tmp_path / "plugins", "one")
            await manager.reload("one")
            assert manager.records["one"].problem is None

    asyncio.run(main())
