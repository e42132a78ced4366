"""Sees from a thread of its own when the event loop is blocked, and by whom: nothing else runs then.

It asks the loop for a sign of life and counts its own short waits for it. A machine that sleeps or a process that is
stopped adds no more than one of these, so neither is taken for a block.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

import structlog

log = structlog.get_logger(__name__)

ASK_SECONDS = 2.0
"""Between two questions; also how long an answer may take before that is worth a line in the log."""
TICK_SECONDS = 0.25
DEBUGGERS = ("bdb", "pdb", "debugpy", "pydevd")


@dataclass(frozen=True)
class Culprit:
    """Whose code the main thread is in, and where."""

    plugin: str
    place: str


class Watchdog:
    def __init__(
        self,
        plugin_of: Callable[[str], str | None],
        restart: Callable[[str], None],
        *,
        restart_seconds: float,
        ask_seconds: float = ASK_SECONDS,
        tick_seconds: float = TICK_SECONDS,
    ) -> None:
        """`plugin_of` tells the plugin of a module, by its name; `restart` is called in the watchdog's thread with the
        plugin that has blocked the loop for `restart_seconds`."""
        self._plugin_of = plugin_of
        self._restart = restart
        self._restart_seconds = restart_seconds
        self._ask_seconds = ask_seconds
        self._tick_seconds = tick_seconds
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watched = 0

    def start(self) -> None:
        """Watches the running loop and its thread until `stop`."""
        self._loop, self._watched = asyncio.get_running_loop(), threading.get_ident()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(self._ask_seconds):
            assert self._loop
            answered = threading.Event()
            try:
                self._loop.call_soon_threadsafe(answered.set)
            except RuntimeError:  # it is closed
                return
            self._await(answered)

    def _await(self, answered: threading.Event) -> None:
        blocked, is_told = 0.0, False
        while not answered.wait(self._tick_seconds):
            blocked += self._tick_seconds
            if blocked < self._ask_seconds or self._ended.is_set():
                continue
            if not is_told:
                is_told = True
                self._tell()
            if blocked >= self._restart_seconds and (culprit := self._culprit()) and not self._is_debugged():
                log.error("starting afresh", plugin=culprit.plugin, place=culprit.place, blocked_seconds=blocked)
                self._restart(culprit.plugin)
                return
        if is_told:
            log.warning("the loop goes on", blocked_seconds=round(blocked, 1))

    def _tell(self) -> None:
        culprit, frame = self._culprit(), sys._current_frames().get(self._watched)
        log.error(
            "a plugin blocks the daemon; it should `await self.run_blocking(function, ...)`"
            if culprit
            else "the loop is blocked",
            plugin=culprit.plugin if culprit else None,
            place=culprit.place if culprit else None,
            stack="".join(traceback.format_stack(frame)),
        )

    def _culprit(self) -> Culprit | None:
        for frame in self._frames():
            if plugin := self._plugin_of(frame.f_globals.get("__name__", "")):
                return Culprit(plugin, f"{frame.f_code.co_filename}:{frame.f_lineno}")
        return None

    def _is_debugged(self) -> bool:
        names = [frame.f_globals.get("__name__", "") for frame in self._frames()]
        return any(name.split(".")[0].startswith(DEBUGGERS) for name in names)

    def _frames(self) -> Iterator[FrameType]:
        """The main thread's, the innermost first."""
        frame = sys._current_frames().get(self._watched)
        while frame:
            yield frame
            frame = frame.f_back
