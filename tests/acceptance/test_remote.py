"""Servers that transcribe: asked where the user has written them down, and never else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.speech import SAMPLE, SAMPLE_TEXT, ffmpeg, word_error_rate
from tests.transcription_server import TEXT, TranscriptionServer

KEY = "correct-horse-battery"


def document(daemon: Panotti, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((daemon.transcripts / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_a_dropped_file_is_transcribed_by_the_server_that_the_settings_name(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    with TranscriptionServer(tmp_path, "whisper") as server:
        servers = [{"url": server.url, "key": "gpu", "model": "large-v3"}]
        environment = {"PANOTTI_SECRET__ENGINE__GPU": KEY}
        with panotti({"engine": {"remote": {"servers": servers}}}, environment=environment) as daemon:
            shutil.copy(SAMPLE, daemon.recordings / "confidential call.wav")
            daemon.wait_for(daemon.recordings / "confidential call.wav", FileState.DONE)
            assert daemon.status().engine.servers == (server.name,)
            assert f"Recordings are sent to {server.name}" in daemon.command("status").stdout
            told = daemon.log() + daemon.output.read_text() + json.dumps(daemon.get("/status"))

        text = (daemon.transcripts / "confidential call.txt").read_text(encoding="utf-8")
        assert word_error_rate(SAMPLE_TEXT, text) <= 0.1
        written = document(daemon, "confidential call")
        assert written["model"] == f"large-v3 at {server.name}"
        assert written["warnings"] == [f"It was transcribed by large-v3 at {server.name}, not on this machine"]

        (request,) = server.requests
        assert request["headers"]["authorization"] == f"Bearer {KEY}"
        assert request["form"] == {"model": ["large-v3"], "response_format": ["verbose_json"]}
        assert request["file"]["name"] == "audio.flac"
    assert "confidential" not in json.dumps(server.requests)
    assert KEY not in told


def test_a_folder_can_be_kept_on_this_machine(panotti: Callable[..., Panotti], tmp_path: Path) -> None:
    private, other = tmp_path / "private", tmp_path / "other"
    private.mkdir()
    other.mkdir()
    watch = [{"path": str(private), "engine": "local"}, {"path": str(other)}]
    with TranscriptionServer(tmp_path) as server:
        remote = {"servers": [{"url": server.url}]}
        with panotti({"watch": watch, "engine": {"remote": remote}}) as daemon:
            shutil.copy(SAMPLE, private / "diary.wav")
            daemon.wait_for(private / "diary.wav", FileState.DONE)
            assert server.requests == []
            ffmpeg("-i", SAMPLE, "-t", "3", other / "memo.wav")
            daemon.wait_for(other / "memo.wav", FileState.DONE)
            assert len(server.requests) == 1
        assert document(daemon, "diary")["model"] == "tiny.en"
        assert (daemon.transcripts / "memo.txt").read_text(encoding="utf-8").strip() == TEXT


def test_what_waits_in_a_folder_that_is_watched_no_more_is_sent_nowhere(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    private, other = tmp_path / "private", tmp_path / "other"
    private.mkdir()
    other.mkdir()
    with TranscriptionServer(tmp_path) as server:
        engine = {"remote": {"servers": [{"url": server.url}]}}
        watch = [{"path": str(other)}, {"path": str(private), "engine": "local"}]
        with panotti({"watch": watch, "engine": engine}) as daemon:
            daemon.post("/pause", {})
            shutil.copy(SAMPLE, private / "diary.wav")
            daemon.wait_for(private / "diary.wav", FileState.READY)
            daemon.stop()
            daemon.configure({"watch": watch[:1], "engine": engine})
            daemon.start()
            daemon.post("/resume")
            daemon.wait_for(private / "diary.wav", FileState.DONE)
        assert server.requests == []


def test_a_recording_waits_for_a_server_that_is_not_there(panotti: Callable[..., Panotti], tmp_path: Path) -> None:
    with TranscriptionServer(tmp_path) as server:
        """Its port is free from now on."""
    remote = {"servers": [{"url": server.url}], "attempts": 1}
    with panotti({"engine": {"remote": remote}}) as daemon:
        memo = daemon.recordings / "memo.wav"
        shutil.copy(SAMPLE, memo)
        assert f"{server.name} cannot be reached" in daemon.wait_for(memo, FileState.WAITING).reason
        wait_until(lambda: any(server.name in problem for problem in daemon.status().problems), "the status says so")
        with server:
            daemon.wait_for(memo, FileState.DONE)


def test_a_key_is_kept_in_the_keyring_and_its_lack_is_said(panotti: Callable[..., Panotti], tmp_path: Path) -> None:
    environment = {
        "PYTHON_KEYRING_BACKEND": "tests.keyrings.FileKeyring",
        "TEST_KEYRING_FILE": str(tmp_path / "keyring.json"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    with TranscriptionServer(tmp_path) as server:
        remote = {"servers": [{"url": server.url, "key": "gpu"}]}
        with panotti({"engine": {"remote": remote}}, environment=environment) as daemon:
            memo = daemon.recordings / "memo.wav"
            shutil.copy(SAMPLE, memo)
            assert "`panotti remote key gpu` keeps it" in daemon.wait_for(memo, FileState.WAITING).reason
            assert server.requests == []
            misspelt = daemon.command("remote", "key", "gqu", typed=f"{KEY}\n")
            assert (misspelt.returncode, "names its key 'gqu'" in misspelt.stderr) == (1, True)
            assert daemon.command("remote", "key", "gpu", typed=f"{KEY}\n").stdout == "The key gpu is kept.\n"
            daemon.wait_for(memo, FileState.DONE)
            assert server.requests[0]["headers"]["authorization"] == f"Bearer {KEY}"
            assert daemon.command("remote", "key", "gpu", "--unset").stdout == "The key gpu is removed.\n"
            assert json.loads((tmp_path / "keyring.json").read_text()) == {}
            told = daemon.log() + daemon.output.read_text()
    assert KEY not in told
