"""Turns tracks into a transcription: windows are decoded in parallel, while the audio behind them is still being read.

The speed comes from the windows, which hold nothing but speech, from one CTranslate2 worker of one thread for each
core, and from the quick way of the decoder.
"""

from __future__ import annotations

import importlib.metadata
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count, islice, pairwise
from typing import TypeVar

import psutil
from faster_whisper import WhisperModel
from tqdm import tqdm  # type: ignore[import-untyped]

from panotti_daemon.engine import audio
from panotti_daemon.engine.audio import SAMPLE_RATE
from panotti_daemon.engine.decoder import BATCH, Decoded, Decoder
from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.messages import Progress, Stage, Track, Workers
from panotti_daemon.engine.model_store import ResolvedModel
from panotti_daemon.engine.windows import SpeechDetector, Window, windows
from panotti_daemon.errors import ModelUnavailable
from panotti_daemon.models.transcript.models import Coverage, Segment, Transcription

T = TypeVar("T")

MOST_WORKERS = 8
UNDETERMINED = "und"
"""The language of a recording without speech, as ISO 639 calls it."""

_PROGRESS_SECONDS = 0.25


def worker_count(workers: Workers) -> int:
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    return max(1, min(cores, MOST_WORKERS) if workers == "auto" else workers)


def load(model: ResolvedModel, workers: int) -> WhisperModel:
    """The model, in memory, once for all workers.

    Raises:
        ModelUnavailable: it is damaged, or no Whisper model.
    """
    tqdm.monitor_interval = 0  # or the progress bars that faster-whisper hides start a thread that never ends
    try:
        return WhisperModel(str(model.path), device="cpu", compute_type="int8", cpu_threads=1, num_workers=workers)
    except (RuntimeError, ValueError) as error:
        raise ModelUnavailable(f"The model {model.name} in {model.path} cannot be loaded: {error}") from error


@dataclass
class _Meter:
    """Counts the seconds of audio that are done, and tells of them four times a second at most."""

    total: float | None
    model: str
    tell: Callable[[Progress], None]
    gate: Gate
    done: float = 0.0
    started: float = field(default_factory=time.monotonic)
    told: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    held_before: float = field(init=False)

    def __post_init__(self) -> None:
        self.held_before = self.gate.held_seconds

    def add(self, seconds: float) -> None:
        with self.lock:
            self.done += seconds
            now = time.monotonic()
            if now - self.told >= _PROGRESS_SECONDS:
                self.told = now
                held = self.gate.held_seconds - self.held_before
                self.tell(self._progress(now - self.started - held))

    def _progress(self, elapsed: float) -> Progress:
        if self.total is None:
            return Progress(stage=Stage.TRANSCRIBING, model=self.model, fraction=None)
        left = max(self.total - self.done, 0.0)
        return Progress(
            stage=Stage.TRANSCRIBING,
            model=self.model,
            fraction=min(self.done / self.total, 1.0),
            seconds_left=round(left * elapsed / self.done, 1) if self.done else None,
        )


@dataclass(frozen=True)
class _Language:
    code: str
    probability: float


@dataclass(frozen=True)
class _Timed:
    window: Window
    seconds: float
    """Of the track that are done when it is."""


class Transcriber:
    """A model in memory, with a worker for each window that is decoded at a time."""

    def __init__(self, model: ResolvedModel, workers: int) -> None:
        self.model = model
        self.workers = workers
        self._whisper = load(model, workers)

    def transcribe(
        self, tracks: Sequence[Track], language: str, tell: Callable[[Progress], None], gate: Gate
    ) -> Transcription:
        """Windows are begun as the gate lets them.

        Raises:
            MediaError, SourceUnavailable: a track cannot be decoded.
            ModelUnavailable: the model does not know the language.
        """
        if language != "auto" and language not in self._whisper.supported_languages:
            raise ModelUnavailable(f"The model {self.model.name} does not know the language {language!r}")
        return _Job(self._whisper, self.model.name, self.workers, tracks, language, tell, gate).run()


