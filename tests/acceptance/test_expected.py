"""The engine starts while a recording settles, so that nobody waits for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti
from tests.speech import SAMPLE


def test_the_engines_processes_are_started_before_a_recording_has_settled(panotti: Callable[..., Panotti]) -> None:
    with panotti() as daemon:
        dropped = daemon.recordings / "memo.wav"
        shutil.copy(SAMPLE, dropped)
        daemon.wait_for(dropped, FileState.DONE)
        happened = [line["event"] for line in daemon.log_lines() if line["event"] in ("engine.started", "settled")]
        assert happened == ["engine.started", "engine.started", "settled"]


def test_what_is_no_recording_by_its_name_starts_nothing(panotti: Callable[..., Panotti]) -> None:
    with panotti() as daemon:
        dropped = daemon.recordings / "minutes.txt"
        dropped.write_text("Nobody speaks here.")
        daemon.wait_for(dropped, FileState.IGNORED)
        assert not [line for line in daemon.log_lines() if line["event"] == "engine.started"]


def test_nothing_starts_while_nobody_transcribes(panotti: Callable[..., Panotti]) -> None:
    with panotti() as daemon:
        daemon.post("/plugins/transcription_local/disable")
        dropped = daemon.recordings / "memo.wav"
        shutil.copy(SAMPLE, dropped)
        daemon.wait_for(dropped, FileState.READY, FileState.WAITING)
        started = [line for line in daemon.log_lines() if line["event"] == "engine.started"]
        assert len(started) == 1  # what looks into it
