"""Turns windows into text: several at a time and quickly at first, then each that looks wrong again, with all care.

The quick way encodes 22 s, where Whisper's own 30 s cost more than their share, and searches with beams over a small
batch. It asks for no timestamps, which cost tokens and make the model leave words out: the words are found in the sound
afterwards. It may loop or leave sentences out. Whatever fails one of the gates is tried with timestamps, which leads
the model past what it skipped, and then by `WhisperModel.transcribe`, which has the whole context, looks again behind
the last timestamp, and falls back to higher temperatures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ctranslate2 import StorageView
from ctranslate2.models import WhisperGenerationResult
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_compression_ratio, get_suppressed_tokens

from panotti_daemon.engine.media.audio import SAMPLE_RATE, Samples
from panotti_daemon.engine.speech.windows import WINDOW_SAMPLES
from panotti_daemon.engine.whisper.words import align, lines, text_of
from panotti_daemon.models.transcript.models import RequestedSettings, Word

BATCH = 5
"""Windows that are decoded at once: in larger batches the longest text keeps the others waiting."""

_BEAMS = 5
_CONTEXT = WINDOW_SAMPLES + 2 * SAMPLE_RATE
"""Samples that are encoded for a window of any length. With less than 15 s, Whisper falls into loops; with only one
second of silence behind a full window, words get lost; beyond, the cost grows faster than the length."""
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
_DIGIT = 5
"""Characters that it takes to say one."""


@dataclass(frozen=True)
class Piece:
    """Words that were decoded together; their times are seconds of their window."""

    words: tuple[Word, ...]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float


@dataclass(frozen=True)
class Decoded:
    pieces: tuple[Piece, ...]
    heard_seconds: float
    """Of the window; the rest has no text."""
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
        self._prompt = self._prompted(without_timestamps=True)
        self._prompt_for_timestamps = self._prompted(without_timestamps=False)
        self._suppressed = get_suppressed_tokens(self._tokenizer, [-1])

    def decode(self, windows: Sequence[Samples]) -> list[Decoded]:
        """The text of each window; at most `BATCH` of them are worth giving at once."""
        encoded = np.concatenate([self._encoded(samples) for samples in windows])
        results = self._generated(encoded, self._prompt)
        return [
            self._checked(samples, result, encoded[number : number + 1])
            for number, (samples, result) in enumerate(zip(windows, results, strict=True))
        ]

    def _prompted(self, *, without_timestamps: bool) -> list[int]:
        return list(
            self._whisper.get_prompt(
                self._tokenizer, [], without_timestamps=without_timestamps, hotwords=self._vocabulary
            )
        )

    def _generated(self, encoded: Samples, prompt: list[int]) -> list[WhisperGenerationResult]:
        results: list[WhisperGenerationResult] = self._whisper.model.generate(
            StorageView.from_array(encoded),
            [prompt] * len(encoded),
            beam_size=_BEAMS,
            max_length=len(prompt) + _MOST_TOKENS,
            max_initial_timestamp_index=_LATEST_START,
            suppress_tokens=self._suppressed,
            return_scores=True,
            return_no_speech_prob=True,
        )
        return results

    def _encoded(self, samples: Samples) -> Samples:
        """One window at a time: attention over several at once outgrows a core's cache, and takes a third longer."""
        features = self._whisper.feature_extractor(np.pad(samples, (0, _CONTEXT - len(samples))), padding=0)
        return np.array(self._whisper.encode(features))

    def _checked(self, samples: Samples, result: WhisperGenerationResult, encoded: Samples) -> Decoded:
        seconds = len(samples) / SAMPLE_RATE
        pieces = self._heard(result, encoded, seconds)
        if looks_right(pieces, seconds, self._language):
            return Decoded(pieces, seconds)
        (result,) = self._generated(encoded, self._prompt_for_timestamps)
        pieces = self._heard(result, encoded, seconds)
        if not looks_right(pieces, seconds, self._language):
            pieces = tuple(self._with_care(samples, seconds))
        heard = seconds - sum(unheard(pieces, seconds))
        return Decoded(pieces, heard, again=True, suspect=not looks_right(pieces, seconds, self._language))

    def _heard(self, result: WhisperGenerationResult, encoded: Samples, seconds: float) -> tuple[Piece, ...]:
        tokens = result.sequences_ids[0]
        text = [token for token in tokens if token < self._tokenizer.eot]
        words = align(self._whisper, self._tokenizer, encoded, text, seconds) if text else ()
        if not words:
            return ()
        return (
            Piece(
                words,
                avg_logprob=result.scores[0] * len(tokens) / (len(tokens) + 1),
                no_speech_prob=result.no_speech_prob,
                compression_ratio=get_compression_ratio(text_of(words)),
            ),
        )

    def _with_care(self, samples: Samples, seconds: float) -> Iterator[Piece]:
        segments, _ = self._whisper.transcribe(
            samples,
            language=self._language,
            task=self._settings.task,
            beam_size=_BEAMS,
            condition_on_previous_text=False,
            hotwords=self._vocabulary,
            word_timestamps=True,
        )
        for found in segments:
            words = tuple(
                Word(
                    start=min(word.start, seconds),
                    end=min(word.end, seconds),
                    text=word.word,
                    probability=word.probability,
                )
                for word in found.words or ()
            )
            if words:
                yield Piece(words, found.avg_logprob, found.no_speech_prob, found.compression_ratio)


def looks_right(pieces: Sequence[Piece], seconds: float, language: str) -> bool:
    """Whether the text of a window that holds so many seconds, all of them speech, passes every gate."""
    words = [word for piece in pieces for word in piece.words]
    said = list(lines(words, language))
    texts = [text_of(line) for line in said]
    return (
        not any(unheard(pieces, seconds))
        and not any(_hides_speech(word) for word in words)
        and all(piece.compression_ratio <= _MOST_COMPRESSION for piece in pieces)
        and all(piece.avg_logprob >= _LEAST_LOGPROB for piece in pieces)
        and not any(_drags(line) for line in said)
        and len(text_of(words)) <= _FASTEST * max(seconds, _SHORT_SECONDS)
        and not any(len(set(some)) == 1 for some in zip(texts, texts[1:], texts[2:], strict=False))
    )


def unheard(pieces: Iterable[Piece], seconds: float) -> Iterator[float]:
    """The seconds of each part without text of a window that holds so many, all of them speech."""
    edges = [0.0, *(edge for piece in pieces for word in piece.words for edge in (word.start, word.end)), seconds]
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start > _LONGEST_UNHEARD_SECONDS:
            yield end - start


def _drags(line: Sequence[Word]) -> bool:
    lasts = line[-1].end - line[0].start
    return lasts > _SHORT_SECONDS and len(text_of(line).encode()) < _SLOWEST * lasts


def _hides_speech(word: Word) -> bool:
    """Speech that the text leaves out is given to the word beside it, which then seems to last too long."""
    lasts = word.end - word.start
    characters = sum(_DIGIT if character.isdigit() else len(character.encode()) for character in word.text)
    return lasts > _LONGEST_UNHEARD_SECONDS and characters < _SLOWEST * lasts
