"""How loud the tracks of a recording are, and what that says of two sides: how loudly each speaks on its own track, and
how quietly one is heard on the other's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from panotti_daemon.engine.media.audio import SAMPLE_RATE, Samples

STEP = SAMPLE_RATE // 10
"""Samples."""
QUIETER_DB = 6.0
"""Between one's own voice and another one that is merely heard, at least."""
AS_HEARD = 0.6
"""Of the way from both sides at once to one that is merely heard."""

_SMOOTHING = np.full(5, 1 / 5)
"""Half a second: an echo is late."""
_LATEST_STEPS = 3
"""That an echo comes behind what it echoes, as far as smoothing does not cover it."""
_LOUDEST = 99
"""Percentile: what is louder are clicks."""
_SPEECH_DB = 20.0
"""What is quieter than the loudest by more is no speech, or says little."""
_ROUNDS = 8
_LEAST_STEPS = 8
"""A yes; a click is shorter."""


class Loudness:
    """How loud a track is, every tenth of a second: 144 kB for an hour. What a sound card adds to every sample does not
    count."""

    def __init__(self) -> None:
        self._powers: list[Samples] = []

    def __len__(self) -> int:
        return sum(map(len, self._powers))

    def add(self, block: Samples) -> None:
        """The next block of the track. All but the last are whole numbers of tenths of a second."""
        steps = np.pad(block, (0, -len(block) % STEP)).reshape(-1, STEP)
        self._powers.append(np.var(steps, axis=1, dtype=np.float32))

    def levels(self, first: int, last: int) -> Samples:
        """In dB, 0 at most, of every step from `first` up to `last`, smoothed. Behind the end there is silence."""
        if len(self._powers) > 1:
            self._powers = [np.concatenate(self._powers)]
        around = len(_SMOOTHING) // 2
        known = self._powers[0] if self._powers else np.empty(0, dtype=np.float32)
        powers = known[max(0, first - around) : last + around]
        before = max(0, around - first)
        padded = np.pad(powers, (before, last - first + 2 * around - before - len(powers)))
        return np.asarray(10 * np.log10(np.convolve(padded, _SMOOTHING, mode="valid") + 1e-10), dtype=np.float32)


@dataclass(frozen=True)
class Voices:
    """Of two sides, in dB, each on its own track."""

    mine: float
    yours: float
    bleed: float
    """By how much yours is quieter than mine, on mine."""

    def quieter(self, here: Samples, there: Samples) -> Samples:
        """By how much my track is at each step, where both are compared with their voices: around 0 where both speak at
        once, and `bleed` where you speak alone."""
        return (there - self.yours) - (here - self.mine)


def voices(here: Samples, there: Samples) -> Voices | None:
    """Of the levels of two tracks at the same steps; none where only one side speaks.

    The difference of the levels has two heaps, one for each side, however loudly the tracks were recorded and however
    much each microphone hears of the other side. An echo that has not come yet, or goes on, must not make a third one.
    """
    speech = np.zeros(len(here), dtype=np.bool_)
    for levels in (here, there):
        speech |= levels >= np.percentile(levels, _LOUDEST) - _SPEECH_DB
    differences = (_loudest_around(here) - _loudest_around(there))[speech]
    here, there = here[speech], there[speech]
    low, high = differences.min(), differences.max()
    for _ in range(_ROUNDS):
        own = differences > (low + high) / 2
        if min(np.sum(own), np.sum(~own)) < _LEAST_STEPS:
            return None
        low, high = np.mean(differences[~own]), np.mean(differences[own])
    mine, heard_here = np.median(here[own]), np.median(here[~own])
    yours, heard_there = np.median(there[~own]), np.median(there[own])
    if min(mine - heard_here, yours - heard_there) < QUIETER_DB:
        return None
    return Voices(float(mine), float(yours), bleed=float(mine - heard_here))


def _loudest_around(levels: Samples) -> Samples:
    around = sliding_window_view(np.pad(levels, _LATEST_STEPS, mode="edge"), 2 * _LATEST_STEPS + 1)
    return np.asarray(around.max(axis=1))
