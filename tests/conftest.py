"""What every test has: nothing that it starts may outlive it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, settings

from tests.daemon import Panotti, wait_until

settings.register_profile("panotti", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("panotti")

# The tests start hundreds of interpreters, and each would compile all of Panotti anew where the environment says so.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # tests that load the speech libraries into this very process


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """No thread, process or socket of ours survives a test; asyncio itself ends what tasks are left and says so."""
    me = psutil.Process()
    threads, children = set(threading.enumerate()), set(me.children(recursive=True))
    sockets = len(me.net_connections(kind="inet"))
    yield
    wait_until(lambda: set(threading.enumerate()) <= threads, "the test's threads end")
    wait_until(lambda: not _alive(set(me.children(recursive=True)) - children), "its processes end")
    wait_until(lambda: len(me.net_connections(kind="inet")) <= sockets, "its connections close")


@pytest.fixture
def travel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Takes this computer to another time zone."""
    if sys.platform == "win32":
        pytest.skip("Windows looks the zone up each time")
    yield lambda zone: monkeypatch.setenv("TZ", zone)
    monkeypatch.undo()
    time.tzset()


def _alive(processes: set[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running()]


@pytest.fixture
def panotti(tmp_path: Path) -> Iterator[Callable[..., Panotti]]:
    """Makes homes with a daemon to start in them: `with panotti({"watch": ...}) as daemon:`."""
    made: list[Panotti] = []

    def make(settings: Mapping[str, Any] | None = None, **options: Any) -> Panotti:
        daemon = Panotti(tmp_path / f"home{len(made) or ''}", settings, **options)
        daemon.home.mkdir(parents=True, exist_ok=True)
        # In the background, what this test waits for would come after all that other tests do.
        daemon.environment.setdefault("PANOTTI_ENGINE__PRIORITY", "normal")
        made.append(daemon)
        return daemon

    yield make
    for daemon in made:
        if daemon.process and daemon.process.poll() is None:
            daemon.kill()
