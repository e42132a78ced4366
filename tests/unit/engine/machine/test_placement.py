"""With real processes of the engine, looked at from outside."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from pydantic import ValidationError

from panotti_daemon.engine.client import Engine
from panotti_daemon.engine.messages import Track
from panotti_daemon.errors import EngineError, ModelUnavailable
from panotti_daemon.models.transcript.models import RequestedSettings
from panotti_daemon.settings.resources import KNOWS_AFFINITY, Resources, usable_processors
from tests.speech import SAMPLE, librivox_clip

T = TypeVar("T")

TINY = RequestedSettings(model="tiny.en")


def with_engine(folder: Path, resources: Resources, look: Callable[[psutil.Process], T]) -> T:
    """What is to be seen of its process."""

    async def scenario() -> T:
        engine = Engine(models=folder, idle_seconds=60, resources=resources)
        try:
            await engine.probe([SAMPLE])
            return look(psutil.Process(engine.pids[0]))
        finally:
            await engine.close()

    return asyncio.run(scenario())


@pytest.mark.skipif(not KNOWS_AFFINITY, reason="this system knows no affinity")
def test_it_runs_on_the_processors_that_are_named(tmp_path: Path) -> None:
    last = usable_processors()[-1]
    seen = with_engine(tmp_path, Resources(affinity=(last,)), lambda process: process.cpu_affinity())
    assert seen == [last]


@pytest.mark.skipif(sys.platform == "win32", reason="has classes of priority")
def test_it_steps_back_unless_it_is_not_to(tmp_path: Path) -> None:
    own = psutil.Process().nice()
    assert with_engine(tmp_path, Resources(), lambda process: process.nice()) == min(own + 10, 19)
    assert with_engine(tmp_path, Resources(priority="normal"), lambda process: process.nice()) == own


def test_more_memory_than_it_may_have_ends_it_with_words_and_the_next_job_works(tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    librivox_clip(long, times=10)

    async def scenario() -> None:
        engine = Engine(models=tmp_path, idle_seconds=60, workers=8, resources=Resources(memory_megabytes=400))
        try:
            with pytest.raises(EngineError, match=r"`engine.memory_megabytes` allows"):
                await engine.transcribe([Track(path=long)], TINY, on_progress=print)
            assert (await engine.probe([SAMPLE]))[0].duration
        finally:
            await engine.close()
        roomy = Engine(models=tmp_path, idle_seconds=60, workers=1, resources=Resources(memory_megabytes=2000))
        try:
            assert (await roomy.transcribe([Track(path=SAMPLE)], TINY, on_progress=print)).segments
        finally:
            await roomy.close()

    asyncio.run(scenario())


@pytest.mark.skipif(Path("/proc/driver/nvidia/version").exists(), reason="there is a GPU")
def test_a_gpu_that_is_asked_for_and_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    async def scenario() -> None:
        engine = Engine(models=tmp_path, idle_seconds=60, resources=Resources(device="cuda"))
        try:
            with pytest.raises(ModelUnavailable, match=r"engine.device is cuda, but no GPU can be used: there is no"):
                await engine.transcribe([Track(path=SAMPLE)], TINY, on_progress=print)
        finally:
            await engine.close()

    asyncio.run(scenario())


def test_processors_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValidationError, match="must name processors of this machine"):
        Resources(affinity=(4096,))
    with pytest.raises(ValidationError, match="must name processors of this machine"):
        Resources(affinity=())
