"""The choice between servers and this machine, with the real engine behind both."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from panotti_daemon.clock import SystemClock
from panotti_daemon.core.plugins.secrets import Secrets
from panotti_daemon.engine.client import Engine
from panotti_daemon.engine.remote.keys import ServerKeys
from panotti_daemon.engine.remote.transcriber import RemoteTranscriber, choice
from panotti_daemon.engine.transcriber import LocalTranscriber
from panotti_daemon.errors import ServerUnavailable
from panotti_daemon.models.recording.models import Recording, Track
from panotti_daemon.models.transcript.models import Checkpoint, RequestedSettings, Transcription
from panotti_daemon.settings.servers import RemoteSettings, Server
from tests.daemon import PATIENCE
from tests.speech import SAMPLE
from tests.transcription_server import TEXT, TranscriptionServer

KEY = "correct-horse-battery"


def recording(*paths: Path) -> Recording:
    tracks = tuple(Track(path=path, content_hash="0", size=1, mtime_ns=1) for path in paths)
    now = datetime.now(UTC)
    return Recording(id="1", content_id="1", title="call", tracks=tracks, folder=paths[0].parent, created_at=now)


def transcribe(
    tmp_path: Path,
    settings: RemoteSettings,
    what: Recording,
    stays_here: Callable[[Path], bool] = lambda _: False,
    keep: Callable[[Checkpoint], None] = lambda _: None,
) -> Transcription:
    async def main() -> Transcription:
        engine = Engine(models=tmp_path / "models", idle_seconds=60, workers=1)
        try:
            keys = ServerKeys(settings, Secrets({"PANOTTI_SECRET__ENGINE__GPU": KEY}))
            remote = RemoteTranscriber(engine, settings, keys)
            local = LocalTranscriber(engine, SystemClock(), model="tiny.en")
            return await choice(remote, local, settings, stays_here).transcribe(
                what, RequestedSettings(), on_progress=lambda *_: None, on_checkpoint=keep
            )
        finally:
            await engine.close()

    return asyncio.run(main())


def at(server: TranscriptionServer, *, otherwise_local: bool = False) -> RemoteSettings:
    return RemoteSettings(
        servers=(Server(url=server.url, key="gpu"),), otherwise_local=otherwise_local, attempts=1, timeout_seconds=30
    )


def test_a_server_that_is_named_is_asked_with_its_key_and_what_it_did_is_kept_as_it_comes(tmp_path: Path) -> None:
    kept: list[Checkpoint] = []
    with TranscriptionServer(tmp_path) as server:
        found = transcribe(tmp_path, at(server), recording(SAMPLE), keep=kept.append)
        (request,) = server.requests
    assert request["headers"]["authorization"] == f"Bearer {KEY}"
    assert [segment.text for segment in found.segments] == [TEXT]
    assert "panotti" in found.versions
    assert [checkpoint.model for checkpoint in kept] == [f"whisper-1 at {server.name}"]


def test_without_a_server_this_machine_does_it() -> None:
    local, remote = object(), object()
    chosen = choice(remote, local, RemoteSettings(otherwise_local=True), lambda _: False)  # type: ignore[arg-type]
    assert chosen is local


def test_what_stays_here_is_transcribed_here_also_if_only_one_of_its_tracks_does(tmp_path: Path) -> None:
    other = tmp_path / "other.wav"
    other.write_bytes(SAMPLE.read_bytes())
    with TranscriptionServer(tmp_path) as server:
        found = transcribe(tmp_path, at(server), recording(SAMPLE, other), stays_here=other.__eq__)
        assert server.requests == []
    assert found.model == "tiny.en"


def test_what_no_server_does_is_not_done_here_unasked(tmp_path: Path) -> None:
    with TranscriptionServer(tmp_path, "broken") as server, pytest.raises(ServerUnavailable, match="CUDA"):
        transcribe(tmp_path, at(server), recording(SAMPLE))


def test_what_no_server_does_is_done_here_if_the_user_wants_that(tmp_path: Path) -> None:
    with TranscriptionServer(tmp_path, "refuse") as server:
        found = transcribe(tmp_path, at(server, otherwise_local=True), recording(SAMPLE))
    assert found.model == "tiny.en"
    (warning,) = found.warnings
    assert warning.startswith(f"It was transcribed on this machine, as no server did it ({server.name} says ")


def test_giving_up_ends_a_call_that_hangs(tmp_path: Path) -> None:
    async def main(settings: RemoteSettings) -> None:
        engine = Engine(models=tmp_path / "models", idle_seconds=60, workers=1)
        remote = RemoteTranscriber(
            engine, settings, ServerKeys(settings, Secrets({"PANOTTI_SECRET__ENGINE__GPU": KEY}))
        )
        job = asyncio.create_task(
            remote.transcribe(
                recording(SAMPLE), RequestedSettings(), on_progress=lambda *_: None, on_checkpoint=lambda _: None
            )
        )
        async with asyncio.timeout(PATIENCE):
            while not server.requests:
                await asyncio.sleep(0.05)
        job.cancel()
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait([job])
        assert (job.cancelled(), engine.pids) == (True, [])
        await engine.close()

    with TranscriptionServer(tmp_path, "hang") as server:
        asyncio.run(main(at(server)))


def test_the_daemon_itself_loads_nothing_that_could_connect() -> None:
    code = (
        "import sys, panotti_daemon.engine.remote.transcriber, panotti_daemon.settings.servers; "
        "print({'httpx2', 'numpy', 'av'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
