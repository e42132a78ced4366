"""Loops of the daemon that must go on whatever happens: the one border for errors that nobody foresaw."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from panotti_daemon.errors import PanottiError

log = structlog.get_logger(__name__)

AFTER_TROUBLE_SECONDS = 5.0


async def keep_going(
    name: str, loop: Callable[[], Awaitable[None]], pause_seconds: float = AFTER_TROUBLE_SECONDS
) -> None:
    """Runs a loop, and runs it again after a pause when it raised: a full disk, or a bug. What it had not finished it
    must find again by itself."""
    while True:
        try:
            return await loop()
        except PanottiError as error:
            log.error("has to wait", loop=name, reason=error.message)
        except Exception:
            log.exception("stumbled", loop=name)
        await asyncio.sleep(pause_seconds)
