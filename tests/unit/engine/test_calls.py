"""Calls with a track for each side, made up of real speech: what the engine hears where one side hears the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.media.audio import SAMPLE_RATE, decode
from panotti_daemon.engine.messages import Track
from panotti_daemon.engine.models.store import resolve
from panotti_daemon.engine.whisper.transcriber import Transcriber
from panotti_daemon.models.transcript.models import RequestedSettings, Transcription
from tests.speech import SAMPLE, SAMPLE_TEXT, ffmpeg, librivox_sentences, word_error_rate

Sound = NDArray[np.float64]
Transcribe = Callable[[Sound, Sound], Transcription]

MIC, SYSTEM = "microphone", "system"


@pytest.fixture(scope="module")
def transcriber(tmp_path_factory: pytest.TempPathFactory) -> Transcriber:
    return Transcriber(resolve("tiny.en", tmp_path_factory.mktemp("models"), download=False), workers=2)


@pytest.fixture
def transcribe(transcriber: Transcriber, tmp_path: Path) -> Transcribe:
    """Of what the microphone hears and the system plays, as the channels of one file."""

    def transcribe(microphone: Sound, system: Sound) -> Transcription:
        call, raw = tmp_path / "call.wav", tmp_path / "call.raw"
        both = np.stack((microphone, system), axis=1)
        raw.write_bytes((np.clip(both, -1, 1) * 32767).astype("<i2").tobytes())
        ffmpeg("-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "2", "-i", raw, call)
        tracks = [Track(path=call, label=label, channel=channel) for channel, label in enumerate((MIC, SYSTEM))]
        return transcriber.transcribe(tracks, RequestedSettings(language="en"), gate=Gate(), tell=lambda _: None)

    return transcribe


def speech(path: Path) -> Sound:
    return np.concatenate(list(decode(path, pytest.fail))).astype(np.float64)


def at(start: float, sound: Sound, seconds: float) -> Sound:
    first = round(start * SAMPLE_RATE)
    whole = np.zeros(round(seconds * SAMPLE_RATE))
    whole[first : first + len(sound)] = sound[: len(whole) - first]
    return whole


def room(sound: Sound, level: float) -> Sound:
    """As a microphone hears it out of a loudspeaker: quieter, later, and with what the walls give back."""
    delay, tail = SAMPLE_RATE // 8, np.arange(SAMPLE_RATE // 4)
    echo = np.random.default_rng(1).normal(0, 0.05, len(tail)) * np.exp(-tail / 900)
    echo[0] = 1
    heard = np.convolve(np.pad(sound, (delay, 0)), echo)[: len(sound)]
    return np.asarray(heard * 10 ** (level / 20))


def hiss(length: int, level: float) -> Sound:
    return np.random.default_rng(2).normal(0, 10 ** (level / 20), length)


def read(transcription: Transcription, track: str, *, bleed: bool = False) -> str:
    return " ".join(found.text for found in transcription.segments if (found.track, found.bleed) == (track, bleed))


def in_turn(sentences: Iterable[Path]) -> tuple[Sound, Sound]:
    """What the two sides say, one after the other."""
    mine = speech(SAMPLE)
    yours = np.concatenate([np.pad(speech(path), (0, SAMPLE_RATE)) for path in sentences])
    seconds = (len(mine) + len(yours)) / SAMPLE_RATE + 2
    return at(0, mine, seconds), at(len(mine) / SAMPLE_RATE + 1, yours, seconds)


@pytest.mark.parametrize("level", [-12, -20])
def test_the_other_side_in_the_own_microphone_is_marked_and_not_lost(level: int, transcribe: Transcribe) -> None:
    sentences = dict(list(librivox_sentences().items())[:3])
    mine, yours = in_turn(sentences)

    result = transcribe(mine + room(yours, level) + hiss(len(mine), -65), yours)

    assert word_error_rate(SAMPLE_TEXT, read(result, MIC)) <= 0.05
    assert word_error_rate(" ".join(sentences.values()), read(result, SYSTEM)) <= 0.15
    assert word_error_rate(" ".join(sentences.values()), read(result, MIC, bleed=True)) <= 0.5
    assert read(result, SYSTEM, bleed=True) == ""


def test_where_each_side_hears_the_other_every_line_is_read_once(transcribe: Transcribe) -> None:
    """Nobody speaks alone on any track, and the system's is the louder one whoever speaks."""
    sentences = dict(list(librivox_sentences().items())[:3])
    mine, yours = (0.05 * sound / np.std(sound) for sound in in_turn(sentences))
    recorded = 10 ** (-18 / 20)

    result = transcribe(recorded * (mine + room(yours, -15) + hiss(len(mine), -65)), yours + room(mine, -15))

    assert word_error_rate(SAMPLE_TEXT, read(result, MIC)) <= 0.05
    assert word_error_rate(" ".join(sentences.values()), read(result, SYSTEM)) <= 0.15


def test_what_both_sides_say_at_once_is_kept_on_both(transcribe: Transcribe) -> None:
    mine = speech(SAMPLE)
    together = 0.7 * mine[: 8 * SAMPLE_RATE]
    start = len(mine) / SAMPLE_RATE + 1
    microphone, system = at(0, mine, start + 10), at(start, together, start + 10)
    microphone += at(start + 0.2, mine[: 8 * SAMPLE_RATE], start + 10) + room(system, -20) + hiss(len(system), -65)
    result = transcribe(microphone, system)
    assert read(result, MIC, bleed=True) == read(result, SYSTEM, bleed=True) == ""
    assert max(found.end for found in result.segments if found.track == MIC) > start + 3


def test_a_track_on_which_hardly_anything_is_heard_says_nothing(transcribe: Transcribe) -> None:
    system = np.concatenate((speech(SAMPLE), np.zeros(20 * SAMPLE_RATE)))
    result = transcribe(hiss(len(system), -70), system)
    assert {found.track for found in result.segments} == {SYSTEM}
    assert word_error_rate(SAMPLE_TEXT, read(result, SYSTEM)) <= 0.05


@pytest.mark.parametrize("level", [-30, -45])
def test_of_somebody_who_only_listens_nothing_is_read(level: int, transcribe: Transcribe) -> None:
    system = speech(SAMPLE)
    result = transcribe(room(system, level) + hiss(len(system), -70), system)
    assert read(result, MIC) == ""
    assert word_error_rate(SAMPLE_TEXT, read(result, SYSTEM)) <= 0.05
