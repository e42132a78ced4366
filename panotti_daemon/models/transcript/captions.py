"""Cuts what one track says into captions: which words stand together, on which lines, and how long they stay.

The numbers are those of Netflix's Timed Text Style Guide (TTSG: General Requirements, Subtitle Timing Guidelines, and
the guides of languages), the BBC's Subtitle Guidelines, and Karamitroglou's Proposed Set of Subtitling Standards in
Europe (1998).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from panotti_daemon.models.transcript import breaks
from panotti_daemon.models.transcript.models import Word

SHORTEST = 833
"""Milliseconds of a caption, as are all times of captions: 5/6 s (TTSG 1)."""
LONGEST = 7000
"""TTSG 1; six seconds for two full lines, says Karamitroglou."""
GAP = 83
"""Two frames of film between one caption and the next, so that the change is seen (TTSG, Subtitle Timing)."""
CLOSED_GAP = 500
"""Shorter gaps are closed to that (TTSG, Subtitle Timing): they flicker."""
HANG = 1500
"""A caption may outlast the speech by so much (BBC 5.2)."""
PAUSE = 1000
"""A silence that ends a caption: gaps between captions are at least this long (BBC 4.5)."""
HESITATION = 400
SLOWEST = 5.0
"""Columns a second: without the times of words, a segment's text is not thought to be spoken more slowly."""

CAPTION_COST = 6.0
SENTENCES_TOGETHER_COST = 9.0
"""One sentence a caption is best (BBC 3.2); short ones may stand together (BBC 3.8)."""
SILENCE_COST = 6.0
"""A second, within a caption: it shows what is still to be said."""
HURRY_COST = 4.0
"""A second that is lacking to read it."""
FLASH_COST = 12.0
"""Of a caption that is gone at once."""
TOP_HEAVY_COST = 1.5
"""The upper line should be the shorter one (Karamitroglou)."""
UNEVEN_COST = 0.006
"""Of two lines that differ by one column; it grows with the square of that."""


@dataclass(frozen=True)
class Style:
    line: int = 42
    """Columns (TTSG, most languages)."""
    speed: float = 17.0
    """Columns that are read in a second (TTSG, most languages); the BBC's 180 words a minute are as many."""


_STYLES = {
    "ja": Style(26, 8.0),
    "zh": Style(32, 18.0),
    "yue": Style(32, 18.0),
    "ko": Style(32, 24.0),
    "th": Style(35),
}
"""From the TTSG of each language, where characters of double width are counted once."""


@dataclass(frozen=True)
class Utterance:
    """A segment with its text as it shall be shown, on one line. Times are seconds."""

    start: float
    end: float
    text: str
    words: Sequence[Word] = ()


@dataclass(frozen=True)
class Caption:
    start: int
    """Milliseconds, as is the end, which is always later."""
    end: int
    lines: tuple[str, ...]
    """One or two."""


@dataclass(frozen=True)
class _Piece:
    """What no line breaks: a word, or an ideograph."""

    text: str
    start: float
    """Milliseconds, as is the end."""
    end: float
    spaced: bool
    """A space stands before it."""


def captions(
    track: Iterable[Utterance], *, language: str, duration: float, joint: str = " ", indent: int = 0
) -> list[Caption]:
    """The captions of one track, in order, which never overlap nor outlast the recording.

    `joint` stands between two segments; `indent` columns of each first line are kept free.
    """
    style = _STYLES.get(language, Style())
    indent = min(indent, style.line // 2)
    said = [piece for utterance in track for piece in _pieces(utterance, style.line - indent, joint)]
    chosen = [caption for run in _runs(said) for caption in _Layout(run, style, language, indent).captions()]
    return list(_timed(chosen, style, round(1000 * duration)))


def _pieces(utterance: Utterance, most: int, joint: str) -> Iterator[_Piece]:
    times = _times_of_letters(utterance)
    at = 0
    before = 1000 * utterance.start
    for number, word in enumerate(utterance.text.split(" ")):
        for part, text in enumerate(breaks.pieces(word, most)):
            letters = times[at : at + _letters(text)]
            at += len(letters)
            start, end = (letters[0][0], letters[-1][1]) if letters else (before, before)
            yield _Piece(text, start, end, spaced=part == 0 and (number > 0 or bool(joint)))
            before = end


def _times_of_letters(utterance: Utterance) -> list[tuple[float, float]]:
    """When each letter is spoken. Whatever else is done to a text, its letters stay those of its words."""
    letters = _letters(utterance.text)
    if sum(_letters(word.text) for word in utterance.words) == letters:
        return [time for word in utterance.words for time in _shared_out(word.start, word.end, _letters(word.text))]
    longest = max(LONGEST / 1000, breaks.columns(utterance.text) / SLOWEST)
    return _shared_out(utterance.start, min(utterance.end, utterance.start + longest), letters)


def _shared_out(start: float, end: float, letters: int) -> list[tuple[float, float]]:
    step = 1000 * max(0.0, end - start) / max(1, letters)
    return [(1000 * start + step * number, 1000 * start + step * (number + 1)) for number in range(letters)]


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))


def _runs(said: Sequence[_Piece]) -> Iterator[Sequence[_Piece]]:
    """What is said without a pause."""
    ends = [number for number in range(1, len(said)) if said[number].start - said[number - 1].end > PAUSE]
    for begin, end in pairwise([0, *ends, len(said)]):
        if begin < end:
            yield said[begin:end]


