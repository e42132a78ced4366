"""Several files that are one conversation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.watching import completions, memo, watch


def test_two_tracks_are_one_recording_with_both_labels_in_its_transcript(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop = tmp_path / "in"
    daemon = panotti({"watch": [watch(drop)]})
    with daemon:
        microphone = memo(drop / "standup_mic.wav", 1)
        entry = daemon.wait_for(microphone, FileState.WAITING)
        assert "other track (system)" in entry.reason
        system = memo(drop / "standup_system_audio.wav", 2)
        entries = [daemon.wait_for(path, FileState.DONE) for path in (microphone, system)]
        assert len({entry.recording_id for entry in entries}) == 1
        assert daemon.outputs() == {"standup.txt", "standup.srt", "standup.json"}
        document = json.loads((daemon.transcripts / "standup.json").read_text())
        labels = {"microphone": "Microphone", "system": "System"}
        assert document["speaker_labels"] == labels
        assert {segment["track"] for segment in document["segments"]} == set(labels)
        text = (daemon.transcripts / "standup.txt").read_text()
        assert all(label in text for label in labels.values())
    (completed,) = daemon.events("transcription_local.completed")
    assert completed["transcription"]["speaker_labels"] == labels


def test_a_track_that_comes_after_the_grace_time_makes_a_new_revision_with_both(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop = tmp_path / "in"
    patterns = {"host": "*-host.*", "guest": "*-guest.*"}
    daemon = panotti({"watch": [watch(drop, tracks=patterns, track_grace_seconds=0.5, formats=["txt"])]})
    with daemon:
        host = memo(drop / "interview-host.wav", 1)
        alone = daemon.wait_for(host, FileState.DONE)
        guest = memo(drop / "interview-guest.wav", 2)
        daemon.wait_for(guest, FileState.DONE)
        both = daemon.wait_for(host, FileState.DONE)
        assert both.recording_id
        assert both.recording_id == daemon.explain(guest).recording_id
        recording = daemon.recording(both.recording_id)
        assert (recording.revision, recording.revision_of) == (2, alone.recording_id)
        assert [track.label for track in recording.tracks] == ["host", "guest"]
        text = (daemon.transcripts / "interview.txt").read_text()
        assert "Host" in text
        assert "Guest" in text
        assert daemon.outputs() == {"interview.txt"}
    assert len(completions(daemon)) == 2


def test_a_track_whose_sibling_goes_before_their_turn_is_a_recording_without_it(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop = tmp_path / "in"
    daemon = panotti({"watch": [watch(drop, track_grace_seconds=0.5, formats=["txt"])]})
    with daemon:
        daemon.post("/pause", {})
        microphone, system = memo(drop / "call_mic.wav", 1), memo(drop / "call_system_audio.wav", 2)
        for path in (microphone, system):
            daemon.wait_for(path, FileState.READY)
        system.unlink()
        wait_until(lambda: not daemon.explain(system).present, "the track is seen to be gone")
        daemon.post("/resume")
        daemon.wait_for(microphone, FileState.DONE)
        assert daemon.explain(system).state is FileState.CANCELLED
        assert daemon.outputs() == {"call_mic.txt"}
