"""What servers answer: OpenAI's `verbose_json` in all its dialects, or nothing but a text."""

from __future__ import annotations

import math
import re
import zlib
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from panotti_daemon.engine.remote.languages import code_of
from panotti_daemon.models.transcript.models import Segment, Word

Number = Annotated[float, Field(allow_inf_nan=False)]

_LAST_SPACE = re.compile(r"(?<!\s)\s+\S*$")
"""Between two words: what comes behind it, such as a bracket, belongs to the second."""


class Nonsense(Exception):
    """No such answer; its words never quote what was said."""


class _Said(BaseModel):
    model_config = {"hide_input_in_errors": True}

    start: Number
    end: Number


class _SaidWord(_Said):
    word: str
    probability: Number | None = None


class _SaidSegment(_Said):
    text: str
    avg_logprob: Number | None = None
    no_speech_prob: Number | None = None
    compression_ratio: Number | None = None
    words: tuple[_SaidWord, ...] | None = None


class Answer(BaseModel):
    model_config = {"hide_input_in_errors": True}

    text: str
    language: str | None = None
    segments: tuple[_SaidSegment, ...] | None = None
    words: tuple[_SaidWord, ...] | None = None
    """Some servers put them into the segments."""

    @classmethod
    def parse(cls, body: bytes) -> Answer:
        """Raises Nonsense."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise Nonsense(f"{where}: {first['msg']}" if where else first["msg"]) from None

    @property
    def language_code(self) -> str | None:
        return code_of(self.language)

    def on_clock(self, seconds: float) -> Iterator[Segment]:
        """The segments of a part that lasts so long, on the part's own clock, in order and within its bounds; without
        any, the text as one."""
        said: Sequence[_SaidSegment] = self.segments or (_SaidSegment(start=0.0, end=seconds, text=self.text),)
        said = sorted(said, key=lambda one: (one.start, one.end))
        for one, words in zip(said, self._words_of(said), strict=True):
            if text := one.text.strip():
                start, end = _within(one, 0.0, seconds)
                yield Segment(
                    start=start,
                    end=end,
                    text=text,
                    avg_logprob=round(one.avg_logprob or 0.0, 4),
                    no_speech_prob=round(one.no_speech_prob or 0.0, 4),
                    compression_ratio=round(one.compression_ratio or _compression(text), 3),
                    words=tuple(_words(words, text, start, end, math.exp(min(0.0, one.avg_logprob or 0.0)))),
                )

    def _words_of(self, segments: Sequence[_SaidSegment]) -> Sequence[Sequence[_SaidWord]]:
        """Those of each segment. One of the whole answer belongs to the last that begins before its middle."""
        found = [list(segment.words or ()) for segment in segments]
        if segments and all(segment.words is None for segment in segments):
            starts = [segment.start for segment in segments]
            for word in self.words or ():
                found[max(0, bisect(starts, (word.start + word.end) / 2) - 1)].append(word)
        return found


def _words(said: Sequence[_SaidWord], text: str, start: float, end: float, usual: float) -> Iterator[Word]:
    """Their texts together are the segment's: servers leave out spaces, and some punctuation. `usual` is the
    probability of those of which none is told."""
    earliest = start
    for word, its_text in zip(said, _cut(f" {text}", [word.word.strip() for word in said]), strict=True):
        begins, earliest = _within(word, earliest, end)
        probability = usual if word.probability is None else min(max(word.probability, 0.0), 1.0)
        yield Word(start=begins, end=earliest, text=its_text, probability=round(probability, 3))


def _within(said: _Said, first: float, last: float) -> tuple[float, float]:
    start = min(max(said.start, first), last)
    return round(start, 3), round(min(max(said.end, start), last), 3)


def _cut(text: str, words: Sequence[str]) -> list[str]:
    """The text, cut before the space in front of each word; or the words alone, if they do not stand in it so."""
    edges: list[int] = []
    end = 0
    for word in words:
        start = text.find(word, end)
        if start < 0:
            return [f" {word}" for word in words]
        space = _LAST_SPACE.search(text, end, start)
        edges.append(space.start() if space else start)
        end = start + len(word)
    return [text[start:end] for start, end in pairwise([0, *edges[1:], len(text)])] if words else []


def _compression(text: str) -> float:
    """As Whisper measures it."""
    written = text.encode()
    return len(written) / len(zlib.compress(written))
