from __future__ import annotations

from pathlib import Path

import pytest

from panotti_daemon.engine.gate import Gate, JobEnded
from panotti_daemon.engine.messages import Progress, Track
from panotti_daemon.engine.meter import Meter
from panotti_daemon.engine.speech.hearing import UNDETERMINED, Hearing
from panotti_daemon.models.transcript.models import DecodedWindow, Segment
from tests.speech import SAMPLE, ffmpeg, librivox_clip

LATE_SECONDS = 30


@pytest.fixture
def late(tmp_path: Path) -> Path:
    """The sample between two long silences."""
    path = tmp_path / "late.wav"
    ffmpeg("-i", SAMPLE, "-af", f"adelay={LATE_SECONDS}s:all=1,apad=pad_dur=40", path)
    return path


def hearing(*tracks: Track, gate: Gate | None = None, told: list[Progress] | None = None) -> Hearing:
    gate = gate or Gate()
    meter = Meter(100.0, "tiny.en", told.append if told is not None else lambda _: None)
    return Hearing(tracks, noise_reduction=False, gate=gate, meter=meter)


def decoded(track: int, *segments: tuple[float, float, str, str | None]) -> DecodedWindow:
    return DecodedWindow(
        track=track,
        start=0,
        end=1,
        segments=tuple(
            Segment(
                start=start,
                end=end,
                text=text,
                track=label,
                avg_logprob=-0.1,
                no_speech_prob=0.0,
                compression_ratio=1.0,
            )
            for start, end, text, label in segments
        ),
        transcribed_seconds=sum(end - start for start, end, *_ in segments),
        again=track == 0,
        suspect=track == 1,
    )


def test_speech_is_found_where_it_is_on_the_recordings_clock(late: Path) -> None:
    heard = hearing(track := Track(path=late))
    found = list(heard.windows(track))
    assert LATE_SECONDS < found[0].window.stretches[0].start / 16_000 < LATE_SECONDS + 1
    assert sum(timed.seconds for timed in found) == found[-1].window.end / 16_000
    result = heard.transcription([], "tiny.en", "en", 0.98765)
    assert result.duration == pytest.approx(LATE_SECONDS + 18.685 + 40, abs=0.1)
    assert 15 < result.speech_seconds < 19
    assert (result.language, result.language_probability) == ("en", 0.988)


def test_what_a_track_hears_of_another_has_windows_of_its_own(tmp_path: Path) -> None:
    """The second side begins when the first one has ended, and is heard on both tracks."""
    mine, system, microphone = (tmp_path / name for name in ("mine.wav", "system.wav", "microphone.wav"))
    librivox_clip(mine)
    ffmpeg("-i", SAMPLE, "-af", "adelay=28s:all=1", system)
    heard = "[1]volume=-18dB,adelay=100[heard];[0][heard]amix=duration=longest:normalize=0"
    ffmpeg("-i", mine, "-i", system, "-filter_complex", heard, "-ar", "16000", microphone)
    tracks = [Track(path=microphone, label="microphone"), Track(path=system, label="system")]
    heard_on = hearing(*tracks)
    first, second = (list(heard_on.windows(track)) for track in tracks)
    for timed in first:
        (foreign,) = {stretch.foreign for stretch in timed.window.stretches}
        ends = [edge / 16_000 for stretch in timed.window.stretches for edge in (stretch.start, stretch.end)]
        assert min(ends) > 27 if foreign else max(ends) < 29
    assert {stretch.foreign for timed in first for stretch in timed.window.stretches} == {False, True}
    assert not any(stretch.foreign for timed in second for stretch in timed.window.stretches)
    assert sum(timed.seconds for timed in first) == max(timed.window.end for timed in first) / 16_000


def test_a_recording_without_speech_has_no_language(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "5", tmp_path / "silence.wav")
    told: list[Progress] = []
    heard = hearing(track := Track(path=tmp_path / "silence.wav"), told=told)
    assert list(heard.windows(track)) == []
    result = heard.transcription([], "tiny.en", "en", 1.0)
    assert (result.language, result.language_probability, result.duration) == (UNDETERMINED, 0.0, 5.0)
    assert [progress.fraction for progress in told] == [0.05]


def test_segments_of_all_tracks_come_in_their_order_and_windows_are_counted() -> None:
    tracks = [Track(path=SAMPLE, label="microphone"), Track(path=SAMPLE, label="system")]
    heard = hearing(*tracks)
    for track in tracks:
        assert list(heard.windows(track))
    said = [(5.0, 6.0, "Later.", "microphone"), (0.0, 1.0, "First.", "microphone")]
    result = heard.transcription([decoded(0, *said), decoded(1, (2.0, 4.0, "Second.", "system"))], "tiny.en", "en", 1.0)
    assert [segment.text for segment in result.segments] == ["First.", "Second.", "Later."]
    assert result.coverage.model_dump() == {
        "transcribed_seconds": 4.0,
        "windows": 2,
        "decoded_again": 1,
        "suspect": 1,
    }


def test_a_window_that_was_decoded_before_a_track_got_another_name_has_the_new_one() -> None:
    heard = hearing(*(tracks := [Track(path=SAMPLE, label="host"), Track(path=SAMPLE, label="guest")]))
    for track in tracks:
        assert list(heard.windows(track))
    windows = [decoded(0, (0.0, 1.0, "Hello.", "microphone")), decoded(1, (2.0, 3.0, "Yes?", "system"))]
    result = heard.transcription(windows, "tiny.en", "en", 1.0)
    assert [(segment.track, segment.text) for segment in result.segments] == [("host", "Hello."), ("guest", "Yes?")]


def test_reading_ends_with_the_job() -> None:
    gate = Gate()
    gate.end()
    with pytest.raises(JobEnded):
        list(hearing(track := Track(path=SAMPLE), gate=gate).windows(track))
