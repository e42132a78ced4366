"""Turns windows into text: several at a time and quickly at first, then each that looks wrong again, with all care.

The quick way encodes 24 s, where Whisper's own 30 s cost more than their share, and searches with beams over a small
batch. It may loop or leave sentences out. Whatever fails one of the gates goes through `WhisperModel.transcribe`, which
has the whole context, looks again behind the last timestamp, and falls back to higher temperatures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from ctranslate2 import StorageView
from ctranslate2.models import WhisperGenerationResult
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_compression_ratio, get_suppressed_tokens

from panotti_daemon.engine.media.audio import SAMPLE_RATE, Samples
from panotti_daemon.engine.speech.windows import WINDOW_SAMPLES
from panotti_daemon.engine.whisper.words import align
from panotti_daemon.models.transcript.models import RequestedSettings, Word

BATCH = 4
"""Windows that are decoded at once: in larger batches the longest text keeps the others waiting."""

_BEAMS = 5
_CONTEXT = WINDOW_SAMPLES + 4 * SAMPLE_RATE
"""Samples that are encoded for a window of any length. With less than 15 s, Whisper falls into loops; with only one
second of silence behind a full window, words get lost; beyond, the cost grows faster than the length."""
_VOCABULARY_TIME = 150
"""The timestamp behind it, 3 s; which one makes little difference."""
_LATEST_START = 50
"""The first timestamp's limit, 1 s, as in `WhisperModel.transcribe`."""
_MOST_TOKENS = 200
"""Nobody says so much in a window. A loop ends here, and is decoded again."""

# The first two are those of `WhisperModel.transcribe`.
_MOST_COMPRESSION = 2.4
_LEAST_LOGPROB = -1.0
_LONGEST_UNHEARD_SECONDS = 1.5
_FASTEST = 25.0
"""Characters a second."""
_SLOWEST = 5.0
"""Bytes a second, for a language that needs few characters needs more bytes for each."""
_SHORT_SECONDS = 3.0
"""For less, speed says little."""


@dataclass(frozen=True)
class Piece:
    """Text, and the seconds of its window that it was spoken in."""

    start: float
    end: float
    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    words: tuple[Word, ...] = ()
    """Their times are the window's, too."""


@dataclass(frozen=True)
class Decoded:
    pieces: tuple[Piece, ...]
    again: bool = False
    """It took a second decoding."""
    suspect: bool = False
    """That failed the gates too."""


