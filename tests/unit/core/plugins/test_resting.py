from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from panotti_daemon.core.plugins.at_work import AtWork
from panotti_daemon.core.plugins.crashes import FIRST_REST, Crashes
from panotti_daemon.core.plugins.loading import Loader
from panotti_daemon.core.plugins.manager import PluginManager
from panotti_daemon.core.plugins.ports import DaemonPorts
from panotti_daemon.core.plugins.wishes import Wishes
from tests.unit.core.events.scene import Scene, holds, scene
from tests.unit.core.plugins.managed import context, plugin

FAILS = "async def handle(self, event):\n    if event.data['number'] < 5: raise ValueError('no luck')"


@asynccontextmanager
async def started(tmp_path: Path) -> AsyncIterator[tuple[PluginManager, Scene]]:
    """As the daemon starts them after the plugin `bad` has blocked the process before."""
    marks = tmp_path / "at-work"
    marks.mkdir()
    (marks / "bad").write_bytes(b"\1\0\1")
    async with scene(tmp_path / "panotti.db") as s:
        at_work = AtWork(marks)
        crashes = Crashes(s.database, at_work, s.clock)
        await crashes.account()
        loader = Loader(context, DaemonPorts(s.bus, s.database), Wishes({}), at_work=at_work)
        folders = (tmp_path / "plugins",)
        manager = PluginManager(s.bus, loader, folders, s.clock, crashes=crashes, rest_check_seconds=0.01)
        manager.register()
        await manager.start()
        try:
            yield manager, s
        finally:
            await s.bus.stop(grace_seconds=0)
            await manager.stop()


def states(manager: PluginManager) -> dict[str, str]:
    return {name: record.state.value for name, record in manager.records.items()}


def play(tmp_path: Path, act: Callable[[PluginManager, Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        async with started(tmp_path) as (manager, s):
            await act(manager, s)

    asyncio.run(main())


def test_one_that_ended_the_process_is_not_even_imported_and_its_deliveries_wait(
    tmp_path: Path, seen: list[str]
) -> None:
    async def act(manager: PluginManager, s: Scene) -> None:
        assert states(manager) == {"bad": "resting", "good": "running", "needy": "failed"}
        problem = manager.records["bad"].problem
        assert problem
        assert problem.startswith("The plugin bad rests until ")
        assert "which is resting" in str(manager.records["needy"].reason)
        await s.publish("a.happened")
        assert await s.states("bad") == ["queued"]
        s.clock.advance(FIRST_REST.total_seconds() - 1)
        assert states(manager)["bad"] == "resting"
        s.clock.advance(1)
        await s.until("done", subscriber="bad")
        await holds(lambda: set(states(manager).values()) == {"running"})

    plugin(tmp_path / "plugins", "bad", before="sys.panotti_seen.append('bad imported')", subscribes=["a.*"])
    plugin(tmp_path / "plugins", "good", subscribes=["a.*"])
    plugin(tmp_path / "plugins", "needy", dependencies={"bad": ">=1"})
    play(tmp_path, act)
    assert seen.index("good a.happened") < seen.index("bad imported") < seen.index("needy initialize")


def test_its_user_can_end_a_rest(tmp_path: Path, seen: list[str]) -> None:
    async def act(manager: PluginManager, s: Scene) -> None:
        await manager.enable("bad")
        assert states(manager) == {"bad": "running"}

    plugin(tmp_path / "plugins", "bad")
    play(tmp_path, act)


def test_one_that_keeps_failing_is_shown_to_rest_until_it_works_or_its_user_ends_that(
    tmp_path: Path, seen: list[str]
) -> None:
    async def act(manager: PluginManager, s: Scene) -> None:
        for end in (manager.enable, manager.reload):
            await s.publish(*["a.happened"] * 6)
            await holds(lambda: states(manager)["fails"] == "resting")
            assert "it failed 5 times in a row" in str(manager.records["fails"].reason)
            await end("fails")
            assert states(manager)["fails"] == "running"
            await s.until(*(["dead"] * 5 + ["done"]) * (1 if end == manager.enable else 2), subscriber="fails")

    plugin(tmp_path / "plugins", "fails", FAILS, subscribes=["a.*"], max_attempts=1)
    play(tmp_path, act)
