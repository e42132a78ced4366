"""What systemd hears, on a socket of its kind."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from panotti_daemon.api.schemas import Status
from panotti_daemon.desktop import sd_notify
from panotti_daemon.desktop.sd_notify import systemd_told
from tests.desktop.scripted_daemon import status

if sys.platform == "win32":
    pytest.skip("systemd is for Linux", allow_module_level=True)


class Board:
    """Tells these summaries at once, and then nothing for ever."""

    def __init__(self, *summaries: str) -> None:
        self._summaries = summaries

    async def changes(self, keep_alive_seconds: float) -> AsyncIterator[Status | None]:
        for summary in self._summaries:
            yield status(summary=summary)
        await asyncio.Event().wait()


class Manager:
    def __init__(self, address: str) -> None:
        self.environment = {"NOTIFY_SOCKET": address}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self.socket.setblocking(False)

    async def heard(self) -> str:
        return (await asyncio.get_running_loop().sock_recv(self.socket, 4096)).decode()

    def waiting(self) -> list[str]:
        """What came in and was not heard yet."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(f"@{tmp_path}" if request.param == "abstract" else str(tmp_path / "notify"))
    yield manager
    manager.socket.close()


def test_it_hears_of_the_start_the_status_and_the_end(manager: Manager) -> None:
    async def scenario() -> None:
        async with systemd_told(Board("Transcribing a\nREADY=0.wav, 4 %"), manager.environment):
            assert await manager.heard() == "READY=1"
            assert await manager.heard() == "STATUS=Transcribing a READY=0.wav, 4 %"
        assert await manager.heard() == "STOPPING=1"
        assert manager.waiting() == []

    asyncio.run(scenario())


def test_a_status_is_told_when_its_words_change(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sd_notify, "STATUS_SECONDS", 0)

    async def scenario() -> None:
        async with systemd_told(Board("Idle", "Idle", "Paused", "Idle"), manager.environment):
            assert [await manager.heard() for _ in range(4)] == [
                "READY=1",
                "STATUS=Idle",
                "STATUS=Paused",
                "STATUS=Idle",
            ]

    asyncio.run(scenario())


def test_the_watchdog_is_fed_twice_in_its_time_and_not_by_a_loop_that_hangs(manager: Manager) -> None:
    async def scenario() -> None:
        environment = {**manager.environment, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": str(os.getpid())}
        async with systemd_told(Board(), environment):
            assert [await manager.heard() for _ in range(4)] == ["READY=1", *["WATCHDOG=1"] * 3]
            manager.waiting()
            time.sleep(0.5)
            assert manager.waiting() == []
            assert await manager.heard() == "WATCHDOG=1"

    asyncio.run(scenario())


def test_another_processs_watchdog_is_not_fed(manager: Manager) -> None:
    async def scenario() -> None:
        environment = {**manager.environment, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
        async with systemd_told(Board(), environment):
            await asyncio.sleep(0.05)
        assert manager.waiting() == ["READY=1", "STOPPING=1"]

    asyncio.run(scenario())


def test_a_manager_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with systemd_told(Board("Idle"), {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
            await asyncio.sleep(0)

    asyncio.run(scenario())


def test_without_systemd_nothing_runs() -> None:
    async def scenario() -> None:
        async with systemd_told(Board("Idle"), {}):
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())
