"""What is compared: Panotti's engine, and the two ways in which most tools call faster-whisper, on the same model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faster_whisper import BatchedInferencePipeline, WhisperModel

from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.messages import Track
from panotti_daemon.engine.model_store import ResolvedModel
from panotti_daemon.engine.whisper import Transcriber, worker_count

BATCH = 8
OURS = "panotti"
SEQUENTIAL = "sequential"
BATCHED = "batched"


@dataclass(frozen=True)
class Contender:
    name: str
    settings: str
    hear: Callable[[Path, str], str]
    """The text in a file whose language is given."""


def panotti(model: ResolvedModel, workers: int | None = None) -> Contender:
    transcriber = Transcriber(model, workers or worker_count("auto"))

    def hear(path: Path, language: str) -> str:
        result = transcriber.transcribe([Track(path=path)], language, lambda _: None, Gate())
        return " ".join(segment.text for segment in result.segments)

    name = OURS if workers is None else f"{OURS}, {workers} {'worker' if workers == 1 else 'workers'}"
    return Contender(name, f"int8, {transcriber.workers} workers of 1 thread", hear)


def sequential(model: ResolvedModel) -> Contender:
    threads = worker_count("auto")
    whisper = WhisperModel(str(model.path), device="cpu", compute_type="int8", cpu_threads=threads)

    def hear(path: Path, language: str) -> str:
        segments, _ = whisper.transcribe(str(path), language=language, word_timestamps=True)
        return " ".join(segment.text.strip() for segment in segments)

    return Contender(SEQUENTIAL, f"transcribe(word_timestamps=True), int8, {threads} threads", hear)


def batched(model: ResolvedModel, threads: int) -> Contender:
    whisper = WhisperModel(str(model.path), device="cpu", compute_type="int8", cpu_threads=threads)
    pipeline = BatchedInferencePipeline(whisper)

    def hear(path: Path, language: str) -> str:
        segments, _ = pipeline.transcribe(str(path), language=language, batch_size=BATCH)
        return " ".join(segment.text.strip() for segment in segments)

    name = f"{BATCHED}, {threads} {'thread' if threads == 1 else 'threads'}"
    return Contender(name, f"BatchedInferencePipeline(batch_size={BATCH}), int8, {threads} threads", hear)
