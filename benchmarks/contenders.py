"""What is compared: Panotti's engine, and the two ways in which most tools call faster-whisper, on the same model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faster_whisper import BatchedInferencePipeline, WhisperModel

from benchmarks.report import BATCHED, OURS, SEQUENTIAL
from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.machine.hardware import machine
from panotti_daemon.engine.messages import Track
from panotti_daemon.engine.models.store import ResolvedModel
from panotti_daemon.engine.whisper.transcriber import Transcriber
from panotti_daemon.models.transcript.models import RequestedSettings

BATCH = 8
CORES = machine().cores


@dataclass(frozen=True)
class Heard:
    text: str
    language: str


@dataclass(frozen=True)
class Contender:
    name: str
    settings: str
    hear: Callable[[Path, str | None], Heard]
    """What is said in a file whose language is given, or None where it is to be found."""


def panotti(model: ResolvedModel, workers: int | None = None) -> Contender:
    transcriber = Transcriber(model, workers or machine().workers_for(None))

    def hear(path: Path, language: str | None) -> Heard:
        result = transcriber.transcribe([Track(path=path)], RequestedSettings(language=language or "auto"), gate=Gate())
        return Heard(" ".join(segment.text for segment in result.segments), result.language)

    name = OURS if workers is None else f"{OURS}, {_counted(workers, 'worker')}"
    return Contender(name, f"int8, {_counted(transcriber.workers, 'worker')} of 1 thread", hear)


def sequential(model: ResolvedModel) -> Contender:
    whisper = WhisperModel(str(model.path), device="cpu", compute_type="int8", cpu_threads=CORES)

    def hear(path: Path, language: str | None) -> Heard:
        segments, found = whisper.transcribe(str(path), language=language, word_timestamps=True)
        return Heard(" ".join(segment.text.strip() for segment in segments), found.language)

    return Contender(SEQUENTIAL, f"transcribe(word_timestamps=True), int8, {_counted(CORES, 'thread')}", hear)


def batched(model: ResolvedModel, threads: int) -> Contender:
    whisper = WhisperModel(str(model.path), device="cpu", compute_type="int8", cpu_threads=threads)
    pipeline = BatchedInferencePipeline(whisper)

    def hear(path: Path, language: str | None) -> Heard:
        segments, found = pipeline.transcribe(str(path), language=language, batch_size=BATCH)
        return Heard(" ".join(segment.text.strip() for segment in segments), found.language)

    name = f"{BATCHED}, {_counted(threads, 'thread')}"
    return Contender(name, f"BatchedInferencePipeline(batch_size={BATCH}), int8, {_counted(threads, 'thread')}", hear)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
