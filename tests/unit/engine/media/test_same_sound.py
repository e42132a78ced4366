from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from panotti_daemon.engine.media.audio import BLOCK_SAMPLES, SAMPLE_RATE, Samples, decode
from panotti_daemon.engine.media.same_sound import LONGEST_DELAY_SECONDS, same_sound
from tests.speech import SAMPLE, ffmpeg, librivox_clip


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "reader.wav"
    librivox_clip(path)
    return path


@pytest.fixture(scope="module")
def speech(reader: Path) -> Samples:
    return np.concatenate(list(decode(reader, pytest.fail)))


@pytest.fixture(scope="module")
def others() -> Samples:
    return np.concatenate(list(decode(SAMPLE, pytest.fail)))


def blocks(samples: Samples) -> Iterator[Samples]:
    for start in range(0, len(samples), BLOCK_SAMPLES):
        yield samples[start : start + BLOCK_SAMPLES].astype(np.float32)


def later(samples: Samples, seconds: float) -> Samples:
    return np.concatenate((np.zeros(round(seconds * SAMPLE_RATE), dtype=np.float32), samples))


def noise(length: int, seed: int) -> Samples:
    return np.random.default_rng(seed).normal(0, 1, length).astype(np.float32)


@pytest.mark.parametrize("gain", [1.0, 0.05, -1.0])
@pytest.mark.parametrize("delay", [0.0, 0.123, LONGEST_DELAY_SECONDS - 0.05])
def test_neither_loudness_nor_polarity_nor_delay_makes_another_sound(
    gain: float, delay: float, speech: Samples
) -> None:
    assert same_sound(blocks(speech), blocks(gain * later(speech, delay)))
    assert same_sound(blocks(gain * later(speech, delay)), blocks(speech))


@pytest.mark.parametrize("options", [("mp3", "-b:a", "32k"), ("opus", "-b:a", "12k"), ("wav", "-c:a", "pcm_mulaw")])
def test_another_encoding_is_the_same_sound(options: tuple[str, ...], reader: Path, tmp_path: Path) -> None:
    extension, *codec = options
    encoded = tmp_path / f"encoded.{extension}"
    ffmpeg("-i", reader, *codec, encoded)
    assert same_sound(decode(reader, pytest.fail), decode(encoded, pytest.fail))


def test_the_hiss_of_two_inputs_does_not_make_two_sounds(speech: Samples) -> None:
    hiss = 0.003
    first, second = (speech + hiss * noise(len(speech), seed) for seed in (1, 2))
    assert same_sound(blocks(first), blocks(second))


def test_different_speech_is_not_the_same(speech: Samples, others: Samples) -> None:
    assert not same_sound(blocks(speech), blocks(others))


@pytest.mark.parametrize("leak", [0.03, 0.1, 0.7])
def test_two_sides_of_a_call_that_leak_into_each_other_are_not_the_same(
    leak: float, speech: Samples, others: Samples
) -> None:
    """Nobody speaks while the other does: every moment is the same sound on both, only not equally loud."""
    silence = np.zeros(2 * BLOCK_SAMPLES, dtype=np.float32)
    mine, yours = speech[: 2 * BLOCK_SAMPLES], others[: 2 * BLOCK_SAMPLES]
    me, you = np.concatenate((mine, silence)), np.concatenate((silence, yours))
    assert not same_sound(blocks(me + leak * you), blocks(you + leak * me))


@pytest.mark.parametrize("shared", ["hum", "noise", "offset"])
def test_what_two_inputs_share_does_not_make_different_speech_the_same(
    shared: str, speech: Samples, others: Samples
) -> None:
    length = min(len(speech), len(others))
    sounds = {
        "hum": 0.2 * np.sin(np.arange(length) * 2 * np.pi * 50 / SAMPLE_RATE),
        "noise": 0.02 * noise(length, seed=3),
        "offset": np.full(length, 0.2),
    }
    mine, yours = (0.3 * voice[:length] + sounds[shared] for voice in (speech, others))
    assert not same_sound(blocks(mine), blocks(yours))


def test_one_word_of_another_voice_makes_another_sound(speech: Samples, others: Samples) -> None:
    interrupted = speech.copy()
    interrupted[-2 * SAMPLE_RATE :] += others[SAMPLE_RATE : 3 * SAMPLE_RATE]
    assert not same_sound(blocks(speech), blocks(interrupted))


def test_a_track_that_ends_earlier_or_says_nothing_is_not_the_same(speech: Samples) -> None:
    half, nothing = speech[: len(speech) // 2], np.zeros_like(speech)
    for other in (half, nothing):
        assert not same_sound(blocks(speech), blocks(other))
        assert not same_sound(blocks(other), blocks(speech))
    assert not same_sound(blocks(nothing), blocks(nothing))


def test_nothing_is_read_behind_the_first_difference(speech: Samples, others: Samples) -> None:
    rest = iter(range(1000))
    endless = (np.resize(speech, BLOCK_SAMPLES) for _ in rest)
    assert not same_sound(endless, blocks(np.resize(others, 50 * BLOCK_SAMPLES)))
    assert next(rest) < 5


def test_the_two_channels_of_one_microphone_are_the_same(reader: Path, tmp_path: Path) -> None:
    stereo = tmp_path / "stereo.mp3"
    ffmpeg("-i", reader, "-ac", "2", "-b:a", "64k", stereo)
    left, right = (decode(stereo, pytest.fail, channel=channel) for channel in (0, 1))
    assert same_sound(left, right)
