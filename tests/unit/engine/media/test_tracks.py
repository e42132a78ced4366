from __future__ import annotations

from pathlib import Path

import pytest

from panotti_daemon.engine.media.tracks import worth_hearing
from panotti_daemon.engine.messages import Track
from tests.speech import SAMPLE, ffmpeg, librivox_clip


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a voice of its own on each channel."""
    folder = tmp_path_factory.mktemp("call")
    librivox_clip(folder / "other.wav")
    both = "[0:a][1:a]amerge=inputs=2[both]"
    ffmpeg("-i", SAMPLE, "-i", folder / "other.wav", "-filter_complex", both, "-map", "[both]", folder / "call.wav")
    return folder / "call.wav"


def split(path: Path) -> list[Track]:
    return [Track(path=path, label="microphone", channel=0), Track(path=path, label="system", channel=1)]


def test_two_voices_are_two_tracks(call: Path) -> None:
    tracks = split(call)
    assert worth_hearing(tracks, pytest.fail) == tracks


def test_a_file_without_the_channel_of_a_track_is_transcribed_as_a_whole() -> None:
    said: list[str] = []
    assert worth_hearing(split(SAMPLE), said.append) == [Track(path=SAMPLE)]
    assert said == ["The file has no channel 2 for the track 'system': it was transcribed as a whole"]


def test_a_file_without_the_stream_of_a_track_is_transcribed_as_a_whole(call: Path) -> None:
    said: list[str] = []
    streams = [Track(path=call, label="microphone", stream=0), Track(path=call, label="system", stream=1)]
    assert worth_hearing(streams, said.append) == [Track(path=call)]
    assert said == ["The file has no stream 2 for the track 'system': it was transcribed as a whole"]


def test_the_same_sound_on_both_channels_is_transcribed_once_and_nobody_is_named(tmp_path: Path) -> None:
    ffmpeg("-i", SAMPLE, "-ac", "2", tmp_path / "stereo.wav")
    said: list[str] = []
    assert worth_hearing(split(tmp_path / "stereo.wav"), said.append) == [
        Track(path=tmp_path / "stereo.wav", channel=0)
    ]
    assert said == ["Microphone and System carry the same sound; it was transcribed once"]


def test_the_same_sound_in_two_files_is_transcribed_once(tmp_path: Path) -> None:
    ffmpeg("-i", SAMPLE, "-af", "volume=-6dB,adelay=200", tmp_path / "later.wav")
    tracks = [Track(path=SAMPLE, label="microphone"), Track(path=tmp_path / "later.wav", label="system")]
    assert worth_hearing(tracks, lambda _: None) == [Track(path=SAMPLE)]
