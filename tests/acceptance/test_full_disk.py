"""The disk of Panotti's own database is full: what is dropped meanwhile is taken in as soon as there is room."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.speech import librivox_sentences


@pytest.fixture
def small_home(tmp_path: Path) -> Iterator[Path]:
    """Of 16 MB; skips where nothing can be mounted."""
    home = tmp_path / "home"
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "panotti-test", str(home)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted")
    yield home
    subprocess.run(["umount", "--lazy", str(home)], check=True)


def test_files_that_arrive_while_the_database_cannot_be_written_are_transcribed_once_there_is_room(
    small_home: Path, panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop, output = tmp_path / "in", tmp_path / "out"
    drop.mkdir()
    growing, new, *_ = librivox_sentences()
    with panotti({"watch": [{"path": str(drop), "output": str(output)}]}) as daemon:
        shutil.copy(growing, drop / "growing.wav")
        daemon.wait_for(drop / "growing.wav", FileState.GROWING)
        _fill(small_home / "filler")
        shutil.copy(new, drop / "new.wav")
        wait_until(lambda: "has to wait" in daemon.output.read_text(), "the database cannot be written")
        (small_home / "filler").unlink()
        for name in ("growing.wav", "new.wav"):
            daemon.wait_for(drop / name, FileState.DONE)


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return
