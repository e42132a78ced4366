"""Years of recordings in a folder that is watched for the first time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.watching import completions, decodings, silence, watch

DAY = 86_400
NOW = 1_700_000_000


def old_recordings(folder: Path, count: int) -> list[Path]:
    """The newest first; their names say nothing of their age."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for age in range(count):
        path = silence(folder / f"{age * 7 % count}-{age}.wav", age)
        os.utime(path, (NOW - age * DAY, NOW - age * DAY))
        made.append(path)
    return made


def test_a_backlog_goes_newest_first_and_after_everything_that_arrives(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop, new = tmp_path / "in", tmp_path / "new"
    daemon = panotti({"watch": [watch(drop, formats=["txt"]), watch(new, formats=["txt"])]})
    old = old_recordings(drop, 5)
    with daemon:
        daemon.post("/pause", {})
    with daemon:
        for path in old:
            daemon.wait_for(path, FileState.READY, FileState.NO_SPEECH)
        finished = [path for path in old if daemon.explain(path).state is FileState.NO_SPEECH]
        arrived = silence(new / "arrived.wav", 100)
        daemon.wait_for(arrived, FileState.READY)
        daemon.post("/resume")
        for path in (*old, arrived):
            daemon.wait_for(path, FileState.NO_SPEECH)
    waited = [path.stem for path in old if path not in finished]
    assert completions(daemon) == [*(path.stem for path in finished), "arrived", *waited]


def test_a_large_backlog_waits_for_a_yes_says_how_long_it_is_and_survives_a_restart(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop = tmp_path / "in"
    daemon = panotti({"watch": [watch(drop, formats=["txt"])], "backlog_limit": 3})
    old = old_recordings(drop, 5)
    with daemon:
        for path in old:
            assert "panotti backlog --yes" in daemon.wait_for(path, FileState.WAITING).reason
        arrived = silence(drop / "arrived.wav", 100)
        daemon.wait_for(arrived, FileState.NO_SPEECH)
    with daemon:
        (asked,) = daemon.status().backlog
        assert (asked.folder, asked.files) == (str(drop), 5)
        assert 5 <= asked.audio_seconds < 6
        assert asked.estimated_seconds > 0
        assert f"5 files in {drop} were there before Panotti" in daemon.command("backlog").stdout

        assert "next" in daemon.command("now", old[2]).stdout
        daemon.wait_for(old[2], FileState.NO_SPEECH)
        assert daemon.status().backlog[0].files == 4
        assert decodings(daemon) == 2

        assert "4 files will be transcribed" in daemon.command("backlog", "--yes").stdout
        for path in old:
            daemon.wait_for(path, FileState.NO_SPEECH)
        assert daemon.status().backlog == []
        assert daemon.command("backlog").stdout == "No files wait for a yes.\n"
    assert completions(daemon) == ["arrived", *(old[age].stem for age in (2, 0, 1, 3, 4))]


def test_a_backlog_that_is_skipped_is_left_alone_but_for_what_a_person_asks_for(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop = tmp_path / "in"
    daemon = panotti({"watch": [watch(drop, formats=["txt"])], "backlog_limit": 3})
    old = old_recordings(drop, 4)
    with daemon:
        wait_until(lambda: daemon.status().backlog and daemon.status().backlog[0].files == 4, "the backlog is counted")
        assert "4 files will be left alone" in daemon.command("backlog", "--skip").stdout
    with daemon:
        for path in old:
            assert "you chose to leave such files alone" in daemon.wait_for(path, FileState.IGNORED).reason
        assert daemon.command("retry", old[3]).returncode == 0
        daemon.wait_for(old[3], FileState.NO_SPEECH)
        silence(old[1], 50)
        daemon.wait_for(old[1], FileState.NO_SPEECH)
        assert daemon.explain(old[0]).state is FileState.IGNORED
    assert decodings(daemon) == 2