@dataclass(frozen=True)
class _Chosen:
    pieces: Sequence[_Piece]
    lines: tuple[str, ...]


class _Layout:
    """Finds the captions of a run that together cost least, by dynamic programming over the ends of captions."""

    def __init__(self, run: Sequence[_Piece], style: Style, language: str, indent: int) -> None:
        self._run = run
        self._style = style
        self._indent = indent
        self._columns = [0, *accumulate(piece.spaced + breaks.columns(piece.text) for piece in run)]
        pauses = [0.0, *(max(0.0, after.start - before.end) for before, after in pairwise(run))]
        costs = [
            breaks.cost(before.text, after.text, spaced=after.spaced, language=language)
            for before, after in pairwise(run)
        ]
        self._line_costs = [0.0, *costs, 0.0]
        """Of a line that ends before each piece."""
        self._end_costs = [
            min(cost, breaks.CLAUSE) if pause > HESITATION and cost < breaks.NAME else cost
            for cost, pause in zip(self._line_costs, [*pauses, 0.0], strict=True)
        ]
        """Of a caption that ends there: where the speaker hesitates, too."""
        together = (
            SILENCE_COST * pause / 1000 + SENTENCES_TOGETHER_COST * (cost == breaks.SENTENCE)
            for cost, pause in zip(self._line_costs[1:-1], pauses[1:], strict=True)
        )
        self._together_costs = [0.0, 0.0, *accumulate(together)]
        """Of no caption ending anywhere before each piece."""

    def captions(self) -> list[_Chosen]:
        size = len(self._run)
        least = [0.0] + [float("inf")] * size
        way = [(0, 0)] * (size + 1)
        for begin in range(size):
            for end in range(begin + 1, size + 1):
                if end > begin + 1 and not self._may_stand_together(begin, end):
                    break
                cost = least[begin] + self._cost(begin, end)
                if cost < least[end] and (found := self._second_line(begin, end)):
                    middle, line_cost = found
                    if cost + line_cost < least[end]:
                        least[end], way[end] = cost + line_cost, (begin, middle)
        chosen: list[_Chosen] = []
        end = size
        while end:
            begin, middle = way[end]
            lines = [self._text(begin, middle)] + ([self._text(middle, end)] if middle < end else [])
            chosen.append(_Chosen(self._run[begin:end], tuple(lines)))
            end = begin
        return chosen[::-1]

    def _second_line(self, begin: int, end: int) -> tuple[int, float] | None:
        """Where it best begins (at the end, if one line holds all), and what that costs; None: two do not."""
        first_line = self._style.line - self._indent
        if self._width(begin, end) <= first_line:
            return end, 0.0
        best: tuple[int, float] | None = None
        last = bisect_right(self._columns, self._columns[begin] + self._run[begin].spaced + first_line) - 1
        for middle in range(last, begin, -1):
            lower = self._width(middle, end)
            if lower > self._style.line:
                break
            longer = self._width(begin, middle) - lower
            cost = self._line_costs[middle] + UNEVEN_COST * longer**2 + TOP_HEAVY_COST * (longer > 0)
            if best is None or cost < best[1]:
                best = middle, cost
        return best

    def _cost(self, begin: int, end: int) -> float:
        start = self._run[begin].start
        spoken = self._run[end - 1].end
        follows = self._run[end].start - GAP if end < len(self._run) else spoken + HANG
        shown = min(follows, spoken + HANG, start + LONGEST) - start
        lacking = max(0.0, 1000 * self._width(begin, end) / self._style.speed - shown)
        return (
            CAPTION_COST
            + self._end_costs[end]
            + self._together_costs[end]
            - self._together_costs[begin + 1]
            + HURRY_COST * lacking / 1000
            + FLASH_COST * (shown < SHORTEST)
        )

    def _may_stand_together(self, begin: int, end: int) -> bool:
        room = 2 * self._style.line - self._indent + 1
        return self._width(begin, end) <= room and self._run[end - 1].end - self._run[begin].start <= LONGEST

    def _width(self, begin: int, end: int) -> int:
        return self._columns[end] - self._columns[begin] - self._run[begin].spaced

    def _text(self, begin: int, end: int) -> str:
        return "".join(f" {piece.text}" if piece.spaced else piece.text for piece in self._run[begin:end]).strip(" ")


def _timed(chosen: Sequence[_Chosen], style: Style, duration: int) -> Iterator[Caption]:
    """From the first word to the last, and longer where it takes longer to read and nothing else is said."""
    free = 0
    for number, caption in enumerate(chosen):
        start = max(free, round(caption.pieces[0].start))
        spoken = round(caption.pieces[-1].end)
        to_read = round(1000 * sum(map(breaks.columns, caption.lines)) / style.speed)
        end = max(spoken, min(start + max(SHORTEST, to_read), spoken + HANG))
        if number + 1 < len(chosen):
            follows = round(chosen[number + 1].pieces[0].start)
            end = follows - GAP if follows - end < CLOSED_GAP else end
        else:
            end = min(end, max(duration, spoken))
        free = max(start + 1, min(end, start + LONGEST))
        yield Caption(start, free, caption.lines)
