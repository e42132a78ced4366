from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from panotti_daemon.intake.forget import Wish
from panotti_daemon.intake.observe import look
from panotti_daemon.intake.watcher import Found, Scan
from panotti_daemon.models.recording.models import FileState
from tests.unit.intake.desk import Desk, play


class Killed(Exception):
    """The end of the daemon"""


async def _killed(*_: Any) -> None:
    raise Killed


def test_what_a_scan_does_not_find_is_gone(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        await desk.transcribed("call.wav")
        await desk.seen("notes.txt")
        await desk.arrivals.scanned(desk.folder, Scan([]))
        assert not (await desk.row("call.wav")).present
        assert await desk.count("ledger") == 1

    play(tmp_path, act)


def test_of_what_stands_in_a_folder_that_cannot_be_read_nothing_is_said(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        (desk.folder.path / "closed").mkdir()
        await desk.transcribed("closed/call.wav")
        await desk.seen("closed/notes.txt")
        await desk.arrivals.scanned(desk.folder, Scan([], frozenset({desk.folder.path / "closed"})))
        assert (await desk.row("closed/call.wav")).present
        assert (await desk.row("closed/notes.txt")).state is FileState.GROWING

    play(tmp_path, act)


def test_a_change_that_was_not_brought_to_its_end_is_seen_again_by_the_next_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the daemon is killed after it ended the work on the old content, and before it noted anything."""

    async def act(desk: Desk) -> None:
        await desk.came("original.wav")
        assert (await desk.came("copy.wav")).state is FileState.DUPLICATE
        path, copy = desk.folder.path / "original.wav", desk.folder.path / "copy.wav"
        path.write_bytes(b"something else")
        found = [Found(file, seen) for file in (path, copy) if (seen := look(file))]
        with monkeypatch.context() as context:
            context.setattr(desk.ledger, "reopen", _killed)
            with pytest.raises(Killed):
                await desk.arrivals.scanned(desk.folder, Scan(found))
        assert (await desk.row("copy.wav")).state is FileState.DUPLICATE

        desk.identify.start(desk.arrivals)
        await desk.arrivals.scanned(desk.folder, Scan(found))
        await desk.identify.stop()
        assert {desk.arrivals.is_growing(file) for file in (path, copy)} == {True}
        assert (await desk.row("copy.wav")).duplicate_of is None
        assert (await desk.came("copy.wav")).state is FileState.READY

    play(tmp_path, act)


def test_a_first_scan_that_was_not_brought_to_its_end_still_waits_for_a_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the daemon is killed before it has noted the last of many files."""

    async def act(desk: Desk) -> None:
        found = []
        for number in range(52):
            path = desk.folder.path / f"{number}.wav"
            path.write_bytes(b"%d" % number)
            seen = look(path)
            assert seen
            found.append(Found(path, seen))
        with monkeypatch.context() as context:
            context.setattr(desk.ledger, "see", _killed)
            with pytest.raises(Killed):
                await desk.arrivals.scanned(desk.folder, Scan(found))
        await desk.arrivals.scanned(desk.folder, Scan(found))
        assert (await desk.row("0.wav")).backlog
        assert (await desk.row("51.wav")).backlog

    play(tmp_path, act)


def test_a_forgotten_file_stays_so_when_its_folder_is_watched_for_itself(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        (desk.folder.path / "inner").mkdir()
        path = desk.folder.path / "inner" / "call.wav"
        await desk.transcribed("inner/call.wav")
        await desk.forget.file(path, Wish())
        inner = desk.folder.model_copy(update={"path": path.parent})
        desk.watch(desk.folder, inner)
        seen = look(path)
        assert seen
        await desk.arrivals.scanned(desk.folder, Scan([]))
        await desk.arrivals.scanned(inner, Scan([Found(path, seen)]))
        assert (await desk.row("inner/call.wav")).state is FileState.FORGOTTEN

    play(tmp_path, act)
