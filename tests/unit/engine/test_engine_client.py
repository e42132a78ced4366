from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from panotti_daemon.engine.client import Engine
from panotti_daemon.engine.messages import Pace, ProbeKind, Progress, Track
from panotti_daemon.errors import (
    EngineCrashed,
    EngineError,
    MediaError,
    ModelUnavailable,
    PanottiError,
    SourceUnavailable,
)
from panotti_daemon.models.transcript.models import RequestedSettings, Transcription
from panotti_daemon.settings.resources import Resources
from tests.daemon import PATIENCE
from tests.speech import SAMPLE, SAMPLE_TEXT, librivox_clip, word_error_rate

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = tmp_path_factory.mktemp("clip") / "long.wav"
    librivox_clip(clip, times=20)
    return clip


@asynccontextmanager
async def running_engine(
    models: Path, idle_seconds: float = 60, python: str = sys.executable, probe_silence_seconds: float = 30
) -> AsyncIterator[Engine]:
    engine = Engine(
        models=models,
        idle_seconds=idle_seconds,
        workers=2,
        python=python,
        probe_silence_seconds=probe_silence_seconds,
        resources=Resources(priority="normal"),
    )
    try:
        yield engine
    finally:
        await engine.close()
        assert engine.pids == []
        assert not psutil.Process().children()


async def transcribe(
    engine: Engine,
    *paths: Path,
    model: str = "tiny.en",
    language: str = "auto",
    tell: Callable[[Progress], None] = print,
) -> Transcription:
    tracks = [Track(path=path) for path in paths]
    return await engine.transcribe(tracks, RequestedSettings(language=language, model=model), on_progress=tell)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


def a_python_that(folder: Path, program: str) -> str:
    """Stands in for the interpreter of the engine's process, to fail in ways that real files cannot be made to."""
    script = folder / "python"
    script.write_text(f"#!{sys.executable}\n{program}")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


