"""Divides the speech on a track into what was said there and what it heard of the others, by how loud all tracks are.

Whisper is to get only one of them at a time: it hears no difference between voices, and where a quiet one follows a
loud one, words get lost and times go astray.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from panotti_daemon.engine.media.audio import Samples
from panotti_daemon.engine.media.loudness import AS_HEARD, STEP, Loudness, voices
from panotti_daemon.engine.speech.windows import Stretch

_MEMORY = 6000
"""Steps: the last ten minutes tell how loudly each side speaks."""
_CLEAR_DB = 10.0
"""Below a voice; what is quieter is the end of a word, or an echo."""
_AS_SPOKEN = 0.3
"""Of the way from both sides at once to one that is merely heard."""
_SHORTEST = 6
"""Steps. Nobody takes turns so quickly."""

_FOREIGN, _UNCLEAR, _OWN = 1, 0, -1
Votes = NDArray[np.int8]


class Sides:
    """Of one track, and the others. All of them are known as far as the speech that is to be divided."""

    def __init__(self, here: Loudness, others: Sequence[Loudness]) -> None:
        self._here = here
        self._others = others

    def divided(self, stretch: Stretch) -> Iterator[Stretch]:
        """Its parts in their order; what the track only heard is `foreign`."""
        first, last = stretch.start // STEP, -(-stretch.end // STEP)
        since = max(0, last - _MEMORY)
        here = self._here.levels(since, last)
        votes = np.full(last - first, _OWN, dtype=np.int8)
        for other in self._others:
            votes = np.maximum(votes, _votes(here, other.levels(since, last))[first - since :])
        earliest = stretch.silent_before // STEP + _SHORTEST
        latest = len(votes) - stretch.silent_behind // STEP - _SHORTEST
        changes = [at for at in _changes(votes, here[first - since :]) if earliest <= at <= latest]
        for begin, end in pairwise((0, *changes, len(votes))):
            yield Stretch(
                max(stretch.start, (first + begin) * STEP),
                min(stretch.end, (first + end) * STEP),
                silent_before=stretch.silent_before if begin == 0 else 0,
                silent_behind=stretch.silent_behind if end == len(votes) else 0,
                foreign=bool(np.sum(votes[begin:end]) > 0),
            )


def _votes(here: Samples, there: Samples) -> Votes:
    """Whose voice the track has at each step."""
    found = voices(here, there)
    if not found:
        return np.full(len(here), _OWN, dtype=np.int8)
    quieter = found.quieter(here, there) / found.bleed
    foreign = (there >= found.yours - _CLEAR_DB) & (quieter >= AS_HEARD)
    own = (here >= found.mine - _CLEAR_DB) & (quieter <= _AS_SPOKEN)
    return np.select([foreign, own], [np.int8(_FOREIGN), np.int8(_OWN)], np.int8(_UNCLEAR))


def _changes(votes: Votes, levels: Samples) -> list[int]:
    """Where the other side takes over: at the quietest step between what is clearly the one's and the other's."""
    changes: list[int] = []
    for before, after in pairwise(np.flatnonzero(votes).tolist()):
        if votes[before] != votes[after]:
            change = before + 1 + int(np.argmin(levels[before + 1 : after + 1]))
            if changes and change - changes[-1] < _SHORTEST:
                changes.pop()
            else:
                changes.append(change)
    return changes
