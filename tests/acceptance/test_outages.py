"""The drive for the transcripts is full, or gone: nothing is lost, nothing is decoded twice."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.watching import completions, decodings, memo, watch


@pytest.fixture
def small_drive(tmp_path: Path) -> Iterator[Path]:
    """Of 64 KB; skips where nothing can be mounted."""
    drive = tmp_path / "drive"
    drive.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "panotti-test", str(drive)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted: {mounted.stderr.strip()}")
    yield drive
    subprocess.run(["umount", "--lazy", str(drive)], check=True)


def test_while_the_output_folder_is_gone_its_transcripts_wait_for_it(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop, output = tmp_path / "in", tmp_path / "out"
    daemon = panotti({"watch": [watch(drop, output=output)]})
    with daemon:
        output.rename(tmp_path / "away")
        asked = memo(drop / "asked.wav", 1)
        by_itself = memo(drop / "by itself.wav", 2)
        for path in (asked, by_itself):
            entry = daemon.wait_for(path, FileState.WAITING)
            assert f"{output} is not there; is its drive connected?" in entry.reason
        assert any(str(output) in problem for problem in daemon.status().problems)
    with daemon:
        (tmp_path / "away").rename(output)
        assert daemon.command("retry", asked).returncode == 0  # it may be trying again by itself just then
        for path in (asked, by_itself):
            daemon.wait_for(path, FileState.DONE)
        assert len(list(output.iterdir())) == 6
    assert decodings(daemon) == 2
    assert sorted(completions(daemon)) == ["asked", "by itself"]


def test_while_the_output_drive_is_full_its_transcripts_wait_for_room(
    panotti: Callable[..., Panotti], tmp_path: Path, small_drive: Path
) -> None:
    drop = tmp_path / "in"
    daemon = panotti({"watch": [watch(drop, output=small_drive)]})
    filler = small_drive / "filler"
    with daemon:
        filler.write_bytes(bytes(64 * 1024))
        source = memo(drop / "memo.wav")
        assert "The disk is full: make room there" in daemon.wait_for(source, FileState.WAITING).reason
        assert list(small_drive.iterdir()) == [filler]

        cancelled = memo(drop / "cancelled.wav", 1)
        daemon.wait_for(cancelled, FileState.WAITING)
        assert "Cancelled" in daemon.command("cancel", cancelled).stdout
        assert daemon.explain(cancelled).state is FileState.CANCELLED

        filler.unlink()
        daemon.command("retry")
        daemon.wait_for(source, FileState.DONE)
        assert {path.name for path in small_drive.iterdir()} == {"memo.txt", "memo.srt", "memo.json"}
        daemon.command("retry", cancelled)
        daemon.wait_for(cancelled, FileState.DONE)
        wait_until(lambda: not daemon.status().problems, "nothing is wrong any more")
    assert decodings(daemon) == 2
    assert completions(daemon) == ["memo", "cancelled"]
