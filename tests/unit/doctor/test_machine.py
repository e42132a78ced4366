from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from panotti_daemon.doctor import machine
from panotti_daemon.paths import Paths
from panotti_daemon.settings import ApiSettings, Settings, WatchFolder

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.from_environment({"PANOTTI_HOME": str(tmp_path)})
    found.create()
    return found


def test_versions_name_what_a_report_needs() -> None:
    message = machine.versions().message
    assert all(name in message for name in ("Panotti ", "Python 3", "faster-whisper ", "ctranslate2 "))


@pytest.mark.parametrize(
    ("written", "ok"), [(timedelta(days=-1), True), (timedelta(0), True), (timedelta(days=1), False)]
)
def test_a_log_from_the_future_means_that_the_clock_was_set_back(paths: Paths, written: timedelta, ok: bool) -> None:
    paths.log_file.touch()
    moment = (NOW + written).timestamp()
    os.utime(paths.log_file, (moment, moment))
    assert machine.clock(paths, NOW).ok is ok


def test_without_a_log_the_clock_is_believed(paths: Paths) -> None:
    assert machine.clock(paths, NOW).ok


def test_each_disk_is_looked_at_once(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(watch=(WatchFolder(path=tmp_path / "in", output=tmp_path / "not" / "yet"),))
    (found,) = machine.disks(settings, paths)
    assert "GB free" in found.message
    monkeypatch.setattr(machine, "LEAST_FREE", 1e18)
    (full,) = machine.disks(settings, paths)
    assert not full.ok
    assert full.remedy


def test_a_port_that_is_taken_is_named_and_no_obstacle() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        found = machine.port(ApiSettings(port=port))
    assert found.ok
    assert f"{port} is taken" in found.message
    assert found.remedy
    assert machine.port(ApiSettings(port=port)).message == f"{port} is free"
    assert machine.port(ApiSettings(port=0)).message == "any free one, as set"
