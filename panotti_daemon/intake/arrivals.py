"""Takes in what the watcher finds, writes it into the ledger, and follows each new file until it has settled."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from panotti_daemon.clock import Clock
from panotti_daemon.core.plugins.blocking import in_own_thread
from panotti_daemon.intake.candidates import not_media_by_name, why_not
from panotti_daemon.intake.lanes import Lanes
from panotti_daemon.intake.ledger import Ledger, LedgerRow, Seen
from panotti_daemon.intake.observe import look, prove
from panotti_daemon.intake.settle import Settled, Settler
from panotti_daemon.intake.watcher import Found, Scan, Watcher, is_unicode
from panotti_daemon.loops import keep_going
from panotti_daemon.models.database import Database, Transaction, queries, stamp
from panotti_daemon.models.recording.models import FileState
from panotti_daemon.settings import WatchFolder

log = structlog.get_logger(__name__)

T = TypeVar("T")

LOOKS_AT_ONCE = 2000
"""Files that are looked at in one turn of the thread, so that nothing waits long behind ten thousand."""
LOOKING = "look at files"

LEFT_ALONE = (FileState.FORGOTTEN, FileState.ARCHIVED)
"""Not taken for new when the settings give their place to another folder."""
UNDECIDED = (FileState.GROWING, FileState.WAITING)


class Next(Protocol):
    def add(self, settled: Settled, folder: WatchFolder, row: LedgerRow) -> None:
        """A file has settled."""

    def __contains__(self, path: Path) -> bool:
        """Whether the file waits for its turn there."""


class Arrivals:
    """The watcher's receiver."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        identifier: Next,
        clock: Clock,
        *,
        backlog_limit: int,
        superseded: Callable[[LedgerRow], Awaitable[None]],
        folders_changed: Callable[[], None],
        expected: Callable[[], None] = lambda: None,
    ) -> None:
        """`superseded` is told of each row whose file changed after its content was known; `expected` is called when
        what may be a recording is about to settle."""
        self.watcher: Watcher | None = None
        self.folders_changed = folders_changed
        self._database = database
        self._ledger = ledger
        self._identifier = identifier
        self._clock = clock
        self._backlog_limit = backlog_limit
        self._superseded = superseded
        self._expected = expected
        self._empty: dict[Path, tuple[int, int] | None] = {}
        """New folders in which nothing stood yet, each with its root: they may be mount points without their drives."""
        self._settlers: dict[Path, Settler] = {}
        """For each folder in which something settles."""
        self._lanes = Lanes("settle", self._follow)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(keep_going("look elsewhere", self._look_elsewhere), name="look elsewhere")
        self._lanes.start()

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._lanes.stop()

    def reason(self, path: Path) -> str | None:
        """Why a file has not settled; None: it is not being followed."""
        reasons = (settler.reason(path, self._clock.monotonic()) for settler in self._settlers.values())
        return next(filter(None, reasons), None)

    def is_growing(self, path: Path) -> bool:
        return any(path in settler for settler in self._settlers.values())

    def follow(self, path: Path) -> None:
        """Looks at a file until it has settled."""
        assert self.watcher
        folder = self.watcher.settings_for(path)
        settler = self._settlers.setdefault(folder.path, Settler())
        settler.watch(path, folder.settle_seconds, self._clock.monotonic())
        self._lanes.wake(folder.path)

    def leave(self, path: Path) -> None:
        """Looks at the file no more until it changes or somebody asks."""
        for settler in self._settlers.values():
            settler.forget(path)

    async def scanned(self, folder: WatchFolder, scan: Scan) -> None:
        found = await asyncio.to_thread(lambda: [file for file in scan.found if self._belongs(file.path, folder)])
        async with self._database.transaction() as transaction:
            rows = await self._ledger.of_folder(transaction.connection, folder.path)
            elsewhere = [file.path for file in found if file.path not in rows]
            others = await self._ledger.of_paths(transaction.connection, elsewhere)
            rows |= {path: row for path, row in others.items() if row.state in LEFT_ALONE}
            own = await _own_outputs(transaction, folder.path)
            found = [file for file in found if file.path not in own]
            found.sort(key=lambda file: file.look.mtime_ns, reverse=True)
            is_new = await queries().folder_by_path(transaction.connection, path=str(folder.path)) is None
            there = {f.path for f in found}
            absent = [row for path, row in rows.items() if row.present and path not in there]
            await self._gone(transaction, [row for row in absent if self._is_gone(row, folder, scan)])
            back = [f.path for f in found if f.path in rows and not rows[f.path].present]
            await self._ledger.set_presence(transaction, back, present=True)
        if is_new and scan.is_blank:
            self._empty[folder.path] = scan.root
        elif is_new and folder.path in self._empty:
            is_new = self._empty[folder.path] != scan.root
        await self._take_in(folder, found, rows, first=is_new and not scan.is_blank)
        await self._look_elsewhere()

    async def hinted(self, folder: WatchFolder, paths: set[Path]) -> None:
        candidates = await asyncio.to_thread(
            lambda: [p for p in paths if why_not(p) is None and is_unicode(p) and self._belongs(p, folder)]
        )
        for part in _parts(candidates):
            await self._hinted(folder, part)

    async def _hinted(self, folder: WatchFolder, paths: Sequence[Path]) -> None:
        looks = await in_own_thread(lambda: {path: look(path) for path in paths}, LOOKING)
        async with self._database.transaction() as transaction:
            rows = await self._ledger.of_paths(transaction.connection, paths)
            own = await _own_outputs_among(transaction, [path for path in paths if path not in rows])
            gone = [row for path, row in rows.items() if not looks[path] and row.present]
            await self._gone(transaction, gone)
            back = [path for path, row in rows.items() if looks[path] and not row.present]
            await self._ledger.set_presence(transaction, back, present=True)
        found = [Found(path, seen) for path, seen in looks.items() if seen and path not in own]
        await self._take_in(folder, found, rows, first=False)

    async def _take_in(
        self, folder: WatchFolder, found: Sequence[Found], rows: dict[Path, LedgerRow], *, first: bool
    ) -> None:
        fresh: list[Found] = []
        again: list[Found] = []
        for file in found:
            row = rows.get(file.path)
            if row is None or not row.is_same_file_as(file.look):
                fresh.append(file)
            elif _is_open(row):
                again.append(file)
        for row in [row for file in fresh if (row := rows.get(file.path)) and row.transcript_id]:
            log.info("file changed", path=str(row.path), was=row.state.value)
            await self._superseded(row)  # first: until the change is noted, every scan sees it anew, also after a crash
        for part in _parts(fresh):
            async with self._database.transaction() as transaction:
                await self._ledger.see(transaction, [Seen(f.path, folder.path, f.look, backlog=first) for f in part])
        was_empty = self._empty.pop(folder.path, None) if found else None
        if first or was_empty:
            await self._first_scanned(folder, found if first else ())
        for file in (*fresh, *(file for file in again if file.path not in self._identifier)):
            self.follow(file.path)

    def _belongs(self, path: Path, folder: WatchFolder) -> bool:
        """Where one watched folder stands inside another, a file belongs to the inner one."""
        assert self.watcher
        return self.watcher.settings_for(path).path == folder.path and not self.watcher.is_left_out(path, folder.path)

    def _is_gone(self, row: LedgerRow, folder: WatchFolder, scan: Scan) -> bool:
        """Whether the scan would have found the file. An empty folder may be a mount point without its drive: of what
        was in it, only what is new whenever it comes is gone."""
        assert self.watcher
        is_searched = self.watcher.folder_of(row.path) is folder and scan.unread.isdisjoint(row.path.parents)
        return is_searched and (not scan.is_blank or (row.state is FileState.GROWING and not row.backlog))

    async def _first_scanned(self, folder: WatchFolder, found: Sequence[Found]) -> None:
        """Noted behind its files: a first scan that was broken off is followed by another first one."""
        recordings = [f for f in found if not not_media_by_name(f.path)]
        backlog = "asking" if len(recordings) > self._backlog_limit else "none"
        async with self._database.transaction() as transaction:
            await queries().insert_folder(
                transaction.connection, path=str(folder.path), now=stamp(self._clock.now()), backlog=backlog
            )
        if recordings:
            log.info("first scan", folder=str(folder.path), files=len(recordings), backlog=backlog)

    async def _gone(self, transaction: Transaction, rows: list[LedgerRow]) -> None:
        undecided = [row.path for row in rows if row.recording_id is None]
        await self._ledger.forget(transaction, undecided)
        for path in undecided:
            self.leave(path)
        await self._ledger.set_presence(transaction, [r.path for r in rows if r.recording_id], present=False)

    async def _look_elsewhere(self) -> None:
        """No scan finds what a person asked for from outside of the watched folders."""
        assert self.watcher
        async with self._database.reading() as connection:
            asked_for = await self._ledger.select(connection, "undecided_urgent_files")
        for row in asked_for:
            if self.watcher.folder_of(row.path) is None and row.path not in self._identifier:
                self.follow(row.path)

    async def _follow(self, folder: Path, wake: asyncio.Event) -> None:
        settler = self._settlers[folder]
        while len(settler):
            for part in _parts(settler.due(self._clock.monotonic())):
                await self._look_at(settler, part)
            next_due = settler.next_due()
            wake.clear()
            with suppress(TimeoutError):
                seconds = 0.0 if next_due is None else max(0.02, next_due - self._clock.monotonic())
                async with asyncio.timeout(seconds):
                    await wake.wait()
        del self._settlers[folder]

    async def _look_at(self, settler: Settler, paths: Sequence[Path]) -> None:
        looks = await in_own_thread(lambda: [(path, look(path)) for path in paths], LOOKING)
        quiet = [path for path, seen in looks if settler.looked(path, seen, self._clock.monotonic())]
        now = self._clock.monotonic()
        if any(settler.is_expected(path, now) for path in paths if not not_media_by_name(path)):
            self._expected()
        gone = [path for path, seen in looks if seen is None]
        proofs = await in_own_thread(lambda: [(path, prove(path)) for path in quiet], LOOKING) if quiet else []
        settled = [s for path, proof in proofs if (s := settler.proved(path, proof, self._clock.monotonic()))]
        if not settled and not gone:
            return
        try:
            turns = await self._store(settled, gone)
        except Exception:
            for path in (*gone, *(file.path for file in settled)):
                self.follow(path)
            raise
        for turn in turns:  # all at once: the next batch is made of the first in order, not of the first to come
            self._identifier.add(*turn)

    async def _store(
        self, settled: Sequence[Settled], gone: Sequence[Path]
    ) -> list[tuple[Settled, WatchFolder, LedgerRow]]:
        assert self.watcher
        turns: list[tuple[Settled, WatchFolder, LedgerRow]] = []
        async with self._database.transaction() as transaction:
            rows = await self._ledger.of_paths(transaction.connection, [*gone, *(file.path for file in settled)])
            await self._gone(transaction, [rows[path] for path in gone if path in rows])
            for file in settled:
                row = rows.get(file.path)
                if row and row.state is not FileState.FORGOTTEN:
                    turns.append((file, self.watcher.settings_for(file.path), row))
            await self._ledger.settled(transaction, [file for file, _, _ in turns])
        for file, _, _ in turns:
            log.debug("settled", path=str(file.path))
        return turns


def _is_open(row: LedgerRow) -> bool:
    """Whether an unchanged file is to be looked at again: it was not identified yet, or had gone before its turn."""
    if row.state is FileState.CANCELLED:
        return not row.present
    asked_about = row.backlog and row.state is FileState.WAITING and row.duration is not None and not row.urgent
    return row.state in UNDECIDED and row.transcript_id is None and not asked_about


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + LOOKS_AT_ONCE] for start in range(0, len(items), LOOKS_AT_ONCE))


async def _own_outputs_among(transaction: Transaction, paths: Sequence[Path]) -> set[Path]:
    rows = queries().outputs_at(transaction.connection, paths=json.dumps([str(path) for path in paths]))
    return {Path(row["path"]) async for row in rows}


async def _own_outputs(transaction: Transaction, folder: Path) -> set[Path]:
    prefix = f"{folder}{os.sep}"
    rows = queries().output_paths_below(transaction.connection, prefix=prefix, prefix_end=prefix + "\U0010ffff")
    return {Path(row["path"]) async for row in rows}
