from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.media.audio import SAMPLE_RATE, decode
from panotti_daemon.engine.messages import Progress, Track
from panotti_daemon.engine.models.store import ResolvedModel, resolve
from panotti_daemon.engine.speech.hearing import UNDETERMINED
from panotti_daemon.engine.speech.windows import WINDOW_SAMPLES
from panotti_daemon.engine.whisper.job import batches
from panotti_daemon.engine.whisper.transcriber import Transcriber
from panotti_daemon.errors import MediaError, ModelUnavailable, SourceUnavailable
from panotti_daemon.models.transcript.models import Coverage, RequestedSettings, Transcription
from tests.speech import SAMPLE, SAMPLE_SECONDS, SAMPLE_TEXT, ffmpeg, librivox_clip, librivox_sentences, word_error_rate

Transcribe = Callable[..., Transcription]


@pytest.fixture(scope="module")
def transcribe(tmp_path_factory: pytest.TempPathFactory) -> Transcribe:
    model = resolve("tiny.en", tmp_path_factory.mktemp("models"), download=False)
    transcriber = Transcriber(model, workers=2)

    def transcribe(
        *tracks: Path | tuple[Path, str], language: str = "auto", tell: Callable[[Progress], None] = lambda _: None
    ) -> Transcription:
        labelled = [
            Track(path=track[0], label=track[1]) if isinstance(track, tuple) else Track(path=track) for track in tracks
        ]
        return transcriber.transcribe(labelled, RequestedSettings(language=language), gate=Gate(), tell=tell)

    return transcribe


def heard(transcription: Transcription) -> str:
    return " ".join(segment.text for segment in transcription.segments)


def write_wav(path: Path, samples: NDArray[np.float64]) -> Path:
    raw = path.with_suffix(".raw")
    raw.write_bytes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    ffmpeg("-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", "-i", raw, path)
    return path


def test_recorded_sentences_are_understood(transcribe: Transcribe) -> None:
    sentences = librivox_sentences()
    assert len(sentences) == 5
    results = [heard(transcribe(path)) for path in sentences]
    assert word_error_rate(" ".join(sentences.values()), " ".join(results)) <= 0.15


def test_a_longer_recording_loses_no_words_at_the_edges_of_windows(transcribe: Transcribe, tmp_path: Path) -> None:
    clip = tmp_path / "clip.wav"
    spoken = librivox_clip(clip, times=3)
    result = transcribe(clip)
    assert word_error_rate(spoken, heard(result)) <= 0.08
    assert all(before.start <= after.start for before, after in pairwise(result.segments))
    assert all(segment.start < segment.end <= result.duration for segment in result.segments)


def test_the_sample_is_understood_in_every_word(transcribe: Transcribe) -> None:
    result = transcribe(SAMPLE)
    assert word_error_rate(SAMPLE_TEXT, heard(result)) == 0
    assert len(result.segments) >= 4
    assert result.duration == pytest.approx(SAMPLE_SECONDS, abs=0.01)
    assert 14 < result.speech_seconds < SAMPLE_SECONDS
    assert (result.language, result.model, result.incomplete, result.warnings) == ("en", "tiny.en", False, ())
    assert set(result.versions) == {"faster_whisper", "ctranslate2"}


def test_times_are_those_of_the_recording_and_not_of_its_speech(transcribe: Transcribe, tmp_path: Path) -> None:
    late = tmp_path / "late.wav"
    ffmpeg("-i", SAMPLE, "-af", "adelay=60000:all=1", late)
    early, delayed = transcribe(SAMPLE), transcribe(late)
    assert [segment.text for segment in delayed.segments] == [segment.text for segment in early.segments]
    for before, after in zip(early.segments, delayed.segments, strict=True):
        assert after.start - before.start == pytest.approx(60, abs=0.5)


@pytest.mark.parametrize("hiss", [0.0, 0.002])
def test_a_long_silent_tail_changes_nothing(transcribe: Transcribe, hiss: float, tmp_path: Path) -> None:
    speech = np.concatenate(list(decode(SAMPLE, lambda _: None))).astype(np.float64)
    noise = np.random.default_rng(8).normal(0, hiss, 300 * SAMPLE_RATE)
    result = transcribe(write_wav(tmp_path / "tail.wav", np.concatenate((speech, noise))))
    assert word_error_rate(SAMPLE_TEXT, heard(result)) == 0
    assert result.segments[-1].end <= SAMPLE_SECONDS
    assert result.duration == pytest.approx(SAMPLE_SECONDS + 300, abs=0.1)


def test_a_model_that_knows_english_alone_claims_no_probability_for_it(transcribe: Transcribe) -> None:
    result = transcribe(SAMPLE)
    assert (result.language, result.language_probability) == ("en", 0.0)


