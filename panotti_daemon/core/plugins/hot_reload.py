"""Takes plugins over anew when their files change, for those who write them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import structlog

from panotti_daemon.core.plugins.discovery import discover
from panotti_daemon.core.plugins.lifecycle import PluginState
from panotti_daemon.core.plugins.manager import PluginManager
from panotti_daemon.errors import PanottiError
from panotti_daemon.loops import keep_going

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
MOST_FILES = 2000

Files = frozenset[tuple[str, int, int]]
"""Path, size and time of change of each file that makes up a plugin."""


class HotReload:
    """Looks at the files once a second: that costs little, and no file system fails to tell."""

    def __init__(self, plugins: PluginManager, folders: Iterable[Path], *, look_seconds: float = LOOK_SECONDS) -> None:
        self._plugins = plugins
        self._folders = tuple(folders)
        self._look_seconds = look_seconds
        self._taken: dict[str, Files] = {}
        """As they were when they were last taken over, whether or not that worked."""
        self._seen: dict[str, Files] = {}
        self._at_it: dict[str, asyncio.Task[None]] = {}
        self._timer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._taken = self._seen = await asyncio.to_thread(self._look)
        self._timer = asyncio.create_task(keep_going("hot reload", self._loop), name="hot reload")

    async def stop(self) -> None:
        tasks = [task for task in (self._timer, *self._at_it.values()) if task]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _loop(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            before, self._seen = self._seen, await asyncio.to_thread(self._look)
            for name, files in self._seen.items():
                # two looks that agree: who writes several files is done with them
                if files == before.get(name) and files != self._taken.get(name) and not self._is_changing(name):
                    self._taken[name] = files
                    self._at_it[name] = asyncio.create_task(self._take_over(name), name=f"hot reload {name}")

    def _is_changing(self, name: str) -> bool:
        record = self._plugins.records.get(name)
        return (name in self._at_it and not self._at_it[name].done()) or (record is not None and record.is_changing)

    async def _take_over(self, name: str) -> None:
        record = self._plugins.records.get(name)
        if record and record.state is PluginState.DISABLED:
            return
        try:
            await self._plugins.reload(name)
        except PanottiError as error:
            log.warning("hot reload", plugin=name, reason=error.message)

    def _look(self) -> dict[str, Files]:
        found: dict[str, Files] = {}
        for folder in discover(self._folders):
            if folder.name not in found:
                found[folder.name] = _files(folder)
        return found


def _files(folder: Path) -> Files:
    files: set[tuple[str, int, int]] = set()
    try:
        for path in folder.rglob("*"):
            hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(folder).parts)
            if len(files) < MOST_FILES and not hidden and path.is_file():
                facts = path.stat()
                files.add((str(path), facts.st_size, facts.st_mtime_ns))
    except OSError:  # a file that went meanwhile: the next look sees it
        pass
    return frozenset(files)
