"""Removes what Panotti itself leaves behind: half-written files after a crash, downloads that nobody goes on with, logs
beyond those that are kept, and what was decoded of recordings that were given up.

Of files, only those that Panotti itself wrote, by their place and their whole name; a link is never followed, nor
removed.
Old events are `core/events/retention.py`'s, and models are never removed unasked.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from panotti_daemon.clock import Clock
from panotti_daemon.desktop.instance import RUNTIME_TEMPORARY
from panotti_daemon.engine.models.download import PARTIAL_DOWNLOAD
from panotti_daemon.engine.models.downloaded import long_unused
from panotti_daemon.loops import keep_going
from panotti_daemon.models.transcript.outputs import TEMPORARY, files_below
from panotti_daemon.paths import Paths
from panotti_daemon.plugin_kit.placing import STAGED
from panotti_daemon.settings import Settings

log = structlog.get_logger(__name__)

EVERY_SECONDS = 24 * 3600.0
BELONGS_TO_NOBODY = timedelta(days=1)
"""Nobody writes a temporary file for so long."""
GIVEN_UP = timedelta(days=14)
"""A download that was cut short is gone on with when its model is next asked for, and a recording that was cancelled or
failed, when it is tried again; one of that age is not."""

DropGivenUp = Callable[[datetime], Awaitable[int]]
"""Drops the checkpoints of recordings that were given up by then; returns how many."""


class Housekeeping:
    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        output_roots: Iterable[Path],
        clock: Clock,
        drop_given_up: DropGivenUp,
    ) -> None:
        self._paths = paths
        self._settings = settings
        self._output_roots = tuple(output_roots)
        self._clock = clock
        self._drop_given_up = drop_given_up
        self._stopped = threading.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(keep_going("housekeeping", self._sweep_on_and_on), name="housekeeping")

    async def stop(self) -> None:
        """A sweep ends at its next file."""
        self._stopped.set()
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    def sweep(self) -> int:
        """Returns how many bytes it freed. Runs in a thread."""
        now = self._clock.now()
        kinds = {
            "half-written transcripts": self._half_written(now),
            "half-written runtime files": self._runtime_temporaries(now),
            "old logs": self._old_logs(),
            "unfinished downloads": self._unfinished_downloads(now),
            "plugins half installed": self._staged_plugins(now),
        }
        freed = 0
        for kind, leftovers in kinds.items():
            sizes = [size for path in leftovers if (size := _remove(path)) is not None]
            if sizes:
                log.info("leftovers removed", what=kind, count=len(sizes), bytes=sum(sizes))
            freed += sum(sizes)
        for model in long_unused(self._settings, self._paths.models, now):
            log.info("model not used for long", model=model.name, bytes=model.size, remedy="panotti models remove")
        return freed

    async def _sweep_on_and_on(self) -> None:
        while True:
            await asyncio.to_thread(self.sweep)
            if count := await self._drop_given_up(self._clock.now() - GIVEN_UP):
                log.info("checkpoints removed", count=count)
            await asyncio.sleep(EVERY_SECONDS)

    def _half_written(self, now: datetime) -> Iterator[Path]:
        for root in self._output_roots:
            for path in files_below(root):
                if self._stopped.is_set():
                    return
                if TEMPORARY.fullmatch(path.name) and _is_older(path, now - BELONGS_TO_NOBODY):
                    yield path

    def _runtime_temporaries(self, now: datetime) -> Iterator[Path]:
        for path in _named(self._paths.runtime, RUNTIME_TEMPORARY):
            if _is_older(path, now - BELONGS_TO_NOBODY):
                yield path

    def _old_logs(self) -> Iterator[Path]:
        """Rotation leaves behind what it no longer counts when fewer are to be kept than before."""
        log_file = self._paths.log_file
        for path in _named(log_file.parent, re.compile(rf"{re.escape(log_file.name)}\.[1-9][0-9]*")):
            if int(path.suffix[1:]) > self._settings.log.keep_files:
                yield path

    def _unfinished_downloads(self, now: datetime) -> Iterator[Path]:
        for folder in _named(self._paths.models, PARTIAL_DOWNLOAD):
            if all(_is_older(path, now - GIVEN_UP) for path in (folder, *folder.rglob("*"))):
                yield folder

    def _staged_plugins(self, now: datetime) -> Iterator[Path]:
        for path in _named(self._paths.plugins, STAGED):
            if _is_older(path, now - BELONGS_TO_NOBODY):
                yield path


def _named(folder: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    with suppress(OSError):
        yield from sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name) and not path.is_symlink())


def _is_older(path: Path, moment: datetime) -> bool:
    try:
        return path.lstat().st_mtime < moment.timestamp()
    except OSError:
        return False


def _remove(path: Path) -> int | None:
    """Returns the bytes freed; None where it is a link, or could not be removed."""
    try:
        if path.is_symlink():
            return None
        if path.is_dir():
            size = sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())
            shutil.rmtree(path)
        else:
            size = path.lstat().st_size
            path.unlink()
    except OSError as error:
        log.warning("a leftover cannot be removed", path=str(path), reason=error.strerror)
        return None
    return size
