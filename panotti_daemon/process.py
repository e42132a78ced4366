"""How the daemon's process ends: when it is asked to, within seconds, whoever holds on to it; or by becoming itself
afresh."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import structlog

log = structlog.get_logger(__name__)

STOP_SECONDS = 4.5
"""From the wish to the end: five are promised."""
LEFTOVER_SECONDS = 0.5
"""For what is still there when everything was stopped and closed: tasks and threads that do not end."""


class Ending:
    """Ends the process by force when it has not ended by itself in time."""

    def __init__(self, at_last: Callable[[], None]) -> None:
        """`at_last` is called before the end by force, in a thread of its own."""
        self._at_last = at_last

    def within(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.name = "ending"
        timer.start()

    def _end(self) -> None:
        threads = [t.name for t in threading.enumerate() if t.is_alive() and t is not threading.current_thread()]
        log.warning("ended by force: something does not stop", threads=threads)
        self._at_last()
        logging.shutdown()
        os._exit(0)


def handle_signals(shut_down: Callable[[], None], ending: Ending) -> None:
    """SIGTERM, SIGINT and SIGHUP shut down; in time, even if the loop is blocked by Python code."""
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":

        def end(*_: object) -> None:
            ending.within(STOP_SECONDS)
            loop.call_soon_threadsafe(shut_down)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        return
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, shut_down)
        # the loop is woken by the signal itself; this is called even while a plugin blocks the loop
        signal.signal(number, lambda *_: ending.within(STOP_SECONDS))


async def in_time(stop: Callable[[], Coroutine[Any, Any, None]], seconds: float) -> None:
    """What has not stopped by then is left behind."""
    await asyncio.wait([asyncio.create_task(stop())], timeout=seconds)


def start_afresh() -> NoReturn:
    """Replaces this process by a new one of itself, from any thread, whatever the others do. Its files and sockets are
    closed with it: the lock is free, the port too, and the engine ends when its stdin closes."""
    logging.shutdown()
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 ourselves
    except OSError:
        os._exit(1)  # as after a crash: whoever keeps services alive starts it again


def adopt_children() -> None:
    """Waits for children of the process that this one took the place of, or they would stay zombies."""
    if sys.platform == "win32":
        return
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return
    import psutil

    for child in psutil.Process().children():
        threading.Thread(target=child.wait, name=f"wait for {child.pid}", daemon=True).start()
