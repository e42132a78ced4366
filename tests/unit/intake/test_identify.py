from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from panotti_daemon.clock import SystemClock
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.engine.messages import Probe, ProbeKind
from panotti_daemon.intake import identify
from panotti_daemon.intake.identify import Identify
from panotti_daemon.intake.ledger import Ledger, Seen
from panotti_daemon.intake.observe import look
from panotti_daemon.intake.register import Register
from panotti_daemon.intake.settle import Settled
from panotti_daemon.intake.watcher import Found, Scan
from panotti_daemon.models.database import Database
from panotti_daemon.models.recording.models import FileState
from panotti_daemon.settings import WatchFolder
from tests.unit.core.events.scene import eventually
from tests.unit.intake.desk import Desk, play


class Prober:
    """Meets a file that breaks it in a way nobody foresaw."""

    async def probe(self, paths: Sequence[Path]) -> list[Probe]:
        if any(path.name == "poison.wav" for path in paths):
            raise ZeroDivisionError
        return [Probe(path=path, kind=ProbeKind.NOT_MEDIA, message="it is noise") for path in paths]


class Follower:
    def __init__(self) -> None:
        self.followed: list[Path] = []

    def follow(self, path: Path) -> None:
        self.followed.append(path)

    def is_growing(self, path: Path) -> bool:
        return False


def test_a_file_that_breaks_identification_fails_alone(tmp_path: Path) -> None:
    async def scenario() -> dict[str, tuple[FileState, str]]:
        clock = SystemClock()
        database = await Database.open(tmp_path / "panotti.db", clock.now())
        try:
            ledger = Ledger(clock)
            bus = EventBus(database, clock)
            identifier = Identify(database, ledger, Register(database, ledger, bus, clock), Prober(), clock)
            folder = WatchFolder(path=tmp_path, output=tmp_path)
            paths = [tmp_path / name for name in ("before.wav", "poison.wav", "after.wav")]
            for path in paths:
                path.write_bytes(b"noise")
                seen = look(path)
                assert seen
                async with database.transaction() as transaction:
                    await ledger.see(transaction, [Seen(path, tmp_path, seen)])
                    row = await ledger.get(transaction.connection, path)
                assert row
                identifier.add(Settled(path, seen), folder, row)
            identifier.start(Follower())
            while any(path in identifier for path in paths):
                await asyncio.sleep(0.01)
            await identifier.stop()
            async with database.reading() as connection:
                rows = await ledger.of_folder(connection, tmp_path)
            return {path.name: (row.state, row.reason) for path, row in rows.items()}
        finally:
            await database.close()

    states = asyncio.run(scenario())
    assert states["before.wav"] == states["after.wav"] == (FileState.IGNORED, "it is noise")
    assert states["poison.wav"][0] is FileState.FAILED
    assert "ZeroDivisionError" in states["poison.wav"][1]


def test_a_file_that_breaks_off_in_the_middle_waits_for_the_next_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, stopped: Callable[[], bool]) -> str:
        raise OSError(errno.EIO, "Input/output error")

    async def act(desk: Desk) -> None:
        monkeypatch.setattr(identify, "hash_file", broken)
        row = await desk.seen("call.wav")
        assert row.look
        follower = Follower()
        desk.identify.start(follower)
        desk.identify.add(Settled(row.path, row.look), desk.folder, row)

        async def waits() -> bool:
            return (await desk.row("call.wav")).state is FileState.WAITING

        await eventually(waits)
        await desk.identify.stop()
        assert "cannot be read: Input/output error" in (await desk.row("call.wav")).reason
        assert follower.followed == []

    play(tmp_path, act)


def test_a_track_that_waits_for_its_sibling_is_not_taken_for_one_that_nobody_looks_at(tmp_path: Path) -> None:
    """Or each scan would have it hashed again, and its time would never end."""

    async def act(desk: Desk) -> None:
        row = await desk.seen("call_mic.wav")
        assert row.look
        desk.identify.start(Follower())
        desk.identify.add(Settled(row.path, row.look), desk.folder, row)

        async def waits() -> bool:
            return (await desk.row("call_mic.wav")).state is FileState.WAITING

        await eventually(waits)
        assert row.path in desk.identify
        await desk.arrivals.scanned(desk.folder, Scan([Found(row.path, row.look)]))
        assert not desk.arrivals.is_growing(row.path)
        await desk.identify.stop()

    play(tmp_path, act)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe is what a drive that hangs is played by")
def test_a_vocabulary_on_a_drive_that_hangs_holds_up_neither_the_loop_nor_the_database(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        vocabulary = tmp_path / "terms.txt"
        os.mkfifo(vocabulary)
        desk.folder = desk.folder.model_copy(update={"vocabulary": vocabulary})
        row = await desk.seen("call.wav")
        assert row.look
        desk.identify.start(Follower())
        desk.identify.add(Settled(row.path, row.look), desk.folder, row)

        pipe = -1

        async def is_asked() -> bool:
            nonlocal pipe
            with suppress(OSError):  # nobody reads it yet
                pipe = os.open(vocabulary, os.O_WRONLY | os.O_NONBLOCK)
            return pipe != -1

        await eventually(is_asked)
        await desk.seen("other.wav")
        os.write(pipe, b"Panotti\n")
        os.close(pipe)

        async def is_identified() -> bool:
            return (await desk.row("call.wav")).state is FileState.READY

        await eventually(is_identified)
        await desk.identify.stop()
        transcript = await desk.store.get((await desk.row("call.wav")).transcript_id or "")
        assert transcript.settings.vocabulary == ("Panotti",)

    play(tmp_path, act)
