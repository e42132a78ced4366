"""Work in folders, each in a lane of its own: a drive that hangs holds up nothing but itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from panotti_daemon.loops import keep_going

Work = Callable[[Path, asyncio.Event], Awaitable[None]]


class Lanes:
    def __init__(self, name: str, work: Work) -> None:
        """`work` is called with a folder for which there is something to do, and with the event that is set when there
        is more; it returns when nothing is left. What blocks in it must do so in a thread of its own."""
        self._name = name
        self._work = work
        self._wakes: dict[Path, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_open = False

    def start(self) -> None:
        self._is_open = True
        for folder in self._wakes:
            self._begin(folder)

    async def stop(self) -> None:
        self._is_open = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def wake(self, folder: Path) -> None:
        """There is something to do."""
        if folder in self._wakes:
            self._wakes[folder].set()
            return
        self._wakes[folder] = asyncio.Event()
        if self._is_open:
            self._begin(folder)

    def _begin(self, folder: Path) -> None:
        task = asyncio.create_task(self._run(folder), name=f"{self._name} {folder}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, folder: Path) -> None:
        wake = self._wakes[folder]
        await keep_going(self._name, partial(self._work, folder, wake))
        del self._wakes[folder]  # at once: nobody can have woken it since its work returned
