from __future__ import annotations

import asyncio
import importlib
import threading
from pathlib import Path
from typing import Any

import pytest

from panotti_daemon.intake.forget import Wish
from panotti_daemon.intake.identify import SKIPPED
from panotti_daemon.intake.observe import look
from panotti_daemon.intake.watcher import Found, Scan
from panotti_daemon.models.recording.models import FileState
from tests.unit.core.events.scene import eventually
from tests.unit.intake.desk import Desk, play


class Killed(Exception):
    """The end of the daemon"""


async def _killed(*_: Any) -> None:
    raise Killed


def _files(desk: Desk, count: int) -> list[Found]:
    found = []
    for number in range(count):
        path = desk.folder.path / f"{number}.wav"
        path.write_bytes(b"%d" % number)
        seen = look(path)
        assert seen
        found.append(Found(path, seen))
    return found


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
        await desk.arrivals.scanned(desk.folder, Scan([], unread=frozenset({desk.folder.path / "closed"})))
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
        found = _files(desk, 52)
        with monkeypatch.context() as context:
            context.setattr(desk.ledger, "see", _killed)
            with pytest.raises(Killed):
                await desk.arrivals.scanned(desk.folder, Scan(found))
        await desk.arrivals.scanned(desk.folder, Scan(found))
        assert (await desk.row("0.wav")).backlog
        assert (await desk.row("51.wav")).backlog

    play(tmp_path, act)


@pytest.mark.parametrize(("root", "asks"), [((1, 1), False), ((2, 2), True)])
def test_what_is_found_once_a_drive_is_mounted_was_there_before(
    tmp_path: Path, root: tuple[int, int], asks: bool
) -> None:
    """Other than what comes into a folder that was empty."""

    async def act(desk: Desk) -> None:
        await desk.arrivals.scanned(desk.folder, Scan([], root=(1, 1), is_blank=True))
        await desk.arrivals.scanned(desk.folder, Scan(_files(desk, 52), root=root))
        assert (await desk.row("0.wav")).backlog is asks

    play(tmp_path, act)


def test_a_folder_that_was_empty_is_scanned_for_the_first_time_with_its_first_file(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        await desk.arrivals.scanned(desk.folder, Scan([], root=(1, 1), is_blank=True))
        assert await desk.count("folders") == 0
        (file,) = _files(desk, 1)
        await desk.arrivals.hinted(desk.folder, {file.path})
        assert await desk.count("folders") == 1

    play(tmp_path, act)


def test_a_folder_that_is_empty_may_have_lost_its_drive_and_takes_nothing_back(tmp_path: Path) -> None:
    """Or what the user had forgotten, or said no to, would be transcribed once the drive is back."""

    async def act(desk: Desk) -> None:
        await desk.transcribed("call.wav")
        await desk.forget.file(desk.folder.path / "call.wav", Wish())
        await desk.seen("old.wav", b"two")
        async with desk.database.transaction() as transaction:
            await desk.ledger.set(transaction, desk.folder.path / "old.wav", FileState.IGNORED, SKIPPED)
        await desk.arrivals.scanned(desk.folder, Scan([], is_blank=True))
        assert (await desk.row("call.wav")).state is FileState.FORGOTTEN
        assert (await desk.row("old.wav")).state is FileState.IGNORED

    play(tmp_path, act)


def test_what_had_not_settled_goes_with_the_last_file_of_its_folder(tmp_path: Path) -> None:
    """Should it come back, it is new."""

    async def act(desk: Desk) -> None:
        await desk.seen("new.wav")
        await desk.arrivals.scanned(desk.folder, Scan([], is_blank=True))
        assert await desk.count("ledger") == 0

    play(tmp_path, act)


@pytest.mark.parametrize("step", ["arrivals.look", "arrivals.prove", "identify._can_be_read", "identify.hash_file"])
def test_a_drive_that_hangs_holds_up_nothing_but_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    hangs, answers = threading.Event(), threading.Event()
    part, _, name = step.partition(".")
    module = importlib.import_module(f"panotti_daemon.intake.{part}")
    function = getattr(module, name)

    def slow(path: Path, *rest: Any) -> Any:
        if path.parent == tmp_path / "away":
            hangs.set()
            answers.wait()
        return function(path, *rest)

    async def act(desk: Desk) -> None:
        here = desk.folder.model_copy(update={"settle_seconds": 0})
        away = here.model_copy(update={"path": tmp_path / "away"})
        away.path.mkdir()
        desk.watch(here, away)
        desk.identify.start(desk.arrivals)
        desk.arrivals.start()
        monkeypatch.setattr(module, name, slow)
        for number in range(40):
            (away.path / f"{number}.wav").write_bytes(b"%d" % number)
        far = [Found(path, seen) for path in away.path.iterdir() if (seen := look(path))]
        await desk.arrivals.scanned(away, Scan(far))
        await asyncio.to_thread(hangs.wait)
        near = await desk.seen("call.wav")
        desk.arrivals.follow(near.path)

        async def is_known() -> bool:
            return (await desk.row("call.wav")).state is FileState.READY

        try:
            await eventually(is_known)
        finally:
            answers.set()

        async def are_known() -> bool:
            return await desk.count("recordings") == 41

        await eventually(are_known)
        await desk.arrivals.stop()
        await desk.identify.stop()

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
