"""Tells whether two tracks carry the same sound, as both channels of a recording made with one microphone do.

Their waveforms are compared section by section, and no further than to the first that differs: in a call, that is where
somebody begins to speak.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise, zip_longest

import numpy as np

from panotti_daemon.engine.media.audio import BLOCK_SAMPLES, SAMPLE_RATE, Samples

LONGEST_DELAY_SECONDS = 1.5

_THINNED = 4
"""Samples that become one: below 2 kHz, speech is loudest and codecs change it least."""
_RATE = SAMPLE_RATE // _THINNED
_SECTION = BLOCK_SAMPLES // _THINNED
_MARGIN = round(LONGEST_DELAY_SECONDS * _RATE)
_SPECTRUM = 1 << (_SECTION + 2 * _MARGIN).bit_length()

_SILENCE = 10 ** (-70 / 20)
"""Sections that are quieter on both tracks tell nothing."""
_LEAST_ENERGY = _SECTION * _SILENCE**2 / 100
_LEAST_LIKENESS = 0.9
"""Correlation: of different speech it is 0.05, of single words 0.5; of one recording in two bad encodings, 0.94."""
_STEADY_SAMPLES = round(0.01 * _RATE)
_STEADY_GAIN = 1.4
"""Delay and gain stay what they are, while what leaks from one track into the other changes them with each speaker."""


@dataclass(frozen=True)
class _Match:
    likeness: float
    delay: int
    gain: float

    def goes_on_from(self, before: _Match | None) -> bool:
        return self.likeness >= _LEAST_LIKENESS and (
            before is None
            or (
                abs(self.delay - before.delay) <= _STEADY_SAMPLES
                and 1 / _STEADY_GAIN <= self.gain / before.gain <= _STEADY_GAIN
            )
        )


def same_sound(first: Iterable[Samples], second: Iterable[Samples]) -> bool:
    """Of two tracks, as blocks. One may be later by a constant delay, louder, turned upside down, or encoded with a
    loss. Tracks on which nothing is heard are not the same."""
    before: _Match | None = None
    for section, surrounding in _pairs(_sections(first), _surroundings(_sections(second))):
        if max(_loudness(section), _loudness(surrounding[_MARGIN:-_MARGIN])) > _SILENCE:
            match = _best_match(section, surrounding)
            if not match.goes_on_from(before):
                return False
            before = match
    return before is not None


def _pairs(sections: Iterable[Samples], surroundings: Iterable[Samples]) -> Iterator[tuple[Samples, Samples]]:
    """Behind the end of the shorter track, there is silence."""
    silence = np.zeros(_SECTION + 2 * _MARGIN, dtype=np.float32)
    for section, surrounding in zip_longest(sections, surroundings):
        yield silence[:_SECTION] if section is None else section, silence if surrounding is None else surrounding


def _sections(blocks: Iterable[Samples]) -> Iterator[Samples]:
    """Thinned out, all of the same length, and without hum: two tracks share it, whoever speaks on them."""
    for block in blocks:
        whole = np.pad(block, (0, BLOCK_SAMPLES - len(block)))
        thinned = whole.reshape(-1, _THINNED).mean(axis=1)
        yield np.diff(thinned, prepend=thinned[:1])


def _surroundings(sections: Iterable[Samples]) -> Iterator[Samples]:
    """Each section with what lies before and behind it."""
    silence = np.zeros(_SECTION, dtype=np.float32)
    for (before, section), (_, behind) in pairwise(pairwise(chain([silence], sections, [silence]))):
        yield np.concatenate((before[-_MARGIN:], section, behind[:_MARGIN]))


def _best_match(section: Samples, surrounding: Samples) -> _Match:
    """By cross-correlation, for every delay."""
    spectrum = np.fft.rfft(surrounding, _SPECTRUM) * np.conj(np.fft.rfft(section, _SPECTRUM))
    products = np.fft.irfft(spectrum, _SPECTRUM)[: 2 * _MARGIN + 1]
    energy = float(np.sum(section**2)) + _LEAST_ENERGY
    sums = np.cumsum(np.concatenate(([_LEAST_ENERGY], surrounding**2)), dtype=np.float64)
    likenesses = np.abs(products) / np.sqrt(energy * (sums[_SECTION:] - sums[:-_SECTION] + _LEAST_ENERGY))
    delay = int(np.argmax(likenesses))
    return _Match(float(likenesses[delay]), delay, float(products[delay]) / energy)


def _loudness(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples**2)))