class Decoder:
    """One model and one language. Any number of threads may call it at once."""

    def __init__(self, whisper: WhisperModel, language: str, settings: RequestedSettings) -> None:
        self._whisper = whisper
        self._language = language
        self._settings = settings
        self._vocabulary = ", ".join(settings.vocabulary) or None
        multilingual = whisper.model.is_multilingual
        self._tokenizer = Tokenizer(whisper.hf_tokenizer, multilingual, task=settings.task, language=language)
        self._prompt = self._before_a_window()
        self._suppressed = get_suppressed_tokens(self._tokenizer, [-1])

    def decode(self, windows: Sequence[Samples]) -> list[Decoded]:
        """The text of each window; at most `BATCH` of them are worth giving at once."""
        encoded = np.concatenate([self._encoded(samples) for samples in windows])
        results = self._whisper.model.generate(
            StorageView.from_array(encoded),
            [self._prompt] * len(windows),
            beam_size=_BEAMS,
            max_length=len(self._prompt) + _MOST_TOKENS,
            max_initial_timestamp_index=_LATEST_START,
            suppress_tokens=self._suppressed,
            return_scores=True,
            return_no_speech_prob=True,
        )
        return [
            self._checked(samples, result, encoded[number : number + 1])
            for number, (samples, result) in enumerate(zip(windows, results, strict=True))
        ]

    def _before_a_window(self) -> list[int]:
        """The vocabulary as something that was said, between two times. Behind text without any, Whisper hardly sets
        one itself, and a window becomes a single piece."""
        said: list[int] = []
        if self._vocabulary:
            begin = self._tokenizer.timestamp_begin
            words = self._tokenizer.encode(f" {self._vocabulary}")[: self._whisper.max_length // 2 - 3]
            said = [begin, *words, begin + _VOCABULARY_TIME]
        return list(self._whisper.get_prompt(self._tokenizer, said))

    def _encoded(self, samples: Samples) -> Samples:
        """One window at a time: attention over several at once outgrows a core's cache, and takes a third longer."""
        features = self._whisper.feature_extractor(np.pad(samples, (0, _CONTEXT - len(samples))), padding=0)
        return np.array(self._whisper.encode(features))

    def _checked(self, samples: Samples, result: WhisperGenerationResult, encoded: Samples) -> Decoded:
        seconds = len(samples) / SAMPLE_RATE
        found = list(self._pieces(result, seconds))
        pieces = tuple(piece for piece, _ in found)
        if looks_right(pieces, seconds):
            if self._settings.words:
                texts = [tokens for _, tokens in found]
                words = align(self._whisper, self._tokenizer, encoded, texts, seconds)
                pieces = tuple(replace(piece, words=said) for piece, said in zip(pieces, words, strict=True))
            return Decoded(pieces)
        pieces = tuple(self._with_care(samples, seconds))
        return Decoded(pieces, again=True, suspect=not looks_right(pieces, seconds))

    def _pieces(self, result: WhisperGenerationResult, seconds: float) -> Iterator[tuple[Piece, list[int]]]:
        """What lies between timestamps, with its tokens. Text behind the last one lasts to the end."""
        tokens = result.sequences_ids[0]
        words = self._tokenizer.decode([token for token in tokens if token < self._tokenizer.eot])
        avg_logprob = result.scores[0] * len(tokens) / (len(tokens) + 1)
        start, waiting = 0.0, list[int]()
        for token in (*tokens, None):
            if token is not None and token < self._tokenizer.timestamp_begin:
                waiting.append(token)
                continue
            time = seconds
            if token is not None:
                time = min((token - self._tokenizer.timestamp_begin) * self._whisper.time_precision, seconds)
            if text := self._tokenizer.decode(waiting).strip():
                compression = get_compression_ratio(words.strip())
                piece = Piece(start, max(time, start), text, avg_logprob, result.no_speech_prob, compression)
                yield piece, waiting
            start, waiting = time, []

    def _with_care(self, samples: Samples, seconds: float) -> Iterator[Piece]:
        segments, _ = self._whisper.transcribe(
            samples,
            language=self._language,
            task=self._settings.task,
            beam_size=_BEAMS,
            condition_on_previous_text=False,
            hotwords=self._vocabulary,
            word_timestamps=self._settings.words,
        )
        for found in segments:
            if text := found.text.strip():
                yield Piece(
                    start=min(found.start, seconds),
                    end=min(found.end, seconds),
                    text=text,
                    avg_logprob=found.avg_logprob,
                    no_speech_prob=found.no_speech_prob,
                    compression_ratio=found.compression_ratio,
                    words=tuple(
                        Word(
                            start=min(word.start, seconds),
                            end=min(word.end, seconds),
                            text=word.word,
                            probability=word.probability,
                        )
                        for word in found.words or ()
                    ),
                )


def looks_right(pieces: Sequence[Piece], seconds: float) -> bool:
    """Whether the text of a window that holds so many seconds, all of them speech, passes every gate."""
    if not pieces:
        return seconds < _LONGEST_UNHEARD_SECONDS
    edges = [0.0, *(edge for piece in pieces for edge in (piece.start, piece.end)), seconds]
    heard = all(end - start <= _LONGEST_UNHEARD_SECONDS for start, end in zip(edges[::2], edges[1::2], strict=True))
    return (
        heard
        and all(piece.compression_ratio <= _MOST_COMPRESSION for piece in pieces)
        and all(piece.avg_logprob >= _LEAST_LOGPROB for piece in pieces)
        and all(
            _SLOWEST * _lasts(piece) <= len(piece.text.encode()) for piece in pieces if _lasts(piece) > _SHORT_SECONDS
        )
        and sum(len(piece.text) for piece in pieces) <= _FASTEST * max(seconds, _SHORT_SECONDS)
        and not any(before.text == after.text for before, after in pairwise(pieces))
    )


def _lasts(piece: Piece) -> float:
    return piece.end - piece.start
