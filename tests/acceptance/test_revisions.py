"""Files that change, move or go, before, while and after they are transcribed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.speech import librivox_clip
from tests.watching import completions, decodings, memo, wait_for_work, watch


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    return tmp_path / "in"


@pytest.fixture
def daemon(panotti: Callable[..., Panotti], drop: Path) -> Panotti:
    """With one worker, so that a pause holds what has several windows."""
    return panotti({"watch": [watch(drop, formats=["txt", "json"])], "engine": {"workers": 1}})


def test_a_file_that_changes_after_it_is_done_gets_a_new_revision_in_the_place_of_the_old(
    daemon: Panotti, drop: Path
) -> None:
    with daemon:
        source = memo(drop / "memo.wav")
        first = daemon.wait_for(source, FileState.DONE)
        librivox_clip(source)
        wait_until(lambda: daemon.explain(source).recording_id != first.recording_id, "the change is seen")
        second = daemon.wait_for(source, FileState.DONE)
        assert second.recording_id
        assert daemon.recording(second.recording_id).revision_of == first.recording_id
        assert daemon.outputs() == {"memo.txt", "memo.json"}
        assert len((daemon.transcripts / "memo.txt").read_text()) > 200

        (daemon.transcripts / "memo.txt").write_text("my own words")
        memo(source, 1)
        wait_until(lambda: daemon.explain(source).recording_id != second.recording_id, "the change is seen")
        daemon.wait_for(source, FileState.DONE)
        assert (daemon.transcripts / "memo.txt").read_text() == "my own words"
        assert {"memo (2).txt", "memo (2).json"} <= daemon.outputs()
    assert decodings(daemon) == 3


def test_of_a_file_that_is_replaced_while_it_is_transcribed_the_final_content_is_transcribed_once(
    daemon: Panotti, drop: Path
) -> None:
    with daemon:
        source = drop / "call.wav"
        librivox_clip(source, times=4)
        wait_for_work(daemon, "call")
        memo(drop.parent / "final.wav").rename(source)
        daemon.wait_for(source, FileState.DONE)
        assert len((daemon.transcripts / "call.txt").read_text()) < 100
        assert daemon.outputs() == {"call.txt", "call.json"}
    assert completions(daemon) == ["call"]


def test_a_file_that_is_merely_touched_is_not_decoded_again(daemon: Panotti, drop: Path) -> None:
    with daemon:
        source = memo(drop / "memo.wav")
        done = daemon.wait_for(source, FileState.DONE)
        os.utime(source)
        wait_until(lambda: daemon.explain(source).updated_at != done.updated_at, "the touch is seen")
        daemon.wait_for(source, FileState.DONE)
        assert daemon.outputs() == {"memo.txt", "memo.json"}
    assert decodings(daemon) == 1


def test_a_file_renamed_while_it_waits_or_is_transcribed_is_transcribed_once_under_its_new_name(
    daemon: Panotti, drop: Path
) -> None:
    with daemon:
        daemon.post("/pause", {})
        waiting = memo(drop / "waiting.wav")
        daemon.wait_for(waiting, FileState.READY)
        waited = waiting.rename(drop / "waited.wav")
        daemon.wait_for(waited, FileState.READY)
        daemon.post("/resume")
        daemon.wait_for(waited, FileState.DONE)
        assert daemon.outputs() == {"waited.txt", "waited.json"}

        running = drop / "running.wav"
        librivox_clip(running, times=3)
        wait_for_work(daemon, "running")
        daemon.post("/pause", {})
        ran = running.rename(drop / "ran.wav")
        wait_until(lambda: daemon.explain(ran).recording_id, "the new name is known")
        daemon.post("/resume")
        daemon.wait_for(ran, FileState.DONE)
        assert daemon.outputs() == {"waited.txt", "waited.json", "ran.txt", "ran.json"}
    assert len(completions(daemon)) == 2
    assert decodings(daemon) == 2


def test_a_file_deleted_before_its_turn_says_so_and_is_transcribed_when_it_is_back(daemon: Panotti, drop: Path) -> None:
    with daemon:
        daemon.post("/pause", {})
        source = memo(drop / "memo.wav")
        daemon.wait_for(source, FileState.READY)
        kept = source.rename(drop.parent / "memo.wav")
        daemon.post("/resume")
        entry = daemon.wait_for(source, FileState.CANCELLED)
        assert "deleted before it could be transcribed" in entry.reason
        assert not entry.present
        assert "gone" in daemon.command("explain", source).stdout
        kept.rename(source)
        daemon.wait_for(source, FileState.DONE)
    assert decodings(daemon) == 1


def test_when_the_original_of_a_copy_changes_before_its_turn_both_contents_are_transcribed(
    daemon: Panotti, drop: Path
) -> None:
    with daemon:
        daemon.post("/pause", {})
        original = memo(drop / "original.wav")
        first = daemon.wait_for(original, FileState.READY)
        copy = memo(drop / "copy.wav")
        daemon.wait_for(copy, FileState.DUPLICATE)
        memo(original, 1)
        wait_until(lambda: daemon.explain(original).recording_id != first.recording_id, "the change is seen")
        daemon.post("/resume")
        for path in (original, copy):
            daemon.wait_for(path, FileState.DONE)
        assert daemon.outputs() == {f"{name}.{suffix}" for name in ("original", "copy") for suffix in ("txt", "json")}
    assert decodings(daemon) == 2


def test_when_the_original_of_a_copy_changes_after_it_is_done_the_copy_keeps_a_transcript(
    daemon: Panotti, drop: Path
) -> None:
    with daemon:
        original = memo(drop / "original.wav")
        first = daemon.wait_for(original, FileState.DONE)
        text = (daemon.transcripts / "original.txt").read_text()
        copy = memo(drop / "copy.wav")
        daemon.wait_for(copy, FileState.DUPLICATE)
        librivox_clip(original)
        wait_until(lambda: daemon.explain(original).recording_id != first.recording_id, "the change is seen")
        daemon.wait_for(original, FileState.DONE)
        wait_until(lambda: {"copy.txt", "copy.json"} <= daemon.outputs(), "the copy has outputs of its own")
        assert daemon.wait_for(copy, FileState.DONE).recording_id == first.recording_id
        assert (daemon.transcripts / "copy.txt").read_text() == text
        assert daemon.outputs() == {f"{name}.{suffix}" for name in ("original", "copy") for suffix in ("txt", "json")}
    assert decodings(daemon) == 2


def test_a_change_that_had_not_settled_when_the_daemon_ended_is_taken_up_at_the_next_start(
    panotti: Callable[..., Panotti], drop: Path
) -> None:
    daemon = panotti({"watch": [watch(drop, settle_seconds=2)]})
    with daemon:
        source = memo(drop / "memo.wav")
        first = daemon.wait_for(source, FileState.DONE)
        memo(source, 1)
        daemon.wait_for(source, FileState.GROWING)
    with daemon:
        second = daemon.wait_for(source, FileState.DONE)
        assert second.recording_id != first.recording_id
    assert decodings(daemon) == 2
