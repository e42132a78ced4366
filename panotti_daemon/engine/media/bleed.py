"""Finds what the microphone of a call heard of the other side: the same words, at the same time, and quieter.

Pure: it sees the segments of all tracks, and how loud the tracks are.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import accumulate, groupby, permutations

import numpy as np

from panotti_daemon.engine.media.audio import SAMPLE_RATE, Samples
from panotti_daemon.engine.media.loudness import AS_HEARD, QUIETER_DB, STEP, Loudness, voices
from panotti_daemon.models.transcript.models import Segment, Word

_LATEST_SECONDS = 1.0
"""How far from the words its copy may lie: the sound takes its time, and Whisper's times are not exact."""
_SHORTEST_MATCH = 3
"""Letters in a row that both texts must have to count as alike."""
_LEAST_ALIKE = 0.4
"""Of a segment's letters; quiet copies are garbled."""
_FAR_QUIETER_DB = 14.0
"""Below where bleed begins, nobody speaks: whatever words it seems to have are what is left of the other side's."""
_SHORTEST_CLAUSE = 16
"""Letters. Of less, neither its words nor its loudness say much."""
_CLAUSE_ENDS = re.compile(r"(?<=[.,;:!?…])(?=\s)|(?<=[。、，！？])(?=\w)")


def mark_bleed(segments: Sequence[Segment], loudness: Mapping[str | None, Loudness]) -> tuple[Segment, ...]:
    """The same segments, with `bleed` set where one is a copy of what another track holds. They come in the order of
    their start. One that holds both, as Whisper hears no difference between voices, is cut between clauses.

    `loudness` is that of each track, by label. What two people say at once, they say as loudly as the rest: it is no
    copy. How loudly the tracks were recorded does not matter.
    """
    cut = [_clauses(segment) for segment in segments]
    clauses = sorted((clause for found in cut for clause in found), key=lambda clause: clause.start)
    neighbours, whole = _Neighbours(clauses), _Neighbours(segments)
    quieter = _quieter(loudness)

    def is_copy(clause: Segment, others: _Neighbours) -> bool:
        steps = slice(int(clause.start * SAMPLE_RATE) // STEP, int(clause.end * SAMPLE_RATE) // STEP + 1)
        by = float(np.median(quieter[clause.track][steps]))
        return (by >= 0 and _alike(clause.text, others.of(clause)) >= _LEAST_ALIKE) or (
            by >= _FAR_QUIETER_DB and neighbours.cover(clause)
        )

    originals = _Neighbours([clause for clause in clauses if not is_copy(clause, whole)])

    def is_bleed(clause: Segment) -> bool:
        """Where times are wrong, each side may look like the copy; what is said twice is better than what is lost."""
        return is_copy(clause, whole) and is_copy(clause, originals)

    def marked(segment: Segment, found: Sequence[Segment]) -> Iterator[Segment]:
        parts = [(bleed, list(part)) for bleed, part in groupby(found, is_bleed)]
        for bleed, part in parts:
            yield (segment if len(parts) == 1 else _joined(part)).model_copy(update={"bleed": bleed})

    result = (part for segment, found in zip(segments, cut, strict=True) for part in marked(segment, found))
    return tuple(sorted(result, key=lambda segment: (segment.start, segment.end)))


def _quieter(loudness: Mapping[str | None, Loudness]) -> dict[str | None, Samples]:
    """By how many dB each track is at each step below where bleed begins, compared with the loudest of the others. All
    of them are compared with their voices; where only one side speaks, as they are."""
    steps = max(map(len, loudness.values()), default=0) + 1
    levels = {label: track.levels(0, steps) for label, track in loudness.items()}
    quieter = {label: np.full(steps, -np.inf, dtype=np.float32) for label in levels}
    for here, there in permutations(levels, 2):
        if found := voices(levels[here], levels[there]):
            by = found.quieter(levels[here], levels[there]) - min(QUIETER_DB, AS_HEARD * found.bleed)
        else:
            by = levels[there] - levels[here] - QUIETER_DB
        quieter[here] = np.maximum(quieter[here], by)
    return quieter


def _clauses(segment: Segment) -> list[Segment]:
    """Its text cut after punctuation; time and words are shared out by letters."""
    texts = [""]
    for text in _CLAUSE_ENDS.split(segment.text):
        if len(_letters(texts[-1])) < _SHORTEST_CLAUSE:
            texts[-1] += text
        else:
            texts.append(text)
    if len(texts) > 1 and len(_letters(texts[-1])) < _SHORTEST_CLAUSE:
        texts[-2:] = ["".join(texts[-2:])]
    ends = list(accumulate(len(_letters(text)) for text in texts))
    seconds = (segment.end - segment.start) / max(1, ends[-1])
    words: list[list[Word]] = [[] for _ in texts]
    letters = 0
    for word in segment.words:
        words[min(bisect(ends, letters), len(ends) - 1)].append(word)
        letters += len(_letters(word.text))
    return [
        segment.model_copy(
            update={
                "start": segment.start + seconds * first,
                "end": segment.start + seconds * last,
                "text": text,
                "words": tuple(spoken),
            }
        )
        for text, first, last, spoken in zip(texts, (0, *ends[:-1]), ends, words, strict=True)
    ]


def _joined(clauses: Sequence[Segment]) -> Segment:
    """Neighbours as one segment, which begins and ends with its words."""
    words = tuple(word for clause in clauses for word in clause.words)
    return clauses[0].model_copy(
        update={
            "start": words[0].start if words else round(clauses[0].start, 3),
            "end": words[-1].end if words else round(clauses[-1].end, 3),
            "text": "".join(clause.text for clause in clauses).strip(),
            "words": words,
        }
    )


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
        """Whether other tracks speak for more than half of its time, or beside what was given no time."""
        others, lasts = list(self.of(segment)), segment.end - segment.start
        overlaps = (min(other.end, segment.end) - max(other.start, segment.start) for other in others)
        return 2 * sum(max(0.0, overlap) for overlap in overlaps) > lasts if lasts else bool(others)


def _alike(text: str, others: Iterable[Segment]) -> float:
    """How much of the text the others hold, from 0 to 1."""
    letters, there = _letters(text), _letters(" ".join(other.text for other in others))
    matches = SequenceMatcher(None, letters, there, autojunk=False).get_matching_blocks()
    found = sum(match.size for match in matches if match.size >= min(_SHORTEST_MATCH, len(letters)))
    return found / len(letters) if letters else 0.0


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())
