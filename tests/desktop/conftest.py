from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desktop.desktop import INSTALL, Desktop, missing_programs
from tests.desktop.notification_server import Bus


@pytest.fixture(scope="session")
def _desktop_programs() -> None:
    if sys.platform != "linux":
        pytest.skip("a desktop of this kind is for Linux")
    if missing := missing_programs():
        pytest.skip(f"needs {', '.join(missing)}: {INSTALL}")


@pytest.fixture(scope="session")
def desktop(_desktop_programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desktop]:
    """A running desktop with an empty tray, shared by the tests that leave it so."""
    with Desktop(tmp_path_factory.mktemp("desktop") / "home") as running:
        yield running


@pytest.fixture
def own_desktop(_desktop_programs: None, tmp_path: Path) -> Iterator[Desktop]:
    """For tests that take parts of a desktop away."""
    with Desktop(tmp_path / "home") as running:
        yield running


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    if shutil.which("dbus-daemon") is None:
        pytest.skip(f"needs dbus-daemon: {INSTALL}")
    running = Bus(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "panotti"
