"""Several files that are one conversation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.speech import ffmpeg, librivox_sentences, speak
from tests.watching import completions, memo, watch


def answer(target: Path) -> Path:
    """Writes another sentence than `memo` does, for two tracks with the same sound are taken for one."""
    _, second, *_ = sorted(librivox_sentences(), key=lambda path: path.stat().st_size)
    shutil.copyfile(second, target)
    return target


def test_two_tracks_are_one_recording_with_both_labels_in_its_transcript(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop = tmp_path / "in"
    daemon = panotti({"watch": [watch(drop, speakers={"microphone": "Anna"})]})
    with daemon:
        microphone = memo(drop / "standup_mic.wav", 1)
        entry = daemon.wait_for(microphone, FileState.WAITING)
        assert "other track (system)" in entry.reason
        system = answer(drop / "standup_system_audio.wav")
        entries = [daemon.wait_for(path, FileState.DONE) for path in (microphone, system)]
        assert len({entry.recording_id for entry in entries}) == 1
        assert daemon.outputs() == {"standup.txt", "standup.srt", "standup.json"}
        document = json.loads((daemon.transcripts / "standup.json").read_text())
        labels = {"microphone": "Anna", "system": "System"}
        assert document["speaker_labels"] == labels
        assert {segment["track"] for segment in document["segments"]} == set(labels)
        for name in ("standup.txt", "standup.srt"):
            text = (daemon.transcripts / name).read_text()
            assert all(f"{label}: " in text for label in labels.values())
        served = daemon.request("GET", f"/recordings/{document['recording_id']}/transcript.txt").text
        assert served == (daemon.transcripts / "standup.txt").read_text()
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
        guest = answer(drop / "interview-guest.wav")
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


def test_the_channels_of_one_file_are_tracks_where_the_folder_says_so(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop = tmp_path / "in"
    split = {"microphone": "channel 1", "system": "channel 2"}
    daemon = panotti({"watch": [watch(drop, split=split)]})
    ((_, asked),) = speak(tmp_path / "asks.wav", ["Did you bring the documents?"], voice="slt", seconds_between=4)
    speak(tmp_path / "answers.wav", ["All of them are on the table."], voice="rms")
    later = f"[1:a]adelay={round(1000 * asked) + 400}[later];[0:a][later]join=inputs=2[call]"
    sides = ("-i", tmp_path / "asks.wav", "-i", tmp_path / "answers.wav")
    ffmpeg(*sides, "-filter_complex", later, "-map", "[call]", tmp_path / "call.flac")
    with daemon:
        (tmp_path / "call.flac").rename(drop / "call.flac")
        daemon.wait_for(drop / "call.flac", FileState.DONE)
        document = json.loads((daemon.transcripts / "call.json").read_text())
        said = [(segment["track"], "documents" in segment["text"]) for segment in document["segments"]]
        assert said == [("microphone", True), ("system", False)]
        first, second = document["segments"]
        assert first["end"] <= second["start"] + 0.3
        assert second["start"] > asked
        assert document["settings"]["split"] == split
        text = (daemon.transcripts / "call.txt").read_text().splitlines()
        assert [line.split(":")[0] for line in text if line] == ["Microphone", "System"]
    (completed,) = daemon.events("transcription_local.completed")
    assert completed["transcription"]["speaker_labels"] == {"microphone": "Microphone", "system": "System"}


def test_a_folder_can_ask_for_words_and_a_vocabulary_of_its_own(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop = tmp_path / "in"
    (tmp_path / "names.txt").write_text("Szymborska\n\nPanotti\n", encoding="utf-8")
    daemon = panotti({"watch": [watch(drop, words=True, vocabulary=str(tmp_path / "names.txt"))]})
    with daemon:
        memo(drop / "call.wav")
        daemon.wait_for(drop / "call.wav", FileState.DONE)
        document = json.loads((daemon.transcripts / "call.json").read_text())
        assert document["settings"]["vocabulary"] == ["Szymborska", "Panotti"]
        assert document["settings"]["words"] is True
        for segment in document["segments"]:
            assert "".join(word["text"] for word in segment["words"]).strip() == segment["text"]
