"""One recording on its way through the engine: windows are decoded in parallel, while the audio behind them is still
being read."""

from __future__ import annotations

import importlib.metadata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import TypeVar

from faster_whisper import WhisperModel

from panotti_daemon.engine.checkpoints import Earlier, Place
from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.media.audio import SAMPLE_RATE
from panotti_daemon.engine.messages import Track
from panotti_daemon.engine.meter import Meter
from panotti_daemon.engine.speech.hearing import Hearing, Timed
from panotti_daemon.engine.speech.windows import Window
from panotti_daemon.engine.whisper.decoder import BATCH, Decoded, Decoder, Piece
from panotti_daemon.engine.whisper.words import lines, text_of
from panotti_daemon.models.transcript.models import (
    Checkpoint,
    DecodedWindow,
    RequestedSettings,
    Segment,
    Transcription,
    Word,
)

T = TypeVar("T")

DOUBTFUL = 0.5
"""With less than this probability, the language is looked for in more than the first window."""
WINDOWS_IN_DOUBT = 3


@dataclass(frozen=True)
class _Language:
    code: str
    probability: float
    """0: nobody looked for it."""


class Job:
    """Runs once. What a checkpoint of the same model holds is not decoded again."""

    def __init__(
        self,
        whisper: WhisperModel,
        model: str,
        workers: int,
        tracks: Sequence[Track],
        settings: RequestedSettings,
        *,
        done: Iterable[Checkpoint],
        gate: Gate,
        meter: Meter,
        keep: Callable[[Checkpoint], None],
    ) -> None:
        self._whisper = whisper
        self._model = model
        self._workers = workers
        self._settings = settings
        self._gate = gate
        self._meter = meter
        self._keep = keep
        self._tracks = tracks
        self._hearing = Hearing(tracks, noise_reduction=settings.noise_reduction, gate=gate, meter=meter)
        self._earlier = Earlier(done, {model})
        self._language = _asked_or_found(settings.language, self._earlier.checkpoints)
        if self._language is None and not whisper.model.is_multilingual:
            self._language = _Language("en", 0.0)
        self._decoder: Decoder | None = None

    def run(self) -> Transcription:
        """Raises JobEnded, MediaError and SourceUnavailable."""
        self._meter.tell()
        decoded = self._decoded()
        language, probability = (self._language.code, self._language.probability) if self._language else (None, 0.0)
        result = self._hearing.transcription(decoded, self._model, language, probability)
        versions = {name: importlib.metadata.version(name) for name in ("faster_whisper", "ctranslate2")}
        return result.model_copy(update={"versions": versions})

    def _decoded(self) -> list[DecodedWindow]:
        """Reading waits for decoding: as many batches wait for a worker as there are workers, and no more."""
        decoded: list[DecodedWindow] = []
        pending: deque[Future[list[DecodedWindow]]] = deque()
        with ThreadPoolExecutor(self._workers) as pool:
            for number, track in enumerate(self._tracks):
                for batch in batches(self._with_language(self._hearing.windows(track)), self._workers):
                    missing = [timed for timed in batch if _key(number, timed.window) not in self._earlier]
                    decoded += self._taken_over(number, batch)
                    if len(pending) == 2 * self._workers:
                        decoded += pending.popleft().result()
                    if missing:
                        pending.append(pool.submit(self._decode, number, missing, self._decoder_in_use()))
            while pending:
                decoded += pending.popleft().result()
        return sorted(decoded, key=lambda window: (window.track, window.start))

    def _taken_over(self, number: int, batch: Iterable[Timed]) -> Iterator[DecodedWindow]:
        for timed in batch:
            if found := self._earlier.find(_key(number, timed.window)):
                self._meter.skip(timed.seconds, timed.speech)
                yield found[1]

    def _with_language(self, found: Iterator[Timed]) -> Iterator[Timed]:
        """The same windows, once the language is known: that of the recording's first window, and of some more where
        that one leaves doubts."""
        if self._language is None:
            first = list(islice(found, 1))
            if first:
                self._language = self._detected(first)
                if self._language.probability < DOUBTFUL:
                    first += islice(found, WINDOWS_IN_DOUBT - 1)
                    self._language = self._detected(first)
            found = chain(first, found)
        return found

    def _detected(self, heard: Sequence[Timed]) -> _Language:
        """Of the windows' most likely languages, the one with the highest probabilities in all."""
        guesses = [self._whisper.detect_language(timed.window.samples)[:2] for timed in heard]
        totals: dict[str, float] = {}
        for code, probability in guesses:
            totals[code] = totals.get(code, 0.0) + probability
        best = max(totals, key=totals.__getitem__)
        return _Language(best, totals[best] / len(guesses))

    def _decoder_in_use(self) -> Decoder:
        if self._decoder is None:
            assert self._language
            self._decoder = Decoder(self._whisper, self._language.code, self._settings)
        return self._decoder

    def _decode(self, number: int, batch: Sequence[Timed], decoder: Decoder) -> list[DecodedWindow]:
        seconds, speech = sum(timed.seconds for timed in batch), sum(timed.speech for timed in batch)
        with self._gate, self._meter.decoding(seconds, speech):
            results = decoder.decode([timed.window.samples for timed in batch])
        assert self._language
        found = [
            self._decoded_window(number, timed.window, decoded) for timed, decoded in zip(batch, results, strict=True)
        ]
        self._keep(
            Checkpoint(
                model=self._model,
                language=self._language.code,
                language_probability=self._language.probability,
                windows=tuple(found),
                fraction=self._meter.fraction or 0.0,
            )
        )
        return found

    def _decoded_window(self, number: int, window: Window, decoded: Decoded) -> DecodedWindow:
        assert self._language
        found = chain.from_iterable(_segments(window, piece, self._language.code) for piece in decoded.pieces)
        kept: dict[str, object] = {"track": self._tracks[number].label}
        if not self._settings.words:
            kept["words"] = ()
        segments = tuple(segment.model_copy(update=kept) for segment in found)
        _, start, end = _key(number, window)
        return DecodedWindow(
            track=number,
            start=start,
            end=end,
            segments=segments,
            transcribed_seconds=decoded.heard_seconds,
            again=decoded.again,
            suspect=decoded.suspect,
        )