def test_a_recording_is_transcribed_and_the_model_is_known(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_engine(tmp_path) as engine:
            assert (engine.state, engine.model, engine.pids) == ("off", None, [])
            states = []
            result = await transcribe(engine, SAMPLE, tell=lambda _: states.append((engine.state, engine.model)))
            assert word_error_rate(SAMPLE_TEXT, " ".join(segment.text for segment in result.segments)) == 0
            assert set(states) == {("working", "tiny.en")}
            assert (engine.state, engine.model, len(engine.pids)) == ("idle", "tiny.en", 1)

    asyncio.run(scenario())


def test_probing_has_a_process_of_its_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_engine(tmp_path) as engine:
            probes, result = await asyncio.gather(engine.probe([SAMPLE, tmp_path / "gone"]), transcribe(engine, SAMPLE))
            assert [probe.kind for probe in probes] == [ProbeKind.MEDIA, ProbeKind.VANISHED]
            assert result.segments
            assert len(engine.pids) == 2
            assert await engine.probe([]) == []

    asyncio.run(scenario())


def test_failures_arrive_as_the_errors_that_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    text = tmp_path / "text.wav"
    text.write_text("nothing to hear")

    async def scenario() -> None:
        async with running_engine(tmp_path / "models") as engine:
            failures: list[tuple[type[PanottiError], Path, str, str]] = [
                (MediaError, text, "tiny.en", "auto"),
                (SourceUnavailable, tmp_path / "gone.wav", "tiny.en", "auto"),
                (ModelUnavailable, SAMPLE, "no-such-model", "auto"),
                (ModelUnavailable, SAMPLE, "base", "auto"),
                (ModelUnavailable, SAMPLE, "auto", "de"),
            ]
            for expected, path, model, language in failures:
                with pytest.raises(expected):
                    await transcribe(engine, path, model=model, language=language)
            assert len(engine.pids) == 1
            assert (await transcribe(engine, SAMPLE)).segments

    asyncio.run(scenario())


def test_cancelling_ends_a_job_within_a_second_and_the_next_one_works(tmp_path: Path, long_clip: Path) -> None:
    async def scenario() -> None:
        async with running_engine(tmp_path) as engine:
            begun = asyncio.Event()
            job = asyncio.create_task(transcribe(engine, long_clip, tell=lambda _: begun.set()))
            await begun.wait()
            job.cancel()
            async with asyncio.timeout(1):
                with pytest.raises(asyncio.CancelledError):
                    await job
            assert engine.state in ("off", "idle")
            assert (await transcribe(engine, SAMPLE)).segments

    asyncio.run(scenario())


@posix
def test_a_process_that_is_killed_is_a_crash_and_the_next_job_works(tmp_path: Path, long_clip: Path) -> None:
    async def scenario() -> None:
        async with running_engine(tmp_path) as engine:
            job = transcribe(engine, long_clip, tell=lambda _: os.kill(engine.pids[0], signal.SIGKILL))
            with pytest.raises(EngineCrashed, match=r"SIGKILL.*memory"):
                await job
            assert engine.state == "off"
            assert (await transcribe(engine, SAMPLE)).segments

    asyncio.run(scenario())


def test_the_processes_end_after_their_idle_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_engine(tmp_path, idle_seconds=0.3) as engine:
            await asyncio.gather(engine.probe([SAMPLE]), transcribe(engine, SAMPLE))
            await until(lambda: engine.state == "off")
            await until(lambda: not psutil.Process().children())
            assert (await engine.probe([SAMPLE]))[0].kind == ProbeKind.MEDIA

    asyncio.run(scenario())


def test_held_work_stands_still_until_it_may_go_on_if_slowly(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_engine(tmp_path) as engine:
            engine.keep_pace(Pace.HELD)
            told: list[Progress] = []
            job = asyncio.create_task(transcribe(engine, SAMPLE, tell=told.append))
            await until(lambda: bool(told))
            done, _ = await asyncio.wait([job], timeout=2.5)
            assert not done
            # nothing but the silence at its end, which nobody decodes, can count as done
            assert all((progress.fraction or 0) < 0.05 for progress in told)
            engine.keep_pace(Pace.SLOW)
            assert (await job).segments

    asyncio.run(scenario())


def test_a_pause_in_the_middle_of_a_job_stops_it_after_the_windows_in_flight(tmp_path: Path, long_clip: Path) -> None:
    async def scenario() -> None:
        async with running_engine(tmp_path) as engine:
            told: list[Progress] = []
            job = asyncio.create_task(transcribe(engine, long_clip, tell=told.append))
            await until(lambda: len(told) > 1)
            engine.keep_pace(Pace.HELD)
            before = -1
            while before != len(told):  # until the windows in flight are done, however slow the machine is
                before = len(told)
                await asyncio.wait([job], timeout=4)
            assert not job.done()
            engine.keep_pace(Pace.FULL)
            await until(lambda: len(told) > before)
            job.cancel()

    asyncio.run(scenario())


def test_closing_ends_a_job_within_a_second(tmp_path: Path, long_clip: Path) -> None:
    async def scenario() -> None:
        async with running_engine(tmp_path) as engine:
            begun = asyncio.Event()
            job = asyncio.create_task(transcribe(engine, long_clip, tell=lambda _: begun.set()))
            await begun.wait()
            async with asyncio.timeout(1):
                await engine.close()
            with pytest.raises(EngineCrashed):
                await job
            with pytest.raises(EngineError, match="stopping"):
                await engine.probe([SAMPLE])

    asyncio.run(scenario())


CRASHES_ON_A_BAD_FILE = """
import signal, time
from panotti_daemon.engine.media import audio
from panotti_daemon.engine import worker
real = audio.probe
def probe(path):
    if path.name.startswith("crash"):
        signal.raise_signal(signal.SIGSEGV)
    if path.name.startswith("hang"):
        time.sleep(600)
    return real(path)
audio.probe = probe
worker.main()
"""


@posix
def test_a_file_that_crashes_or_hangs_ffmpeg_is_found_out_and_the_others_are_answered(tmp_path: Path) -> None:
    python = a_python_that(tmp_path, CRASHES_ON_A_BAD_FILE)
    paths = [SAMPLE, tmp_path / "crash.mp3", SAMPLE, tmp_path / "hang.mp4", tmp_path / "gone.wav", SAMPLE]

    async def scenario() -> None:
        async with running_engine(tmp_path, python=python, probe_silence_seconds=3) as engine:
            probes = await engine.probe(paths)
            assert [probe.path for probe in probes] == paths
            media, bad, gone = ProbeKind.MEDIA, ProbeKind.NOT_MEDIA, ProbeKind.VANISHED
            assert [probe.kind for probe in probes] == [media, bad, media, bad, gone, media]
            assert "FFmpeg crashes" in probes[1].message
            assert "FFmpeg hangs" in probes[3].message

    asyncio.run(scenario())


@posix
def test_an_engine_that_cannot_start_blames_no_file(tmp_path: Path) -> None:
    async def scenario() -> None:
        for python in (a_python_that(tmp_path, "raise SystemExit(3)"), str(tmp_path / "missing")):
            async with running_engine(tmp_path, python=python) as engine:
                with pytest.raises(EngineCrashed, match="cannot be started"):
                    await engine.probe([SAMPLE])
                with pytest.raises(EngineCrashed, match="cannot be started"):
                    await transcribe(engine, SAMPLE)

    asyncio.run(scenario())


def test_what_an_expected_recording_needs_starts_before_it_comes(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_engine(tmp_path) as engine:
            engine.expect()
            engine.expect()
            await until(lambda: len(engine.pids) == 2 and engine.state == "idle")
            started = engine.pids
            await engine.probe([SAMPLE])
            await transcribe(engine, SAMPLE)
            assert engine.pids == started

    asyncio.run(main())


def test_nothing_starts_for_a_recording_that_would_have_to_wait(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_engine(tmp_path) as engine:
            engine.keep_pace(Pace.HELD)
            engine.expect()
            await asyncio.sleep(0)
            assert engine.state == "off"

    asyncio.run(main())


def test_closing_ends_what_was_started_for_an_expected_recording(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_engine(tmp_path) as engine:
            engine.expect()
            await until(lambda: bool(engine.pids))

    asyncio.run(main())


def test_closing_ends_what_is_just_being_started(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_engine(tmp_path) as engine:
            engine.expect()
            await asyncio.sleep(0)
            assert engine.state == "working"
            assert engine.pids == []

    asyncio.run(main())


def test_a_damaged_file_whose_name_is_no_unicode_is_an_error_that_arrives(tmp_path: Path) -> None:
    odd = tmp_path / "caf\udce9.wav"
    try:
        odd.write_text("nothing to hear")
    except OSError:
        pytest.skip("This file system takes Unicode names only")

    async def scenario() -> None:
        async with running_engine(tmp_path) as engine:
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(MediaError, match=r"caf\?\.wav cannot be decoded"):
                    await transcribe(engine, odd)

    asyncio.run(scenario())


PANICS = """
from panotti_daemon.engine import worker
class Panic(BaseException):
    pass
def encode(*_):
    raise Panic
worker.Worker._encode = encode
worker.main()
"""
SAYS_WHAT_NOBODY_UNDERSTANDS = """
import sys
print('{"kind": "ready", "id": 0}', flush=True)
sys.stdin.readline()
print('{"kind": "of another version", "id": 1}', flush=True)
sys.stdin.read()
"""
NEVER_ENDS_A_LINE = """
import sys
print('{"kind": "ready", "id": 0}', flush=True)
while True:
    sys.stdout.write("x" * 65536)
"""


@posix
@pytest.mark.parametrize(
    ("program", "said"),
    [
        (PANICS, "ended with exit status 1"),
        (SAYS_WHAT_NOBODY_UNDERSTANDS, "if Panotti was updated, restart it"),
        (NEVER_ENDS_A_LINE, "was killed"),
        ("import sys; print('Welcome', flush=True); sys.stdin.read()", "cannot be started"),
    ],
)
def test_a_process_that_does_not_answer_as_it_should_is_given_up(
    program: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panotti_daemon.engine.child._LINE_LIMIT", 2**20)

    async def scenario() -> None:
        async with running_engine(tmp_path, python=a_python_that(tmp_path, program)) as engine:
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(EngineError, match=said):
                    await engine.encode(SAMPLE, tmp_path / "sample.flac", "flac")
            assert engine.state == "off"

    asyncio.run(scenario())


HANGS_THE_FIRST_TIME = """
import time
from pathlib import Path
from panotti_daemon.engine import worker
really = worker.Worker._open_shelf
def open_shelf(self):
    mark = Path(__file__).with_name("hung")
    if not mark.exists():
        mark.touch()
        time.sleep(600)
    return really(self)
worker.Worker._open_shelf = open_shelf
worker.main()
"""


@posix
def test_what_hangs_before_a_recording_comes_does_not_hold_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panotti_daemon.engine.client.PREPARE_SILENCE_SECONDS", 1.0)

    async def scenario() -> None:
        async with running_engine(tmp_path, python=a_python_that(tmp_path, HANGS_THE_FIRST_TIME)) as engine:
            engine.expect()
            await until((tmp_path / "hung").exists)
            async with asyncio.timeout(PATIENCE):
                assert (await transcribe(engine, SAMPLE)).segments

    asyncio.run(scenario())
