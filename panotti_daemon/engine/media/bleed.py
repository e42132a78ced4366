"""Finds what the microphone of a call heard of the other side: the same words, at the same time, and quieter.

Pure: it sees the segments of all tracks, and how loud the tracks are.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from statistics import median

import numpy as np

from panotti_daemon.engine.media.audio import SAMPLE_RATE, Samples
from panotti_daemon.models.transcript.models import Segment

_STEP = SAMPLE_RATE // 10
_SILENCE_DB = -100.0

_LATEST_SECONDS = 1.0
"""How far from the words its copy may lie: the sound takes its time, and Whisper's times are not exact."""
_SHORTEST_MATCH = 3
"""Letters in a row that both texts must have to count as alike."""
_LEAST_ALIKE = 0.4
"""Of a segment's letters; quiet copies are garbled."""
_QUIETER_DB = 6.0
_FAR_QUIETER_DB = 20.0
"""Nobody speaks so: whatever words it seems to have are what is left of the other side's."""
_FEW = 0.2
"""Of a listener's segments may seem to be his own: what Whisper hears while the other side pauses."""


class Loudness:
    """How loud a track is, every tenth of a second: 144 kB for an hour."""

    def __init__(self) -> None:
        self._powers: list[Samples] = []

    def add(self, block: Samples) -> None:
        """The next block of the track. All but the last are whole numbers of tenths of a second."""
        steps = np.pad(block, (0, -len(block) % _STEP)).reshape(-1, _STEP)
        self._powers.append(np.mean(steps**2, axis=1, dtype=np.float32))

    def between(self, start: float, end: float) -> float:
        """In dB, 0 at most: the mean of the time from `start` up to `end`, in seconds."""
        first = int(start * SAMPLE_RATE) // _STEP
        powers = np.concatenate(self._powers)[first : max(first, int(end * SAMPLE_RATE) // _STEP) + 1]
        return 10 * float(np.log10(np.mean(powers) + 1e-10)) if len(powers) else _SILENCE_DB


def mark_bleed(segments: Sequence[Segment], loudness: Mapping[str | None, Loudness]) -> tuple[Segment, ...]:
    """The same segments, with `bleed` set where one is a copy of what another track holds. They come in the order of
    their start.

    `loudness` is that of each track, by label. What two people say at once, they say as loudly as the rest: it is no
    copy. How loudly the tracks were recorded does not matter.
    """
    neighbours = _Neighbours(segments)
    alone = [segment for segment in segments if not neighbours.cover(segment)]
    tracks = {
        label: _Track(
            track,
            [segment for segment in segments if segment.track == label],
            [segment for segment in alone if segment.track == label],
        )
        for label, track in loudness.items()
    }
    voices = {label: _voice(tracks, label) for label in tracks}

    def is_bleed(segment: Segment) -> bool:
        above = {label: track.level(segment) - voices[label] for label, track in tracks.items()}
        here = above.pop(segment.track)
        quieter = max(above.values(), default=here) - here
        return (quieter >= _QUIETER_DB and _alike(segment.text, neighbours.of(segment)) >= _LEAST_ALIKE) or (
            quieter >= _FAR_QUIETER_DB and neighbours.cover(segment)
        )

    return tuple(segment.model_copy(update={"bleed": True}) if is_bleed(segment) else segment for segment in segments)


@dataclass(frozen=True)
class _Track:
    loudness: Loudness
    segments: Sequence[Segment]
    alone: Sequence[Segment]
    """Those during which no other track speaks."""

    @property
    def has_voice(self) -> bool:
        return len(self.alone) > _FEW * len(self.segments)

    @property
    def voice(self) -> float:
        """How loud the speech is that it was made for, in dB; any speech on it, where it never speaks alone."""
        spoken = self.alone if self.has_voice else self.segments
        return median(map(self.level, spoken)) if spoken else 0.0

    def level(self, segment: Segment) -> float:
        return self.loudness.between(segment.start, segment.end)

    def heard_from(self, other: _Track) -> bool:
        """Whether this is the track of somebody who only listens: while there is speech on it, the other one is louder,
        and as loud as its own voice."""
        if self.has_voice or not self.segments:
            return False
        quieter = median(other.level(segment) - self.level(segment) for segment in self.segments)
        below_voice = median(other.voice - other.level(segment) for segment in self.segments)
        return quieter >= _QUIETER_DB > below_voice


def _voice(tracks: Mapping[str | None, _Track], label: str | None) -> float:
    """With what a track's loudness is compared: its own voice, or, where it has none, that which is heard on it."""
    others = [track for other, track in tracks.items() if other != label and tracks[label].heard_from(track)]
    return max((track.voice for track in others), default=tracks[label].voice)


class _Neighbours:
    """Finds what other tracks hold at the time of a segment."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self._starts = [segment.start for segment in segments]
        self._longest = max((segment.end - segment.start for segment in segments), default=0.0)

    def of(self, segment: Segment) -> Iterator[Segment]:
        earliest, latest = segment.start - _LATEST_SECONDS, segment.end + _LATEST_SECONDS
        first, last = bisect(self._starts, earliest - self._longest), bisect(self._starts, latest)
        for other in self._segments[first:last]:
            if other.track != segment.track and other.end > earliest:
                yield other

    def cover(self, segment: Segment) -> bool:
        """Whether other tracks speak for more than half of its time."""
        overlaps = (min(other.end, segment.end) - max(other.start, segment.start) for other in self.of(segment))
        return 2 * sum(max(0.0, overlap) for overlap in overlaps) > segment.end - segment.start


def _alike(text: str, others: Iterable[Segment]) -> float:
    """How much of the text the others hold, from 0 to 1."""
    letters, there = _letters(text), _letters(" ".join(other.text for other in others))
    matches = SequenceMatcher(None, letters, there, autojunk=False).get_matching_blocks()
    found = sum(match.size for match in matches if match.size >= min(_SHORTEST_MATCH, len(letters)))
    return found / len(letters) if letters else 0.0


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())