class _Job:
    """One recording on its way through the engine."""

    def __init__(
        self,
        whisper: WhisperModel,
        model: str,
        workers: int,
        tracks: Sequence[Track],
        language: str,
        tell: Callable[[Progress], None],
        gate: Gate,
    ) -> None:
        self._whisper = whisper
        self._model = model
        self._workers = workers
        self._tracks = tracks
        self._gate = gate
        self._language: _Language | None = None if language == "auto" else _Language(language, 1.0)
        self._decoder: Decoder | None = None
        self._lock = threading.Lock()
        """Held to count, which every worker does."""
        self._windows_decoded = self._again = self._suspect = 0
        self._transcribed_seconds = 0.0
        self._warnings: list[str] = []
        self._duration = 0.0
        self._speech_samples = 0
        lengths = [audio.probe(track.path).duration for track in tracks]
        total = None if None in lengths else sum(length or 0.0 for length in lengths)
        self._meter = _Meter(total or None, model, tell, gate)

    def run(self) -> Transcription:
        self._meter.add(0.0)
        segments = sorted(self._decoded(), key=lambda segment: (segment.start, segment.end))
        language = self._language if self._speech_samples and self._language else _Language(UNDETERMINED, 0.0)
        return Transcription(
            segments=tuple(segments),
            language=language.code,
            language_probability=round(language.probability, 3),
            model=self._model,
            duration=round(self._duration, 3),
            speech_seconds=round(self._speech_samples / SAMPLE_RATE, 3),
            coverage=Coverage(
                transcribed_seconds=round(self._transcribed_seconds, 3),
                windows=self._windows_decoded,
                decoded_again=self._again,
                suspect=self._suspect,
            ),
            warnings=tuple(self._warnings),
            versions={name: importlib.metadata.version(name) for name in ("faster_whisper", "ctranslate2")},
        )

    def _decoded(self) -> list[Segment]:
        """Reading waits for decoding: as many batches wait for a worker as there are workers, and no more."""
        segments: list[Segment] = []
        pending: deque[Future[list[Segment]]] = deque()
        with ThreadPoolExecutor(self._workers) as pool:
            for track in self._tracks:
                for batch in batches(self._windows(track), self._workers):
                    if len(pending) == 2 * self._workers:
                        segments += pending.popleft().result()
                    pending.append(pool.submit(self._decode, batch, track.label, self._decoder_for(batch[0])))
            while pending:
                segments += pending.popleft().result()
        return segments

    def _windows(self, track: Track) -> Iterator[_Timed]:
        length = 0

        def counted() -> Iterator[audio.Samples]:
            nonlocal length
            for block in audio.decode(track.path, self._warn):
                length += len(block)
                yield block

        before = 0
        for window in windows(counted(), SpeechDetector()):
            self._speech_samples += len(window.samples)
            yield _Timed(window, (window.end - before) / SAMPLE_RATE)
            before = window.end
        self._duration = max(self._duration, length / SAMPLE_RATE)
        self._meter.add((length - before) / SAMPLE_RATE)

    def _warn(self, message: str) -> None:
        self._warnings.append(message)

    def _decoder_for(self, first: _Timed) -> Decoder:
        """The language of a recording is that of its first window."""
        if self._decoder is None:
            self._language = self._language or self._detect_language(first.window)
            self._decoder = Decoder(self._whisper, self._language.code)
        return self._decoder

    def _detect_language(self, window: Window) -> _Language:
        if not self._whisper.model.is_multilingual:
            return _Language("en", 1.0)
        code, probability, _ = self._whisper.detect_language(window.samples)
        return _Language(code, probability)

    def _decode(self, batch: Sequence[_Timed], label: str | None, decoder: Decoder) -> list[Segment]:
        with self._gate:
            results = decoder.decode([timed.window.samples for timed in batch])
        segments: list[Segment] = []
        for timed, decoded in zip(batch, results, strict=True):
            self._covered(decoded)
            segments += _segments(timed.window, decoded, label)
            self._meter.add(timed.seconds)
        return segments

    def _covered(self, decoded: Decoded) -> None:
        with self._lock:
            self._windows_decoded += 1
            self._again += decoded.again
            self._suspect += decoded.suspect
            self._transcribed_seconds += sum(piece.end - piece.start for piece in decoded.pieces)


def batches(windows: Iterable[T], workers: int) -> Iterator[Sequence[T]]:
    """One by one at first, for something to show and for all workers to have something to do; then ever more at once,
    the last ones shared out evenly, so that no worker waits for another at the end.

    Which windows are decoded together depends on nothing else, so that the same recording gives the same text.
    """
    waiting = iter(windows)
    for size in count(1):
        share = list(islice(waiting, min(size, BATCH) * workers))
        if not share:
            return
        yield from _shared_out(share, min(workers, len(share)))


def _shared_out(windows: Sequence[T], shares: int) -> Iterator[Sequence[T]]:
    """In their order; the sizes differ by one at most."""
    edges = [len(windows) * number // shares for number in range(shares + 1)]
    for start, end in pairwise(edges):
        yield windows[start:end]


def _segments(window: Window, decoded: Decoded, label: str | None) -> Iterator[Segment]:
    for piece in decoded.pieces:
        place = window.on_track(round(piece.start * SAMPLE_RATE), round(piece.end * SAMPLE_RATE))
        yield Segment(
            start=round(place.start / SAMPLE_RATE, 3),
            end=round(place.end / SAMPLE_RATE, 3),
            text=piece.text,
            track=label,
            avg_logprob=round(piece.avg_logprob, 4),
            no_speech_prob=round(piece.no_speech_prob, 4),
            compression_ratio=round(piece.compression_ratio, 3),
        )
