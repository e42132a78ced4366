"""A database that cannot be used: refused or replaced, never destroyed, and nothing is decoded twice for it."""

from __future__ import annotations

import random
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti
from tests.watching import decodings, memo, watch


def overwritten(database: Path) -> None:
    """One page of it, which nothing reads at the start."""
    with closing(sqlite3.connect(database)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'segments'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(random.Random(3).randbytes(size))


def truncated(database: Path) -> None:
    with database.open("r+b") as file:
        file.truncate(database.stat().st_size // 2 + 100)


def something_else(database: Path) -> None:
    database.write_text("Dear diary, " * 1000)


def run_in_vain(daemon: Panotti) -> subprocess.CompletedProcess[str]:
    return daemon.command("run", "--no-tray", "--port", "0")


def test_a_database_of_a_newer_version_is_refused_in_a_line(panotti: Callable[..., Panotti]) -> None:
    daemon = panotti()
    with daemon:
        pass
    with closing(sqlite3.connect(daemon.paths.database)) as connection:
        connection.execute("PRAGMA user_version = 999")
    before = daemon.paths.database.read_bytes()
    refused = run_in_vain(daemon)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "written by a newer Panotti" in refused.stderr
    assert daemon.paths.database.read_bytes() == before


def test_a_damaged_database_is_kept_and_rebuilt_from_the_transcripts_on_disk(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop = tmp_path / "in"
    daemon = panotti({"watch": [watch(drop)]})
    with daemon:
        sources = [memo(drop / "as written.wav", 1), memo(drop / "edited.wav", 2)]
        tracks = [memo(drop / "call_mic.wav", 3), memo(drop / "call_system_audio.wav", 4)]
        for path in (*sources, *tracks):
            daemon.wait_for(path, FileState.DONE)
    outputs = daemon.outputs()
    edited = daemon.transcripts / "edited.txt"
    edited.write_text("my own words")
    decoded = decodings(daemon)
    daemon.configure({"watch": [watch(drop)], "backlog_limit": 0})
    for damage in (overwritten, truncated, something_else):
        damage(daemon.paths.database)
        damaged = daemon.paths.database.read_bytes()
        with daemon:
            for path in (*sources, *tracks):
                daemon.wait_for(path, FileState.DONE)
            (problem,) = daemon.status().problems
            assert "damaged" in problem
            assert "could not be brought back" in problem
            kept = next(path for path in daemon.paths.data.glob("*damaged*.db") if str(path) in problem)
            assert kept.read_bytes() == damaged
        assert daemon.outputs() == outputs
        assert edited.read_text() == "my own words"
        assert decodings(daemon) == decoded
        for path in daemon.paths.data.glob("*damaged*"):
            path.unlink()


@pytest.mark.parametrize("size", [0, 100])
def test_a_database_cut_down_to_nothing_does_not_keep_the_daemon_from_starting(
    panotti: Callable[..., Panotti], size: int
) -> None:
    daemon = panotti()
    with daemon:
        pass
    with daemon.paths.database.open("r+b") as file:
        file.truncate(size)
    with daemon:
        assert daemon.status().pid
