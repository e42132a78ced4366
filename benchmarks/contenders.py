"""What is compared: Panotti's engine, and the two ways in which most tools call faster-whisper, on the same model.

The engine is asked as the daemon asks it, in a process of its own. The library is called in this one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from faster_whisper import BatchedInferencePipeline, WhisperModel

from benchmarks.models import FOLDER
from benchmarks.report import BATCHED, OURS, SEQUENTIAL
from panotti_daemon.engine.client import Engine
from panotti_daemon.engine.machine.hardware import machine
from panotti_daemon.engine.messages import Track, Workers
from panotti_daemon.engine.models.store import ResolvedModel
from panotti_daemon.models.transcript.models import RequestedSettings

BATCH = 8
CORES = machine().cores
_HOUR = 3600.0


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
    processor_seconds: Callable[[], float] = time.process_time
    """That its process has used so far."""
    close: Callable[[], None] = lambda: None


def panotti(model: ResolvedModel, workers: Workers = "auto", *, noise_reduction: bool = False) -> Contender:
    runner = asyncio.Runner()
    engine = Engine(models=FOLDER, idle_seconds=_HOUR, workers=workers)

    def hear(path: Path, language: str | None) -> Heard:
        settings = RequestedSettings(language=language or "auto", model=model.name, noise_reduction=noise_reduction)
        result = runner.run(engine.transcribe([Track(path=path)], settings, on_progress=lambda _: None))
        return Heard(" ".join(segment.text for segment in result.segments), result.language)

    def processor_seconds() -> float:
        times = psutil.Process(engine.pids[0]).cpu_times()
        return times.user + times.system

    def close() -> None:
        runner.run(engine.close())
        runner.close()

    name = OURS if workers == "auto" else f"{OURS}, {_counted(workers, 'worker')}"
    used = machine().workers_for(None) if workers == "auto" else workers
    return Contender(name, f"int8, {_counted(used, 'worker')} of 1 thread", hear, processor_seconds, close)


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
