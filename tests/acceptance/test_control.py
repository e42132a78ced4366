"""What a user does to the daemon as a whole: pause, cancel, stop, start twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from panotti_daemon.api.schemas import Activity
from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.speech import librivox_clip
from tests.watching import completions, decodings, engines, memo, wait_for_work, watch

STOPPED_WITHIN = 15.0
"""Seconds, for a busy machine; five are promised."""


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    return tmp_path / "in"


@pytest.fixture
def daemon(panotti: Callable[..., Panotti], drop: Path) -> Panotti:
    return panotti({"watch": [watch(drop, formats=["txt"])]})


def test_a_pause_holds_a_transcription_where_it_is_and_survives_a_restart(
    panotti: Callable[..., Panotti], drop: Path
) -> None:
    daemon = panotti({"watch": [watch(drop, formats=["txt"])], "engine": {"workers": 1}})
    source = drop / "call.wav"
    librivox_clip(source, times=3)
    with daemon:
        wait_for_work(daemon, "call")
        daemon.post("/pause", {})
        assert daemon.status().activity is Activity.PAUSED
        wait_until(lambda: _is_at_rest(daemon), "the engine rests")
        fraction = daemon.status().jobs[0].fraction
        assert 0 < fraction < 1
    with daemon:
        assert daemon.status().activity is Activity.PAUSED
        daemon.wait_for(source, FileState.READY)
        assert daemon.command("pause").stdout == "Paused until `panotti resume`.\n"
        waiting = memo(drop / "memo.wav")
        daemon.wait_for(waiting, FileState.READY)
        assert daemon.command("resume").stdout == "Resumed.\n"
        wait_for_work(daemon, "call")
        daemon.command("cancel", source)
        daemon.wait_for(waiting, FileState.DONE)
    assert completions(daemon) == ["memo"]


def _is_at_rest(daemon: Panotti) -> bool:
    """Whether no engine process used the processor for a while."""
    spent = [sum(process.cpu_times()[:2]) for process in engines(daemon)]
    time.sleep(1.0)
    return spent == [sum(process.cpu_times()[:2]) for process in engines(daemon)]


def test_a_pause_for_some_minutes_ends_by_itself(daemon: Panotti, drop: Path) -> None:
    with daemon:
        assert daemon.command("pause", "--for", "1").returncode == 0
        pause = daemon.status().pause
        assert pause
        assert pause.until
        soon = pause.until.timestamp() - 58
        daemon.post("/pause", {"until": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(soon))}Z"})
        daemon.wait_for(memo(drop / "memo.wav"), FileState.DONE)
        assert daemon.status().pause is None


def test_what_is_cancelled_ends_at_once_and_comes_back_with_a_retry(daemon: Panotti, drop: Path) -> None:
    with daemon:
        source = drop / "call.wav"
        librivox_clip(source)
        wait_until(lambda: daemon.status().jobs, "it is being transcribed")
        entry = daemon.explain(source)
        asked_at = time.monotonic()
        assert daemon.command("cancel", source).stdout == "Cancelled.\n"
        assert daemon.explain(source).reason == "you cancelled it"
        assert daemon.status().jobs == []
        assert time.monotonic() - asked_at < 10

        daemon.post("/pause", {})
        daemon.command("retry", source)
        daemon.wait_for(source, FileState.READY)
        assert daemon.post(f"/recordings/{entry.recording_id}/cancel") == {"count": 1}
        daemon.wait_for(source, FileState.CANCELLED)
        assert daemon.command("cancel", source).stdout == "Nothing is under way for it.\n"
        daemon.post("/resume")
        daemon.command("retry", source)
        daemon.wait_for(source, FileState.DONE)
    assert completions(daemon) == ["call"]
    assert decodings(daemon) == 2


def test_it_stops_soon_in_the_middle_of_a_transcription_and_goes_on_with_no_attempt_spent(
    daemon: Panotti, drop: Path
) -> None:
    source = drop / "call.wav"
    librivox_clip(source, times=4)
    daemon.start()
    wait_for_work(daemon, "call")
    stops: dict[str, Callable[[], object]] = {
        "SIGTERM": lambda: _signal(daemon, signal.SIGTERM),
        "SIGINT": lambda: _signal(daemon, signal.SIGINT),
        "panotti stop": lambda: daemon.command("stop"),
    }
    for name, stop in stops.items():
        wait_until(lambda: daemon.status().jobs, "it is being transcribed")
        assert daemon.process
        asked_at = time.monotonic()
        stop()
        assert daemon.process.wait(STOPPED_WITHIN) == 0
        seconds = time.monotonic() - asked_at
        print(f"{name}: {seconds:.1f} s")
        assert seconds < STOPPED_WITHIN
        assert not daemon.paths.runtime_file.exists()
        daemon.start()
    assert daemon.wait_for(source, FileState.TRANSCRIBING).reason == "it is being transcribed"
    daemon.wait_for(source, FileState.DONE)
    daemon.stop()
    assert completions(daemon) == ["call"]
    assert not daemon.events("transcription_local.error")


def _signal(daemon: Panotti, number: signal.Signals) -> None:
    assert daemon.process
    daemon.process.send_signal(number)


def test_a_second_one_says_where_the_first_is_and_a_lock_that_a_crash_left_is_no_obstacle(daemon: Panotti) -> None:
    daemon.start()
    second = daemon.command("run", "--no-tray")
    assert second.returncode == 3
    assert daemon.runtime.url in second.stderr
    assert str(daemon.runtime.pid) in second.stderr
    daemon.kill()
    assert daemon.paths.lock_file.exists()
    with daemon:
        assert daemon.status().pid
