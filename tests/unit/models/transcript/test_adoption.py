from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from panotti_daemon.models.database import Database
from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.transcript.adoption import adopt
from panotti_daemon.models.transcript.formats import render
from panotti_daemon.settings import Format
from panotti_daemon.testing import StoppedClock
from tests.unit.models.transcript.test_outputs import document

CLOCK = StoppedClock()


class Killed(Exception):
    """The end of the daemon"""


def play(root: Path, act: Callable[[Database], Awaitable[None]]) -> None:
    async def main() -> None:
        database = await Database.open(root / "panotti.db", CLOCK.now())
        try:
            await act(database)
        finally:
            await database.close()

    asyncio.run(main())


def written(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.json").write_text(render(Format.JSON, document(name)))


async def known(database: Database) -> set[str]:
    async with database.reading() as connection:
        return {row["id"] for row in await connection.execute_fetchall("SELECT id FROM recordings")}


def test_transcripts_in_a_new_output_folder_are_taken_in_once(tmp_path: Path) -> None:
    async def act(database: Database) -> None:
        written(tmp_path / "out", "one", "two")
        assert await adopt(database, [tmp_path / "out"], CLOCK) == 2
        written(tmp_path / "out", "three")
        assert await adopt(database, [tmp_path / "out"], CLOCK) == 0
        assert await known(database) == {"one", "two"}

    play(tmp_path, act)


def test_an_output_folder_is_made_once_and_one_that_is_missing_later_is_not(tmp_path: Path) -> None:
    async def act(database: Database) -> None:
        root = tmp_path / "drive" / "out"
        await adopt(database, [root], CLOCK)
        assert root.is_dir()
        root.rmdir()
        await adopt(database, [root], CLOCK)
        assert not root.exists()

    play(tmp_path, act)


def test_a_watched_folder_is_not_made_and_taken_in_at_the_first_start_at_which_it_is_there(tmp_path: Path) -> None:
    async def act(database: Database) -> None:
        root = tmp_path / "drive"
        assert await adopt(database, [root], CLOCK, watched=[root]) == 0
        assert not root.exists()
        written(root, "one")
        assert await adopt(database, [root], CLOCK, watched=[root]) == 1

    play(tmp_path, act)


def test_what_a_kill_left_out_is_taken_in_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(database: Database) -> None:
        written(tmp_path / "out", "one", "two", "three")
        insert = recordings.insert
        calls = 0

        async def killed_at_the_second(*arguments: object) -> None:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise Killed
            await insert(*arguments)  # type: ignore[arg-type]

        with monkeypatch.context() as context:
            context.setattr(recordings, "insert", killed_at_the_second)
            with pytest.raises(Killed):
                await adopt(database, [tmp_path / "out"], CLOCK)
        assert len(await known(database)) == 1
        await adopt(database, [tmp_path / "out"], CLOCK)
        assert await known(database) == {"one", "two", "three"}

    play(tmp_path, act)
