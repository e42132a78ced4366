"""Cleanup in the real daemon, used as a user would."""

from __future__ import annotations

import json
import shutil
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.speech import SAMPLE


def settings(tmp_path: Path, **policy: Any) -> dict[str, Any]:
    watch = {"path": str(tmp_path / "in"), "output": str(tmp_path / "out"), "settle_seconds": 0.2}
    config = {"folders": {str(tmp_path / "in"): policy}}
    return {"watch": [watch], "plugins": {"cleanup_files": {"enabled": True, "config": config}}}


def test_a_recording_is_archived_inside_the_watched_folder_and_comes_back_and_is_transcribed_once(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    call, archived = tmp_path / "in" / "call.wav", tmp_path / "in" / "archive" / "call.flac"
    policy = {"action": "flac", "archive": str(archived.parent), "after_days": 0}
    home = {"XDG_DATA_HOME": str(tmp_path / "xdg")}
    with panotti(settings(tmp_path, **policy), environment=home) as daemon:
        shutil.copy(SAMPLE, call)
        daemon.wait_for(archived, FileState.ARCHIVED)
        wait_until(lambda: daemon.events("cleanup_files.completed"), "it is told")
        (event,) = daemon.events("cleanup_files.completed")
        assert (event["files"][0]["archived"], event["bytes_in_trash"]) == (str(archived), SAMPLE.stat().st_size)
        daemon.restart()
        assert daemon.explain(archived).state is FileState.ARCHIVED
        assert daemon.explain(call).state is FileState.DONE
        assert f"{archived}" in daemon.explain(call).reason

        undone = daemon.command("cleanup", "undo", call)
        assert undone.stdout == f"back     {call}\n"
        assert call.read_bytes() == SAMPLE.read_bytes()
        assert not archived.exists()
        wait_until(lambda: daemon.explain(call).present, "the ledger sees it")
        assert daemon.explain(call).state is FileState.DONE
        plan = json.loads(daemon.command("cleanup", "plan", "--json").stdout)
        assert plan == {"due": [], "left": [{"path": str(call), "reason": "you took it back"}]}
        (entry,) = json.loads(daemon.command("cleanup", "journal", "--json").stdout)
        assert (entry["step"], entry["restored"]) == ("undone", str(call))
    assert len(daemon.events("transcription_local.completed")) == 1


def test_deletion_is_named_irreversible_and_asked_about(panotti: Callable[..., Panotti], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    call = tmp_path / "in" / "call.wav"
    with panotti(settings(tmp_path, action="delete", after_days=0)) as daemon:
        daemon.command("plugins", "disable", "cleanup_files")
        shutil.copy(SAMPLE, call)
        daemon.wait_for(call, FileState.DONE)
        assert "`panotti plugins enable cleanup_files` switches it on" in daemon.command("cleanup", "plan").stderr
        daemon.command("plugins", "enable", "cleanup_files")
        assert "finished before cleanup was switched on" in daemon.command("cleanup", "plan").stdout
        assert "delete (irreversible)" in daemon.command("cleanup", "plan", "--include-earlier").stdout
        asked = daemon.command("cleanup", "run", "--include-earlier")
        assert "would be deleted, which is irreversible" in asked.stderr
        assert call.exists()
        assert daemon.command("cleanup", "run", "--include-earlier", "--yes").returncode == 0
        assert not call.exists()
        undone = daemon.command("cleanup", "undo")
        assert undone.returncode == 1
        assert "cannot be undone" in undone.stdout


def test_a_daemon_that_is_killed_in_the_middle_sets_it_right_at_its_next_start(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    call = tmp_path / "in" / "call.wav"
    policy = {"action": "opus", "archive": str(tmp_path / "archive"), "after_days": 0}
    home = {"XDG_DATA_HOME": str(tmp_path / "xdg")}
    with panotti(settings(tmp_path, **policy), environment=home) as daemon:
        with call.open("wb") as file:
            _long_recording(file)
        wait_until(lambda: list((tmp_path / "archive").glob(".panotti-*")), "it is being re-encoded")
        daemon.kill()
        assert call.exists()
        daemon.start()
        daemon.wait_for(tmp_path / "archive" / "call.opus", FileState.ARCHIVED)
        wait_until((tmp_path / "xdg/Trash/files/call.wav").exists, "the original is in the trash")
        assert not call.exists()
        assert [path.name for path in (tmp_path / "archive").iterdir()] == ["call.opus"]


def _long_recording(file: BinaryIO) -> None:
    """Speech, and silence that costs no transcription but takes a while to encode."""
    with wave.open(str(SAMPLE)) as sample, wave.open(file, "wb") as long:
        long.setparams(sample.getparams())
        long.writeframes(sample.readframes(sample.getnframes()))
        long.writeframes(bytes(2 * sample.getframerate() * 200))
