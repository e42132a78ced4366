"""What grows with the length of a recording and what does not: time, memory, the wait for the first text, and how far
the announced remaining time is from the truth.

python -m benchmarks.length [MINUTES]...
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks import corpus
from benchmarks.report import Row, only_warnings, show, surroundings
from panotti_daemon.engine.client import Engine
from panotti_daemon.engine.messages import Progress, Track
from panotti_daemon.engine.models.store import STARTER
from panotti_daemon.models.transcript.models import Checkpoint, RequestedSettings

MINUTES = (5.0, 10.0, 20.0, 60.0, 180.0)
MEGABYTE = 2**20


@dataclass(frozen=True)
class Glimpse:
    """What could be seen of a running engine."""

    at: float
    """Seconds since it was asked."""
    fraction: float
    seconds_left: float | None
    resident: int
    """Bytes."""


async def main(lengths: Sequence[float]) -> None:
    only_warnings()
    notes = surroundings()
    show(f"Length: {STARTER}", [await _row(minutes) for minutes in lengths], notes)


async def _row(minutes: float) -> Row:
    """Of an engine that is started for this recording alone."""
    recording = corpus.long(minutes)
    seen: list[Glimpse] = []
    texts: list[float] = []
    with tempfile.TemporaryDirectory() as models:
        engine = Engine(models=Path(models), idle_seconds=60)
        began = time.perf_counter()

        def on_progress(progress: Progress) -> None:
            resident = psutil.Process(engine.pids[0]).memory_info().rss
            at = time.perf_counter() - began
            seen.append(Glimpse(at, progress.fraction or 0.0, progress.seconds_left, resident))

        def on_checkpoint(checkpoint: Checkpoint) -> None:
            if any(window.segments for window in checkpoint.windows):
                texts.append(time.perf_counter() - began)

        result = await engine.transcribe(
            [Track(path=recording)],
            RequestedSettings(language="en", model=STARTER),
            on_progress=on_progress,
            on_checkpoint=on_checkpoint,
        )
        seconds = time.perf_counter() - began
        used = psutil.Process(engine.pids[0]).cpu_times()
        await engine.close()
    later = [glimpse for glimpse in seen if glimpse.fraction >= 0.1]
    return {
        "minutes": round(minutes),
        "seconds": round(seconds, 1),
        "processor seconds": round(used.user + used.system, 1),
        "times real time": round(result.duration / seconds, 1),
        "first text after, s": round(texts[0], 1),
        "remaining time off by, %": round(_off(later[0], seconds)),
        "at most, %": round(max(_off(glimpse, seconds) for glimpse in later if glimpse.fraction <= 0.9)),
        "MB after a tenth": round(max(glimpse.resident for glimpse in seen if glimpse.fraction <= 0.1) / MEGABYTE),
        "MB at most": round(max(glimpse.resident for glimpse in seen) / MEGABYTE),
        "MB an hour": round(_growth(later, result.duration / 3600)),
    }


def _off(glimpse: Glimpse, seconds: float) -> float:
    """How far the announced remaining time is from the true one, in percent of that."""
    if glimpse.seconds_left is None:
        return 100.0
    left = seconds - glimpse.at
    return 100 * abs(glimpse.seconds_left - left) / left


def _growth(seen: Sequence[Glimpse], hours: float) -> float:
    """The slope of the line that fits memory best: a single peak says little."""
    done = [glimpse.fraction * hours for glimpse in seen]
    slope, _ = np.polyfit(done, [glimpse.resident / MEGABYTE for glimpse in seen], 1)
    return float(slope)


if __name__ == "__main__":
    asyncio.run(main([float(minutes) for minutes in sys.argv[1:]] or MINUTES))
