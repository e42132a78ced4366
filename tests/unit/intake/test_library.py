from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from panotti_daemon.choices import FileState
from panotti_daemon.intake.ledger import Seen
from panotti_daemon.intake.observe import look
from panotti_daemon.models.transcript import store as transcripts
from panotti_daemon.models.transcript.models import RequestedSettings
from tests.plugins.cleanup_scene import Scene, scene


def play(base: Path, act: Callable[[Scene], Awaitable[None]]) -> None:
    async def played() -> None:
        async with scene(base) as s:
            await act(s)

    asyncio.run(played())


@pytest.fixture(autouse=True)
def _trash_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def test_what_is_finished_is_what_is_transcribed_and_there(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        done, copy, gone = [await s.record(name) for name in ("done.wav", "copy.wav", "gone.wav")]
        async with s.database.transaction() as transaction:
            await s.ledger.set(transaction, copy, FileState.DUPLICATE, "a copy")
            await s.ledger.set_presence(transaction, [gone], present=False)
        assert [file.path for file in await s.library.finished()] == [done]

    play(tmp_path, act)


def test_a_transcript_that_is_still_to_be_made_is_a_doubt(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.record("call.wav")
        (file,) = await s.library.finished()
        assert await s.library.doubt(file) is None
        german = RequestedSettings(language="de")
        async with s.database.transaction() as transaction:
            await transcripts.get_or_create(transaction.connection, file.recording_id, german, s.clock.now())
        assert await s.library.doubt(file) == "a transcript of it is still to be made"

    play(tmp_path, act)


def test_what_is_archived_in_a_watched_folder_is_known_before_it_comes_and_is_no_part_of_its_size(
    tmp_path: Path,
) -> None:
    async def act(s: Scene) -> None:
        original = await s.record("call.wav", b"x" * 10)
        (file,) = await s.library.finished()
        await s.library.archive(s.folder / "old" / "call.wav", 10, 5, file)
        row = await s.row(s.folder / "old" / "call.wav")
        assert row
        assert (row.state, row.folder, row.size, row.mtime_ns) == (FileState.ARCHIVED, s.folder, 10, 5)
        assert row.reason == f"it was {original}; its transcript is there"
        assert await s.library.bytes_below(s.folder) == 10
        await s.library.unarchive(s.folder / "old" / "call.wav")
        assert await s.row(s.folder / "old" / "call.wav") is None

    play(tmp_path, act)


def test_only_what_is_archived_is_unarchived(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        await s.library.unarchive(path)
        assert await s.row(path)

    play(tmp_path, act)


def test_what_is_noted_of_a_file_is_not_said_of_one_that_took_its_place(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        (file,) = await s.library.finished()
        path.write_bytes(b"a new recording")
        found = look(path)
        assert found
        async with s.database.transaction() as transaction:
            await s.ledger.see(transaction, [Seen(path, s.folder, found)])
        await s.library.note(file, "it was taken away", present=False)
        row = await s.row(path)
        assert row
        assert row.present
        assert row.state is FileState.GROWING

    play(tmp_path, act)


def test_sizes_are_those_of_a_folder_however_its_accents_are_spelled(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.record("cafe\u0301/one.wav", b"x" * 10)
        assert await s.library.bytes_below(s.folder / "caf\u00e9") == 10

    play(tmp_path, act)


def test_sizes_are_those_of_one_folder_and_not_of_one_with_a_longer_name(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.record("a/one.wav", b"x" * 10)
        await s.record("ab/two.wav", b"x" * 100)
        assert await s.library.bytes_below(s.folder / "a") == 10

    play(tmp_path, act)
