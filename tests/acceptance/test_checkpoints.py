"""A long recording that is broken off goes on where it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.speech import librivox_clip
from tests.watching import completions, engines, memo, wait_for_work, watch


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    return tmp_path / "in"


@pytest.fixture
def daemon(panotti: Callable[..., Panotti], drop: Path) -> Panotti:
    return panotti({"watch": [watch(drop, formats=["txt"])], "engine": {"workers": 1}})


def kept(daemon: Panotti) -> int:
    """How many windows of unfinished transcripts are stored."""
    connection = sqlite3.connect(f"{daemon.paths.database.as_uri()}?mode=ro", uri=True)
    try:
        query = "SELECT coalesce(sum(json_array_length(data, '$.windows')), 0) FROM checkpoints"
        return int(connection.execute(query).fetchone()[0])
    finally:
        connection.close()


def taken_over(daemon: Panotti, recording: str) -> list[int]:
    """How many windows were done when each of a recording's transcriptions began."""
    begun = [line for line in daemon.log_lines() if line["event"] == "transcribing"]
    return [line["windows_done"] for line in begun if line["recording"] == recording]


def test_a_kill_in_the_middle_of_a_long_recording_costs_no_more_than_the_windows_in_flight(
    daemon: Panotti, drop: Path
) -> None:
    source = drop / "call.wav"
    words = librivox_clip(source, times=6).split()
    daemon.start()
    job = wait_for_work(daemon, "call")
    wait_until(lambda: kept(daemon) >= 2)
    daemon.kill()
    before = kept(daemon)
    with daemon:
        [again] = wait_until(lambda: daemon.status().jobs)
        assert again.fraction >= job.fraction
        daemon.wait_for(source, FileState.DONE)
        assert taken_over(daemon, job.recording_id) == [0, before]
        assert kept(daemon) == 0
        text = (daemon.transcripts / "call.txt").read_text()
        assert len(text.split()) == pytest.approx(len(words), rel=0.1)
    assert completions(daemon) == ["call"]


def test_an_engine_that_keeps_crashing_costs_no_attempt_as_long_as_it_gets_on(daemon: Panotti, drop: Path) -> None:
    source = drop / "call.wav"
    librivox_clip(source, times=8)
    with daemon:
        before = 0
        for _ in range(3):  # as many as there are attempts
            before = wait_until(lambda seen=before: found if (found := kept(daemon)) > seen else None)  # type: ignore[misc]
            killed = engines(daemon)
            for process in killed:
                process.kill()
            psutil.wait_procs(killed)
            daemon.post("/ledger/now", {"path": str(source)})  # or it would wait for its retry
        daemon.wait_for(source, FileState.DONE)
    assert not daemon.events("transcription_local.error")
    assert completions(daemon) == ["call"]


def test_what_is_asked_for_now_takes_over_and_the_other_one_goes_on_after_it(daemon: Panotti, drop: Path) -> None:
    long = drop / "long.wav"
    librivox_clip(long, times=6)
    with daemon:
        job = wait_for_work(daemon, "long")
        wait_until(lambda: kept(daemon) >= 1)
        urgent = memo(drop / "urgent.wav")
        daemon.wait_for(urgent, FileState.READY)
        daemon.post("/ledger/now", {"path": str(urgent)})
        daemon.wait_for(urgent, FileState.DONE)
        assert daemon.explain(long).state in (FileState.READY, FileState.TRANSCRIBING)
        daemon.wait_for(long, FileState.DONE)
        first, second = taken_over(daemon, job.recording_id)
        assert first == 0
        assert second >= 1
    assert completions(daemon) == ["urgent", "long"]
