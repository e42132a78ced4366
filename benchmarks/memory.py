"""How the engine's memory grows with the length of a recording.

python -m benchmarks.memory [HOURS]...
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks import corpus
from benchmarks.corpus import Clip
from benchmarks.report import Row, show, surroundings
from panotti_daemon.engine.client import Engine
from panotti_daemon.engine.messages import Progress
from panotti_daemon.engine.model_store import STARTER

MEGABYTE = 2**20


async def main(hours: Sequence[float]) -> None:
    show(f"Memory: {STARTER}", [await _row(corpus.long(length)) for length in hours], surroundings())


async def _row(clip: Clip) -> Row:
    """A fresh engine's resident memory when a tenth is done, and the most that it ever was."""
    seen: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as models:
        engine = Engine(models=Path(models), idle_seconds=60)

        def look(progress: Progress) -> None:
            resident = psutil.Process(engine.pids[0]).memory_info().rss
            seen.append((progress.fraction or 0.0, resident))

        result = await engine.transcribe([(clip.path, None)], language="en", model=STARTER, on_progress=look)
        await engine.close()
    return {
        "hours": round(result.duration / 3600, 2),
        "MB after a tenth": round(max(resident for fraction, resident in seen if fraction <= 0.1) / MEGABYTE),
        "MB at most": round(max(resident for _, resident in seen) / MEGABYTE),
        "windows": result.coverage.windows,
        "decoded again": result.coverage.decoded_again,
        "suspect": result.coverage.suspect,
    }


if __name__ == "__main__":
    asyncio.run(main([float(hours) for hours in sys.argv[1:]] or [0.2, 1.0]))
