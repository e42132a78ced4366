"""What the daemon tells systemd, as sd_notify(3) has it: ready, what it is at, still alive, stopping.

The watchdog is fed by the event loop, so that systemd notices one that hangs. Without systemd nothing happens here.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from panotti_daemon.api.schemas import Status

STATUS_SECONDS = 5.0
"""The shortest time between two status lines."""


class Board(Protocol):
    def changes(self, keep_alive_seconds: float) -> AsyncIterator[Status | None]: ...


@asynccontextmanager
async def systemd_told(board: Board, environment: Mapping[str, str] = os.environ) -> AsyncIterator[None]:
    """Ready when it is entered, stopping when it is left."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        yield
        return
    tasks = [asyncio.create_task(_tell_status(address, board), name="systemd status")]
    if seconds := _watchdog_seconds(environment):
        tasks.append(asyncio.create_task(_feed_watchdog(address, seconds / 2), name="systemd watchdog"))
    notify(address, "READY=1")
    try:
        yield
    finally:
        notify(address, "STOPPING=1")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def notify(address: str, message: str) -> None:
    """A manager that is away, or too busy to take it, is no reason to end."""
    if sys.platform == "win32":
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


async def _tell_status(address: str, board: Board) -> None:
    told = None
    async for status in board.changes(math.inf):
        if status and status.summary != told:
            told = status.summary
            notify(address, f"STATUS={' '.join(told.split())}")
        await asyncio.sleep(STATUS_SECONDS)


async def _feed_watchdog(address: str, seconds: float) -> None:
    while True:
        notify(address, "WATCHDOG=1")
        await asyncio.sleep(seconds)


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """How long systemd waits for a sign of life from this very process; 0: it does not."""
    if environment.get("WATCHDOG_PID") not in (None, str(os.getpid())):
        return 0.0
    return int(environment.get("WATCHDOG_USEC", "0")) / 1e6
