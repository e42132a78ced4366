from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest

from panotti_daemon.engine.media.audio import BLOCK_SAMPLES, SAMPLE_RATE, Samples, decode
from panotti_daemon.engine.media.noise import denoised
from tests.speech import SAMPLE, SAMPLE_SECONDS


@pytest.fixture(scope="module")
def speech() -> Samples:
    return np.concatenate(list(decode(SAMPLE, pytest.fail)))


def filtered(samples: Samples, size: int) -> Samples:
    pieces = (samples[start : start + size] for start in range(0, len(samples), size))
    return np.concatenate(list(denoised(pieces, SAMPLE_RATE)))


def delay(before: Samples, after: Samples) -> int:
    """Samples by which the second is later than the first, by cross-correlation."""
    spectrum = np.fft.rfft(after, 1 << 20) * np.conj(np.fft.rfft(before, 1 << 20))
    place = int(np.argmax(np.fft.irfft(spectrum)))
    return place if place < 1 << 19 else place - (1 << 20)


def level(samples: Samples) -> float:
    return 10 * float(np.log10(np.mean(samples**2)))


@pytest.mark.parametrize("size", [1024, SAMPLE_RATE, BLOCK_SAMPLES])
def test_everything_stays_where_it_was_whatever_the_size_of_the_blocks(size: int, speech: Samples) -> None:
    after = filtered(speech, size)
    assert len(after) == len(speech)
    assert abs(delay(speech, after)) <= SAMPLE_RATE // 1000


def test_the_last_sound_is_not_lost(speech: Samples) -> None:
    """The filter holds back what it has heard last."""
    tone = 0.3 * np.sin(np.arange(SAMPLE_RATE // 20) * 0.3).astype(np.float32)
    ending = np.concatenate((speech, tone))
    assert level(filtered(ending, BLOCK_SAMPLES)[-len(tone) // 2 :]) == pytest.approx(level(tone), abs=2)


@pytest.mark.parametrize("length", [1, 100, 399, 401, SAMPLE_RATE])
def test_short_recordings_keep_their_length(length: int, speech: Samples) -> None:
    assert len(filtered(speech[:length], BLOCK_SAMPLES)) == length


@pytest.mark.parametrize("loudness", [0.03, 0.003])
def test_steady_noise_becomes_quieter_and_speech_does_not(loudness: float, speech: Samples) -> None:
    pause = 3 * SAMPLE_RATE
    heard = np.concatenate((speech, np.zeros(pause, dtype=np.float32)))
    noisy = heard + np.random.default_rng(1).normal(0, loudness, len(heard)).astype(np.float32)
    after = filtered(noisy, BLOCK_SAMPLES)
    assert level(after[-pause // 2 :]) <= level(noisy[-pause // 2 :]) - 8
    assert level(after[:-pause]) == pytest.approx(level(speech), abs=1.5)


def test_speech_without_noise_is_left_alone(speech: Samples) -> None:
    assert level(filtered(speech, BLOCK_SAMPLES)) == pytest.approx(level(speech), abs=0.5)


def test_what_a_sound_card_adds_to_every_sample_is_not_taken_for_noise(speech: Samples) -> None:
    quiet = 0.03 * speech
    assert level(filtered(quiet + np.float32(0.1), BLOCK_SAMPLES)[SAMPLE_RATE:]) == pytest.approx(
        level(quiet[SAMPLE_RATE:]), abs=0.7
    )


def test_the_recording_passes_through_block_by_block(speech: Samples) -> None:
    taken = count()

    def endless() -> Iterator[Samples]:
        for _ in taken:
            yield speech[:SAMPLE_RATE]

    results = denoised(endless(), SAMPLE_RATE)
    for _ in range(5):
        next(results)
    assert next(taken) < 10


def test_a_recording_is_decoded_with_less_noise_where_that_is_asked_for() -> None:
    plain, quiet = (np.concatenate(list(decode(SAMPLE, pytest.fail, noise_reduction=asked))) for asked in (False, True))
    assert len(plain) == len(quiet) == pytest.approx(SAMPLE_SECONDS * SAMPLE_RATE, abs=200)
    assert not np.allclose(plain, quiet, atol=1e-4)
    assert {len(block) for block in list(decode(SAMPLE, pytest.fail, noise_reduction=True))[:-1]} == {BLOCK_SAMPLES}