def batches(windows: Iterable[T], workers: int) -> Iterator[Sequence[T]]:
    """One for each worker at first, as soon as it is read, for something to show soon; then as many at once as are
    worth it, the last ones shared out evenly, so that no worker waits for another at the end.

    Which windows are decoded together depends on nothing else, so that the same recording gives the same text.
    """
    waiting = iter(windows)
    for window in islice(waiting, workers):
        yield (window,)
    while share := list(islice(waiting, BATCH * workers)):
        yield from _shared_out(share, min(workers, len(share)))


def _shared_out(windows: Sequence[T], shares: int) -> Iterator[Sequence[T]]:
    """In their order; the sizes differ by one at most."""
    edges = [len(windows) * number // shares for number in range(shares + 1)]
    for start, end in pairwise(edges):
        yield windows[start:end]


def _asked_or_found(setting: str, earlier: Sequence[Checkpoint]) -> _Language | None:
    if setting != "auto":
        return _Language(setting, 1.0)
    return next((_Language(found.language, found.language_probability) for found in earlier), None)


def _key(track: int, window: Window) -> Place:
    return track, window.stretches[0].start, window.end


def _segments(window: Window, piece: Piece, language: str) -> Iterator[Segment]:
    """A sentence each, or what is said between pauses."""
    for words in lines(list(_on_track(window, piece.words)), language):
        yield Segment(
            start=words[0].start,
            end=words[-1].end,
            text=text_of(words),
            avg_logprob=round(piece.avg_logprob, 4),
            no_speech_prob=round(piece.no_speech_prob, 4),
            compression_ratio=round(piece.compression_ratio, 3),
            words=words,
        )


def _on_track(window: Window, words: Sequence[Word]) -> Iterator[Word]:
    """The words of a window with the recording's seconds, each behind the one before."""
    earliest = 0.0
    for word in words:
        place = window.on_track(round(word.start * SAMPLE_RATE), round(word.end * SAMPLE_RATE))
        start = max(round(place.start / SAMPLE_RATE, 3), earliest)
        earliest = max(round(place.end / SAMPLE_RATE, 3), start)
        yield word.model_copy(update={"start": start, "end": earliest, "probability": round(word.probability, 3)})
