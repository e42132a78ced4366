"""Whose code runs at this very moment, noted where it outlives the process: when that ended without a word, the next
one finds who was at work. A plugin that waits for something is not at work, so nobody is blamed for a kill from
outside.
"""

from __future__ import annotations

import mmap
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from functools import partial, wraps
from pathlib import Path
from threading import Lock
from types import coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")

Memory = bytearray | mmap.mmap

_ON_LOOP, _IN_THREADS, _BLOCKS = range(3)
_SIZE = 3


class End(Enum):
    """How a plugin's code ended the process."""

    CRASH = "crash"
    BLOCKED = "blocked"


class Mark:
    """One plugin's."""

    def __init__(self, memory: Memory | None = None) -> None:
        self._memory = bytearray(_SIZE) if memory is None else memory
        self._lock = Lock()

    def noted(self, call: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
        """The call, for a task of its own, with every step of it noted."""

        async def steps() -> T:
            current_mark.set(self)
            return await call()

        @wraps(call, updated=())
        def noting() -> Awaitable[T]:
            return _noted(steps(), self._memory)

        return noting

    @contextmanager
    def on_loop(self) -> Iterator[None]:
        self._memory[_ON_LOOP] = 1
        try:
            yield
        finally:
            self._memory[_ON_LOOP] = 0

    @contextmanager
    def in_thread(self) -> Iterator[None]:
        with self._lock:
            self._memory[_IN_THREADS] += 1
        try:
            yield
        finally:
            with self._lock:
                self._memory[_IN_THREADS] = max(0, self._memory[_IN_THREADS] - 1)

    def clear(self) -> None:
        with self._lock:
            self._memory[:] = bytes(_SIZE)

    def blocks(self) -> None:
        """The daemon is about to start itself afresh because of this plugin."""
        self._memory[_BLOCKS] = 1


current_mark: ContextVar[Mark | None] = ContextVar("current_mark", default=None)
"""Of the plugin whose code runs here, or called what runs here."""


class AtWork:
    """Every plugin's mark; without a folder, none outlives the process."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._marks: dict[str, Mark] = {}

    def take_left_over(self) -> dict[str, End]:
        """Whose code ended the process before this one, and how. Told once."""
        if self._folder is None or not self._folder.is_dir():
            return {}
        ends = {}
        for file in sorted(self._folder.iterdir()):
            memory = file.read_bytes()
            if any(memory):
                ends[file.name] = End.BLOCKED if memory[_BLOCKS:] == b"\1" else End.CRASH
            file.unlink()
        return ends

    def clear(self) -> None:
        """The process ends as it should: whose threads still run has done nothing wrong."""
        for mark in self._marks.values():
            mark.clear()

    def mark(self, plugin: str) -> Mark:
        if plugin not in self._marks:
            self._marks[plugin] = Mark(self._memory(plugin))
        return self._marks[plugin]

    def _outliving(self, file: Path) -> mmap.mmap:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file.open("w+b") as opened:
            opened.write(bytes(_SIZE))
            opened.flush()
            return mmap.mmap(opened.fileno(), _SIZE)

    def _memory(self, plugin: str) -> Memory | None:
        if self._folder is None:
            return None
        try:
            return self._outliving(self._folder / plugin)
        except OSError as error:  # a full disk must not keep plugins from running
            log.warning("a crash of this plugin would not be noticed", plugin=plugin, reason=error.strerror)
            return None


@coroutine
def _noted(steps: Coroutine[Any, Any, T], memory: Memory) -> Generator[Any, Any, T]:
    resume: Callable[[], Any] = partial(steps.send, None)
    while True:
        memory[_ON_LOOP] = 1
        try:
            awaited = resume()
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]
        finally:
            memory[_ON_LOOP] = 0
        try:
            resume = partial(steps.send, (yield awaited))
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:
            resume = partial(steps.throw, error)
