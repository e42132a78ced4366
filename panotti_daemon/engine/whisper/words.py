"""When each word of a window was spoken, as the model's attention tells, and the lines that words make."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from ctranslate2 import StorageView
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import merge_punctuations

from panotti_daemon.engine.media.audio import Samples
from panotti_daemon.models.transcript.breaks import SENTENCE, cost
from panotti_daemon.models.transcript.models import Word

# As in `WhisperModel.transcribe`.
PUNCTUATION_BEFORE = "\"'“¿([{-"
PUNCTUATION_BEHIND = "\"'.。,，!！?？:：”)]}、"
_PAUSE_SECONDS = 0.7


def align(
    whisper: WhisperModel, tokenizer: Tokenizer, encoded: Samples, text: Sequence[int], seconds: float
) -> tuple[Word, ...]:
    """The words of a window's text, which is given as tokens; times are the window's."""
    spoken = np.ascontiguousarray(encoded[:, : math.ceil(seconds * whisper.tokens_per_second)])
    frames = round(seconds * whisper.frames_per_second)
    (found,) = whisper.find_alignment(tokenizer, [list(text)], StorageView.from_array(spoken), frames)
    merge_punctuations(found, PUNCTUATION_BEFORE, PUNCTUATION_BEHIND)
    return tuple(
        Word(
            start=min(float(word["start"]), seconds),
            end=min(float(word["end"]), seconds),
            text=word["word"],
            probability=float(word["probability"]),
        )
        for word in found
        if word["word"].strip()
    )


def text_of(words: Sequence[Word]) -> str:
    return "".join(word.text for word in words).strip()


def lines(words: Sequence[Word], language: str) -> Iterator[tuple[Word, ...]]:
    """The words, cut where a sentence ends and where nothing is said for a while."""
    start = 0
    for end, (before, after) in enumerate(pairwise(words), 1):
        paused = after.start - before.end >= _PAUSE_SECONDS
        if paused or cost(before.text.strip(), after.text.strip(), spaced=True, language=language) == SENTENCE:
            yield tuple(words[start:end])
            start = end
    if words:
        yield tuple(words[start:])
