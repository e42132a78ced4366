from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from panotti_daemon.core.plugins.hot_reload import HotReload
from panotti_daemon.core.plugins.manager import PluginManager
from tests.unit.core.events.scene import holds
from tests.unit.core.plugins.managed import managed, plugin

WORD = "async def initialize(self): note({!r})"


@asynccontextmanager
async def watched(tmp_path: Path) -> AsyncIterator[PluginManager]:
    async with managed(tmp_path) as (manager, _):
        hot_reload = HotReload(manager, [tmp_path / "plugins"], look_seconds=0.01)
        await hot_reload.start()
        try:
            yield manager
        finally:
            await hot_reload.stop()


def test_a_plugin_whose_files_change_is_taken_over_and_no_other(tmp_path: Path, seen: list[str]) -> None:
    plugin(tmp_path / "plugins", "one", WORD.format("old"))
    plugin(tmp_path / "plugins", "two", WORD.format("old"))

    async def main() -> None:
        async with watched(tmp_path):
            plugin(tmp_path / "plugins", "one", WORD.format("new"))
            await holds(lambda: "one new" in seen)
            await holds(lambda: "one shutdown" in seen)

    asyncio.run(main())
    assert seen[:4] == ["one old", "two old", "one new", "one shutdown"]


def test_a_helper_is_one_of_its_files(tmp_path: Path, seen: list[str]) -> None:
    def write(word: str) -> None:
        (tmp_path / "plugins" / "one" / "helper.py").write_text(f"word = {word!r}")

    plugin(
        tmp_path / "plugins",
        "one",
        "async def initialize(self): note(word)",
        before="from .helper import word",
        files={"helper.py": "word = 'old'"},
    )

    async def main() -> None:
        async with watched(tmp_path):
            write("newer")
            await holds(lambda: "one newer" in seen)

    asyncio.run(main())


def test_a_broken_edit_is_tried_once_and_a_mended_one_again(tmp_path: Path, seen: list[str]) -> None:
    plugin(tmp_path / "plugins", "one", WORD.format("old"))

    async def main() -> None:
        async with watched(tmp_path) as manager:
            record = manager.records["one"]
            plugin(tmp_path / "plugins", "one", WORD.format("bad") + "; 1 / 0")
            await holds(lambda: record.setback)
            assert str(record.setback).endswith("plugin.py:9: ZeroDivisionError: division by zero")
            await asyncio.sleep(0.1)
            assert seen.count("one bad") == 1
            plugin(tmp_path / "plugins", "one", WORD.format("mended"))
            await holds(lambda: "one mended" in seen)
            await holds(lambda: not record.problem)

    asyncio.run(main())


def test_a_new_folder_is_a_new_plugin_and_one_that_is_switched_off_stays_so(tmp_path: Path, seen: list[str]) -> None:
    plugin(tmp_path / "plugins", "off", WORD.format("old"), enabled=False)

    async def main() -> None:
        async with watched(tmp_path) as manager:
            plugin(tmp_path / "plugins", "off", WORD.format("new"), enabled=False)
            plugin(tmp_path / "plugins", "late", WORD.format("here"))
            await holds(lambda: "late here" in seen)
            assert manager.records["off"].state.value == "disabled"

    asyncio.run(main())
    assert not [note for note in seen if note.startswith("off")]


def test_what_python_and_editors_leave_in_a_folder_is_no_change(tmp_path: Path, seen: list[str]) -> None:
    folder = plugin(tmp_path / "plugins", "one", WORD.format("old"))
    plugin(tmp_path / "plugins", "two", WORD.format("old"))

    async def main() -> None:
        async with watched(tmp_path):
            (folder / "__pycache__").mkdir()
            (folder / "__pycache__" / "plugin.cpython-311.pyc").touch()
            (folder / ".plugin.py.swp").touch()
            plugin(tmp_path / "plugins", "two", WORD.format("new"))
            await holds(lambda: "two new" in seen)

    asyncio.run(main())
    assert seen.count("one old") == 1