@pytest.mark.parametrize("loudness", [0.0, 0.003, 0.1, 0.5])
def test_silence_and_noise_say_nothing(transcribe: Transcribe, loudness: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(7).normal(0, loudness, 40 * SAMPLE_RATE)
    result = transcribe(write_wav(tmp_path / "noise.wav", noise))
    assert result.segments == ()
    assert (result.language, result.language_probability) == (UNDETERMINED, 0.0)
    assert result.duration == pytest.approx(40)


def test_two_tracks_are_merged_in_time_and_keep_their_labels(transcribe: Transcribe, tmp_path: Path) -> None:
    later = tmp_path / "later.wav"
    ffmpeg("-i", SAMPLE, "-af", "adelay=9000:all=1", later)
    result = transcribe((SAMPLE, "microphone"), (later, "system"))
    for label in ("microphone", "system"):
        of_track = " ".join(segment.text for segment in result.segments if segment.track == label)
        assert word_error_rate(SAMPLE_TEXT, of_track) <= 0.05
    starts = [segment.start for segment in result.segments]
    assert starts == sorted(starts)
    assert {segment.track for segment in result.segments[:4]} == {"microphone", "system"}
    assert result.duration == pytest.approx(SAMPLE_SECONDS + 9, abs=0.1)


def test_a_transcription_says_how_much_of_the_speech_it_covers(transcribe: Transcribe, tmp_path: Path) -> None:
    clip = tmp_path / "clip.wav"
    librivox_clip(clip, times=3)
    result = transcribe(clip)
    assert result.coverage.windows >= result.speech_seconds * SAMPLE_RATE / WINDOW_SAMPLES
    assert 0.9 * result.speech_seconds < result.coverage.transcribed_seconds <= result.speech_seconds
    assert result.coverage.suspect <= result.coverage.decoded_again < result.coverage.windows


def test_nothing_is_said_of_coverage_where_nobody_speaks(transcribe: Transcribe, tmp_path: Path) -> None:
    assert transcribe(write_wav(tmp_path / "silence.wav", np.zeros(SAMPLE_RATE))).coverage == Coverage()


def test_tones_and_music_say_nothing(transcribe: Transcribe, tmp_path: Path) -> None:
    seconds = np.arange(40 * SAMPLE_RATE) / SAMPLE_RATE
    fading = np.exp(-3 * (seconds * 2 % 1))
    chord = sum((np.sin(2 * np.pi * note * seconds) for note in (220, 277, 330)), np.zeros(len(seconds)))
    for sound in (0.3 * np.sin(2 * np.pi * 440 * seconds), 0.2 * chord * fading):
        assert transcribe(write_wav(tmp_path / "sound.wav", sound)).segments == ()


def test_the_same_recording_gives_the_same_text(transcribe: Transcribe, tmp_path: Path) -> None:
    clip = tmp_path / "clip.wav"
    librivox_clip(clip, times=3)
    assert transcribe(clip).segments == transcribe(clip).segments


def test_progress_grows_to_one(transcribe: Transcribe, tmp_path: Path) -> None:
    clip = tmp_path / "clip.wav"
    librivox_clip(clip, times=3)
    told: list[Progress] = []
    transcribe(clip, tell=told.append)
    fractions = [progress.fraction for progress in told if progress.fraction is not None]
    assert fractions[0] == 0
    assert fractions == sorted(fractions)
    assert 0.3 < fractions[-1] <= 1
    assert told[-1].seconds_left is not None


def test_a_track_that_cannot_be_read_fails_the_recording(transcribe: Transcribe, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no sound in here")
    with pytest.raises(MediaError):
        transcribe(SAMPLE, text)
    with pytest.raises(SourceUnavailable):
        transcribe(SAMPLE, tmp_path / "gone.wav")


def test_a_language_that_the_model_does_not_know_is_refused(transcribe: Transcribe) -> None:
    with pytest.raises(ModelUnavailable, match="'de'"):
        transcribe(SAMPLE, language="de")


def test_a_damaged_model_is_unavailable(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        Transcriber(ResolvedModel("broken", tmp_path), 1)


@pytest.mark.parametrize(
    ("windows", "workers", "sizes"),
    [
        (0, 2, []),
        (1, 2, [1]),
        (3, 2, [1, 1, 1]),
        (18, 2, [1, 1, 5, 5, 3, 3]),
        (25, 2, [1, 1, 5, 5, 5, 5, 1, 2]),
        (30, 8, [*[1] * 8, 2, 3, 3, 3, 2, 3, 3, 3]),
    ],
)
def test_batches_are_small_at_first_and_the_last_windows_are_shared_out(
    windows: int, workers: int, sizes: list[int]
) -> None:
    found = list(batches(range(windows), workers))
    assert [len(batch) for batch in found] == sizes
    assert [window for batch in found for window in batch] == list(range(windows))


def test_each_worker_begins_as_soon_as_its_first_window_has_been_read() -> None:
    read = []

    def reading() -> Iterator[int]:
        for window in range(100):
            read.append(window)
            yield window

    found = batches(reading(), 2)
    assert [(list(next(found)), list(read)) for _ in range(2)] == [([0], [0]), ([1], [0, 1])]
