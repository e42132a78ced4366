"""The whole daemon: how fast it is beside its bare engine, and where the time goes from the drop of a short clip until
its transcript is on disk.

python -m benchmarks.daemon [--rounds N]
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import psutil

from benchmarks import corpus
from benchmarks.report import Row, only_warnings, show, surroundings
from panotti_daemon.api.schemas import PassingMessage
from panotti_daemon.client import Client
from panotti_daemon.engine.client import Engine
from panotti_daemon.engine.machine.hardware import machine
from panotti_daemon.engine.media import audio
from panotti_daemon.engine.messages import Track
from panotti_daemon.engine.models.store import STARTER, resolve
from panotti_daemon.engine.speech.windows import SpeechDetector, windows
from panotti_daemon.engine.whisper.decoder import Decoder
from panotti_daemon.engine.whisper.loading import load
from panotti_daemon.models.transcript.models import RequestedSettings
from tests.daemon import Panotti, wait_until

T = TypeVar("T")

SETTINGS = RequestedSettings(language="en", model=STARTER)
CLIP_SECONDS = 10.0


async def main(rounds: int) -> None:
    only_warnings()
    notes = {**surroundings(), "model": STARTER, "rounds": rounds}
    show("Daemon: throughput", [await _throughput(rounds)], notes)
    show("Drop of a 10 s clip", await _drops(rounds), notes)
    show("Inside the engine, a 10 s clip", _parts(rounds), notes)


async def _throughput(rounds: int) -> Row:
    """In turns; neither has to start its engine."""
    clip = corpus.clean()
    through: list[float] = []
    bare: list[float] = []
    own: list[float] = []
    with _daemon(idle_seconds=600) as daemon:
        assert daemon.process
        process = psutil.Process(daemon.process.pid)
        engine = Engine(models=daemon.paths.models, idle_seconds=600)
        for number in range(rounds + 1):
            path = corpus.variant(clip, number)
            used = _processor_seconds(process)
            happened = await _dropped(daemon, path)
            through.append((happened["written"] - happened["ready"]).total_seconds())
            own.append(_processor_seconds(process) - used)
            bare.append(await _asked(engine, path))
        await engine.close()
    del through[0], bare[0], own[0]  # with all that happens only once
    return {
        "seconds of audio": round(clip.seconds),
        "from ready to written, s": round(median(through), 2),
        "bare engine, s": round(median(bare), 2),
        "throughput to that of the bare engine": round(
            median(alone / whole for alone, whole in zip(bare, through, strict=True)), 3
        ),
        "processor seconds of the daemon itself": round(median(own), 2),
    }


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def _asked(engine: Engine, path: Path) -> float:
    began = time.perf_counter()
    await engine.transcribe([Track(path=path)], SETTINGS, on_progress=lambda _: None)
    return time.perf_counter() - began


async def _drops(rounds: int) -> list[Row]:
    """Medians for an engine that has to start and for one that is there."""
    return _medians({"engine cold, s": await _drops_on(rounds, 0.1), "engine warm, s": await _drops_on(rounds, 600)})


async def _drops_on(rounds: int, idle_seconds: float) -> list[dict[str, float]]:
    clip = corpus.excerpt(corpus.clean(), CLIP_SECONDS)
    with _daemon(idle_seconds) as daemon:
        assert daemon.process
        process = psutil.Process(daemon.process.pid)
        found = []
        for number in range(rounds + 1):
            found.append(_stages(await _dropped(daemon, corpus.variant(clip, number))))
            if idle_seconds < CLIP_SECONDS:
                wait_until(lambda: not process.children(), "the engine is gone")
    return found[1:]


async def _dropped(daemon: Panotti, path: Path) -> dict[str, datetime]:
    """What happened when, until the files of the transcript are there."""

    async def follow() -> list[PassingMessage]:
        passed: list[PassingMessage] = []
        async for message in Client.from_paths(daemon.paths).passing():
            assert isinstance(message, PassingMessage)
            passed.append(message)
            if message.name == "transcription_local.completed":
                break
        return passed

    part = daemon.home / path.name
    shutil.copy(path, part)
    following = asyncio.create_task(follow())
    await asyncio.sleep(0.5)  # until it listens; settling takes longer
    part.rename(daemon.recordings / path.name)
    dropped = datetime.now(UTC)
    passed = await following
    settled = next(
        line for line in daemon.log_lines() if line["event"] == "settled" and Path(line["path"]).name == path.name
    )
    names = {
        "ready": "recording.ready",
        "begun": "transcription_local.started",
        "loaded": "transcription_local.progress",
        "decoded": "transcription_local.stopped",
        "written": "transcription_local.completed",
    }
    first = {what: next(message.at for message in passed if message.name == name) for what, name in names.items()}
    return {"dropped": dropped, "settled": datetime.fromisoformat(settled["timestamp"]), **first}


def _stages(happened: Mapping[str, datetime]) -> dict[str, float]:
    stages = (
        "settling",
        "probing, hashing, registering",
        "delivery",
        "engine: process, libraries, model",
        "engine: reading, voice detection, decoding",
        "storing and writing",
    )
    seconds = [(after - before).total_seconds() for before, after in pairwise(happened.values())]
    return {**dict(zip(stages, seconds, strict=True)), "in all": sum(seconds)}


def _parts(rounds: int) -> list[Row]:
    path = corpus.excerpt(corpus.clean(), CLIP_SECONDS).path
    return _medians({"s": [_parts_of(path) for _ in range(rounds + 1)][1:]})


def _parts_of(path: Path) -> dict[str, float]:
    """The engine's own, one by one in this process; processes that only import for what is done at the start."""
    _, process = _timed(lambda: _imported("panotti_daemon.engine.worker"))
    _, libraries = _timed(lambda: _imported("panotti_daemon.engine.whisper.transcriber"))
    whisper, model = _timed(lambda: load(resolve(STARTER, corpus.CACHE, download=False), machine().workers_for(None)))
    blocks, reading = _timed(lambda: list(audio.decode(path, lambda _: None)))
    found, detection = _timed(lambda: list(windows(blocks, SpeechDetector())))
    decoder = Decoder(whisper, "en", SETTINGS)
    _, decoding = _timed(lambda: decoder.decode([window.samples for window in found]))
    return {
        "process": process,
        "libraries": libraries - process,
        "model": model,
        "reading": reading,
        "voice detection": detection,
        "decoding": decoding,
    }


def _imported(module: str) -> None:
    subprocess.run([sys.executable, "-P", "-c", f"import {module}"], check=True)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def _medians(taken: Mapping[str, list[dict[str, float]]]) -> list[Row]:
    """A row for each stage, a column for each case."""
    stages = next(iter(taken.values()))[0]
    return [
        {"stage": stage} | {case: round(median(one[stage] for one in found), 3) for case, found in taken.items()}
        for stage in stages
    ]


@contextmanager
def _daemon(idle_seconds: float) -> Iterator[Panotti]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        watch: dict[str, Any] = {"path": str(home / "Recordings"), "language": SETTINGS.language}
        settings = {"engine": {"model": SETTINGS.model, "idle_seconds": idle_seconds}, "watch": [watch]}
        with Panotti(home, settings) as daemon:
            yield daemon


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    asyncio.run(main(parser.parse_args().rounds))
