from __future__ import annotations

import asyncio
from collections import defaultdict
from functools import partial
from pathlib import Path

import pytest

from panotti_daemon.intake import lanes
from panotti_daemon.intake.lanes import Lanes
from panotti_daemon.loops import keep_going

HERE, AWAY = Path("/here"), Path("/away")


class Shop:
    """Does what is on each folder's list."""

    def __init__(self) -> None:
        self.lists: dict[Path, list[str]] = defaultdict(list)
        self.done: list[str] = []
        self.opens = asyncio.Event()
        self.lanes = Lanes("work", self.work)

    def want(self, folder: Path, what: str) -> None:
        self.lists[folder].append(what)
        self.lanes.wake(folder)

    async def work(self, folder: Path, wake: asyncio.Event) -> None:
        while todo := self.lists[folder]:
            wake.clear()
            if folder == AWAY:
                await self.opens.wait()
            await asyncio.sleep(0)
            self.done.append(todo.pop(0))

    async def has_done(self, *what: str) -> None:
        async with asyncio.timeout(10):
            while self.done != [*what]:
                await asyncio.sleep(0)


def test_each_folder_is_worked_on_by_itself_and_whatever_comes_when_is_done() -> None:
    async def main() -> None:
        shop = Shop()
        shop.want(AWAY, "far")
        shop.want(HERE, "one")
        await asyncio.sleep(0)
        assert shop.done == []
        shop.lanes.start()
        await shop.has_done("one")
        shop.want(HERE, "two")
        shop.want(HERE, "three")
        await shop.has_done("one", "two", "three")
        shop.opens.set()
        await shop.has_done("one", "two", "three", "far")
        await shop.lanes.stop()

    asyncio.run(main())


def test_what_stumbles_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "keep_going", partial(keep_going, pause_seconds=0))

    async def main() -> None:
        shop = Shop()
        stumbled: list[Path] = []

        async def stumbling(folder: Path, wake: asyncio.Event) -> None:
            if not stumbled:
                stumbled.append(folder)
                raise ZeroDivisionError
            await shop.work(folder, wake)

        shop.lanes = Lanes("work", stumbling)
        shop.lanes.start()
        shop.want(HERE, "one")
        await shop.has_done("one")
        await shop.lanes.stop()

    asyncio.run(main())
