from __future__ import annotations

import asyncio
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import structlog

from panotti_daemon.housekeeping import Housekeeping
from panotti_daemon.models.transcript.models import Checkpoint
from panotti_daemon.paths import Paths
from panotti_daemon.settings import LogSettings, Settings
from panotti_daemon.testing import StoppedClock
from tests.unit.intake.desk import Desk, play

CLOCK = StoppedClock()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.from_environment({"PANOTTI_HOME": str(tmp_path / "home")})
    found.create()
    found.transcripts.mkdir()
    found.models.mkdir()
    return found


@pytest.fixture
def housekeeping(paths: Paths) -> Housekeeping:
    return Housekeeping(paths, Settings(log=LogSettings(keep_files=2)), [paths.transcripts], CLOCK, nothing_given_up)


async def nothing_given_up(before: datetime) -> int:
    return 0


def left(path: Path, days_ago: float, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    return aged(path, days_ago)


def aged(path: Path, days_ago: float) -> Path:
    os.utime(path, times=((CLOCK.now() - timedelta(days=days_ago)).timestamp(),) * 2, follow_symlinks=False)
    return path


def test_half_written_transcripts_go_after_a_day(housekeeping: Housekeeping, paths: Paths) -> None:
    stale = left(paths.transcripts / "a" / "b" / ".panotti-0a1b2c3d.tmp", 2)
    fresh = left(paths.transcripts / ".panotti-0a1b2c3e.tmp", 0.1)
    assert housekeeping.sweep() == 10
    assert not stale.exists()
    assert fresh.exists()


@pytest.mark.parametrize(
    "name", [".panotti-notes.tmp", "panotti-0a1b2c3d.tmp", ".panotti-0a1b2c3d.tmp.txt", ".panotti-0A1B2C3D.tmp"]
)
def test_a_name_that_is_merely_alike_is_not_ours(housekeeping: Housekeeping, paths: Paths, name: str) -> None:
    path = left(paths.transcripts / name, 400)
    assert housekeeping.sweep() == 0
    assert path.exists()


def test_nothing_is_removed_in_folders_that_are_no_output_folders(
    housekeeping: Housekeeping, paths: Paths, tmp_path: Path
) -> None:
    path = left(tmp_path / "elsewhere" / ".panotti-0a1b2c3d.tmp", 400)
    assert housekeeping.sweep() == 0
    assert path.exists()


def test_links_are_neither_followed_nor_removed(housekeeping: Housekeeping, paths: Paths, tmp_path: Path) -> None:
    there = left(tmp_path / "elsewhere" / ".panotti-0a1b2c3d.tmp", 400)
    file = paths.transcripts / ".panotti-0a1b2c3e.tmp"
    file.symlink_to(there)
    folder = paths.transcripts / "linked"
    folder.symlink_to(there.parent)
    download = paths.models / ".base.download"
    download.symlink_to(there.parent)
    for link in (file, folder, download):
        aged(link, 400)
    assert housekeeping.sweep() == 0
    assert there.exists()
    assert file.is_symlink()
    assert download.is_symlink()


def test_a_download_goes_once_nobody_has_gone_on_with_it_for_two_weeks(
    housekeeping: Housekeeping, paths: Paths
) -> None:
    given_up = left(paths.models / ".base.download" / ".cache" / "model.bin.incomplete", 15, size=1000)
    wanted = left(paths.models / ".small.download" / ".cache" / "model.bin.incomplete", 13)
    complete = left(paths.models / "medium" / "model.bin", 400)
    for path in (given_up, wanted, complete):
        for folder in (path.parent, path.parent.parent):
            aged(folder, 15)
    assert housekeeping.sweep() == 1000
    assert not (paths.models / ".base.download").exists()
    assert wanted.exists()
    assert complete.exists()


def test_of_the_logs_as_many_are_kept_as_are_to_be(housekeeping: Housekeeping, paths: Paths) -> None:
    names = ("panotti.log", "panotti.log.1", "panotti.log.2", "panotti.log.3", "panotti.log.12", "panotti.log.bak")
    for name in (*names, "other.log.9"):
        left(paths.state / name, 0)
    assert housekeeping.sweep() == 20
    kept = {path.name for path in paths.state.iterdir()}
    assert kept == {"panotti.log", "panotti.log.1", "panotti.log.2", "panotti.log.bak", "other.log.9"}


def test_half_a_runtime_file_goes_after_a_day(housekeeping: Housekeeping, paths: Paths) -> None:
    left(paths.runtime / ".daemon-abc_1234", 2)
    left(paths.runtime / "daemon.json", 2)
    assert housekeeping.sweep() == 10
    assert [path.name for path in paths.runtime.iterdir()] == ["daemon.json"]


def test_what_is_left_of_a_plugin_that_was_being_installed_goes_after_a_day(
    housekeeping: Housekeeping, paths: Paths
) -> None:
    stale, fresh = (paths.plugins / f".staging-{name}" for name in ("0a1b2c3d", "0a1b2c3e"))
    for stage, days_ago in ((stale, 2), (fresh, 0.5)):
        left(stage / "named" / "diary" / "plugin.py", days_ago)
        aged(stage, days_ago)
    housekeeping.sweep()
    assert (stale.exists(), fresh.exists()) == (False, True)


def test_what_was_removed_is_logged_with_its_size(housekeeping: Housekeeping, paths: Paths) -> None:
    left(paths.transcripts / ".panotti-0a1b2c3d.tmp", 2)
    with structlog.testing.capture_logs() as lines:
        housekeeping.sweep()
    (line,) = lines
    assert (line["event"], line["count"], line["bytes"]) == ("leftovers removed", 1, 10)


def test_what_cannot_be_removed_is_logged_and_holds_up_nothing(
    housekeeping: Housekeeping, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = left(paths.transcripts / ".panotti-0a1b2c3d.tmp", 2)
    left(paths.transcripts / ".panotti-0a1b2c3e.tmp", 2)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == stuck:
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with structlog.testing.capture_logs() as lines:
        assert housekeeping.sweep() == 10
    assert [line["log_level"] for line in lines] == ["warning", "info"]


def test_a_model_that_nobody_uses_is_named_and_stays(housekeeping: Housekeeping, paths: Paths) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json"):
        left(paths.models / "base" / name, 400)
    aged(paths.models / "base", 400)
    with structlog.testing.capture_logs() as lines:
        assert housekeeping.sweep() == 0
    assert [line["model"] for line in lines] == ["base"]
    assert (paths.models / "base" / "model.bin").exists()


def test_it_sweeps_as_soon_as_it_is_started_and_ends_when_it_is_stopped(
    housekeeping: Housekeeping, paths: Paths
) -> None:
    stale = left(paths.transcripts / ".panotti-0a1b2c3d.tmp", 2)

    async def scenario() -> None:
        housekeeping.start()
        async with asyncio.timeout(20):
            while stale.exists():
                await asyncio.sleep(0.005)
        await housekeeping.stop()

    asyncio.run(scenario())


def test_what_was_decoded_of_a_recording_that_was_given_up_goes_after_two_weeks(paths: Paths, tmp_path: Path) -> None:
    decoded = Checkpoint(model="tiny.en", language="en", language_probability=0.9, windows=())

    async def act(desk: Desk) -> None:
        cancelled, waiting = await desk.came("cancelled.wav", b"one"), await desk.came("waiting.wav", b"two")
        for row in (cancelled, waiting):
            await desk.store.keep(row.transcript_id or "", decoded)
        async with desk.database.transaction() as transaction:
            await desk.ledger.cancel(transaction, cancelled.recording_id or "", "you cancelled it")

        async def kept_after(days: float) -> list[int]:
            swept = asyncio.Event()

            async def drop(before: datetime) -> int:
                count = await desk.store.drop_given_up(before)
                swept.set()
                return count

            housekeeping = Housekeeping(paths, Settings(), [], StoppedClock(CLOCK.now() + timedelta(days=days)), drop)
            housekeeping.start()
            await swept.wait()
            await housekeeping.stop()
            return [len(await desk.store.checkpoints(row.transcript_id or "")) for row in (cancelled, waiting)]

        assert await kept_after(13) == [1, 1]
        assert await kept_after(15) == [0, 1]

    play(tmp_path, act)
