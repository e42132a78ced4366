"""Watched folders that settle fast, short recordings of different contents, and what the engine was asked to do."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import psutil

from panotti_daemon.api.schemas import Job
from tests.daemon import Panotti, wait_until
from tests.speech import librivox_sentences


def watch(path: Path, **settings: Any) -> dict[str, Any]:
    """An entry of the settings' `watch`."""
    path.mkdir(parents=True, exist_ok=True)
    values = {"path": path, "settle_seconds": 0.2, **settings}
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}


def memo(target: Path, number: int = 0) -> Path:
    """Writes three seconds of speech; each number has a content of its own."""
    with wave.open(str(min(librivox_sentences(), key=lambda path: path.stat().st_size))) as sentence:
        speech = sentence.readframes(sentence.getnframes())
    return _write(target, speech + bytes(2 * number))


def silence(target: Path, number: int = 0) -> Path:
    """Writes a second without speech, which takes the engine no time; each number has a content of its own."""
    return _write(target, bytes(32_000 + 2 * number))


def _write(target: Path, samples: bytes) -> Path:
    with wave.open(str(target), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(samples)
    return target


def decodings(daemon: Panotti) -> int:
    """How many transcriptions the engine was asked for, in all runs of the daemon."""
    return sum(line["event"] == "transcribing" for line in daemon.log_lines())


def completions(daemon: Panotti) -> list[str]:
    """The titles of the recordings that were transcribed, in order; the daemon must be stopped."""
    events = daemon.events("transcription_local.completed")
    return [event["recording"]["title"] for event in events if event["transcription"]["status"] != "restored"]


def wait_for_work(daemon: Panotti, title: str) -> Job:
    """Until the recording is in the middle of its transcription."""

    def found() -> Job | None:
        return next((job for job in daemon.status().jobs if job.title == title and job.fraction > 0), None)

    return wait_until(found, f"{title} is being transcribed; {daemon.status()}")


def engines(daemon: Panotti) -> list[psutil.Process]:
    """The daemon's engine processes."""
    assert daemon.process
    children = psutil.Process(daemon.process.pid).children()
    return [child for child in children if _is_engine(child)]


def _is_engine(process: psutil.Process) -> bool:
    try:
        return "panotti_daemon.engine.worker" in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
