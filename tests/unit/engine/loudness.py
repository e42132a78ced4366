"""Tracks that are as loud as a test wants them to be."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from panotti_daemon.engine.media.audio import BLOCK_SAMPLES, SAMPLE_RATE
from panotti_daemon.engine.media.loudness import Loudness

SECONDS = 40


def loudness(levels: Mapping[float, float], floor: float = -70.0, seconds: float = 3, offset: float = 0.0) -> Loudness:
    """Of a track that has these levels, in dB, for some seconds from each start on."""
    samples = np.full(SECONDS * SAMPLE_RATE, 10 ** (floor / 20), dtype=np.float32)
    for start, level in levels.items():
        samples[round(start * SAMPLE_RATE) : round((start + seconds) * SAMPLE_RATE)] = 10 ** (level / 20)
    samples[::2] *= -1
    track = Loudness()
    for first, last in pairwise((*range(0, len(samples), BLOCK_SAMPLES), len(samples))):
        track.add(samples[first:last] + np.float32(offset))
    return track
