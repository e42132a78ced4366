"""What a computer does to a program in the middle of its work: it sleeps, its user logs out, its clock is set.

Nothing is lost, and nothing doubled.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from panotti_daemon.models.recording.models import FileState
from tests.daemon import PATIENCE, Panotti
from tests.speech import librivox_clip
from tests.watching import completions, decodings, memo, wait_for_work, watch

SLEEP_SECONDS = 4.0
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

if sys.platform == "win32":
    pytest.skip("there are no such signals", allow_module_level=True)


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    return tmp_path / "in"


@pytest.fixture
def daemon(panotti: Callable[..., Panotti], drop: Path) -> Panotti:
    return panotti({"watch": [watch(drop)], "plugins_block_seconds": 2})


def processes(daemon: Panotti) -> list[psutil.Process]:
    """All of Panotti's, the engine first."""
    assert daemon.process
    own = psutil.Process(daemon.process.pid)
    return [*own.children(recursive=True), own]


def begin(daemon: Panotti, drop: Path) -> Path:
    """Has a recording in the middle of its transcription."""
    librivox_clip(drop / "call.wav", times=3)
    wait_for_work(daemon, "call")
    return drop / "call.wav"


def assert_once(daemon: Panotti, *titles: str) -> None:
    daemon.stop()
    assert completions(daemon) == [*titles]
    assert daemon.outputs() == {f"{title}.{format}" for title in titles for format in ("txt", "srt", "json")}


def test_a_sleep_in_the_middle_of_a_job_is_nothing_but_a_pause(daemon: Panotti, drop: Path) -> None:
    with daemon:
        source, before = begin(daemon, drop), daemon.status()
        asleep = processes(daemon)
        for process in asleep:
            process.suspend()
        time.sleep(SLEEP_SECONDS)
        for process in asleep:
            process.resume()
        daemon.wait_for(source, FileState.DONE)
        after = daemon.status()
        assert (after.pid, after.started_at) == (before.pid, before.started_at), "it did not take the sleep for a hang"
        assert_once(daemon, "call")
    assert decodings(daemon) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_log_out_in_the_middle_of_a_job_costs_nothing_but_time(
    daemon: Panotti, drop: Path, number: signal.Signals
) -> None:
    """It ends all processes at once, in whatever order."""
    with daemon:
        source = begin(daemon, drop)
        for process in processes(daemon):
            process.send_signal(number)
        assert daemon.process
        assert daemon.process.wait(PATIENCE) == 0
        daemon.start()
        daemon.wait_for(source, FileState.DONE)
        assert_once(daemon, "call")


@pytest.mark.skipif(FAKETIME is None, reason="needs libfaketime: apt-get install faketime")
def test_a_clock_that_is_set_in_the_middle_of_a_job_changes_nothing(
    daemon: Panotti, drop: Path, tmp_path: Path
) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0d")
    daemon.configure({"watch": [watch(drop, settle_seconds=3)]})  # time to set the clock while a file settles
    daemon.environment |= {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    with daemon:
        source, started = begin(daemon, drop), daemon.status().started_at
        offset.write_text("-2d")
        assert days(daemon.wait_for(source, FileState.DONE).updated_at - started) == pytest.approx(-2, abs=0.1)
        later = memo(drop / "memo.wav")
        daemon.wait_for(later, FileState.GROWING)
        offset.write_text("+2d")
        assert days(daemon.wait_for(later, FileState.DONE).updated_at - started) == pytest.approx(2, abs=0.1)
        assert_once(daemon, "call", "memo")


def days(time: timedelta) -> float:
    return time / timedelta(days=1)
