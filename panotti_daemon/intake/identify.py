"""Decides what a settled file is: no recording at all, a track that waits for its sibling, a copy, or a recording.

Order: what a person asks for now, then what arrives, then the backlog, newest first.
"""

from __future__ import annotations

import asyncio
import heapq
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Protocol

import structlog

from panotti_daemon.clock import Clock, local
from panotti_daemon.core.plugins.blocking import in_own_thread
from panotti_daemon.engine.messages import Probe, ProbeKind
from panotti_daemon.errors import PanottiError
from panotti_daemon.intake.candidates import not_media_by_name
from panotti_daemon.intake.lanes import Lanes
from panotti_daemon.intake.ledger import Ledger, LedgerRow
from panotti_daemon.intake.observe import hash_file, look
from panotti_daemon.intake.register import Outside, Part, Register
from panotti_daemon.intake.settle import Settled
from panotti_daemon.models.database import Database, Transaction, queries
from panotti_daemon.models.recording import tracks
from panotti_daemon.models.recording.models import FileState
from panotti_daemon.models.recording.names import stem
from panotti_daemon.settings import WatchFolder

log = structlog.get_logger(__name__)

BATCH_FILES = 32
BATCH_BYTES = 256_000_000
READING = "read files"


class Prober(Protocol):
    async def probe(self, paths: Sequence[Path]) -> list[Probe]: ...


@dataclass(order=True)
class _Turn:
    urgency: int
    age: int
    path: Path = field(compare=False)
    settled: Settled = field(compare=False)
    folder: WatchFolder = field(compare=False)
    row: LedgerRow = field(compare=False)


class Follower(Protocol):
    """What looks at files until they settle."""

    def follow(self, path: Path) -> None: ...

    def is_growing(self, path: Path) -> bool: ...


class Identify:
    _follower: Follower

    def __init__(self, database: Database, ledger: Ledger, register: Register, prober: Prober, clock: Clock) -> None:
        self._database = database
        self._ledger = ledger
        self._register = register
        self._prober = prober
        self._clock = clock
        self._turns: dict[Path, _Turn] = {}
        self._order = count()
        self._grace: dict[Path, tuple[float, WatchFolder]] = {}
        """Until when a track waits for its sibling."""
        self._lanes = Lanes("identify", self._work)
        self._stopped = False

    def __contains__(self, path: Path) -> bool:
        return path in self._turns or path in self._grace

    def start(self, follower: Follower) -> None:
        self._follower = follower
        self._lanes.start()

    async def stop(self) -> None:
        self._stopped = True
        await self._lanes.stop()

    def add(self, settled: Settled, folder: WatchFolder, row: LedgerRow) -> None:
        urgency = 0 if row.urgent else 2 if row.backlog else 1
        age = -settled.look.mtime_ns if row.backlog else next(self._order)
        self._turns[settled.path] = _Turn(urgency, age, settled.path, settled, folder, row)
        self._lanes.wake(folder.path)

    def hurry(self, path: Path) -> None:
        """A person wants this file now."""
        if turn := self._turns.get(path):
            turn.urgency = 0
            turn.row = turn.row.model_copy(update={"urgent": True})
        if waiting := self._grace.get(path):
            self._grace[path] = (self._clock.monotonic(), waiting[1])
            self._lanes.wake(waiting[1].path)

    def leave(self, path: Path) -> None:
        """Its turn does not come: call it in the transaction that says so."""
        self._turns.pop(path, None)
        self._grace.pop(path, None)

    async def supersede(self, row: LedgerRow) -> None:
        """The file of this row changed after its content was known."""
        for other in await self._register.supersede(row):
            self._follower.follow(other.path)

    async def _work(self, folder: Path, wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            await self._end_grace(folder)
            while batch := self._next_batch(folder):
                await self._identify_or_give_up(batch)
            next_end = min((end for end, waiting in self._grace.values() if waiting.path == folder), default=None)
            if next_end is None:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.02, next_end - self._clock.monotonic())):
                    await wake.wait()

    async def _identify_or_give_up(self, batch: list[_Turn]) -> None:
        """A file that nobody foresaw must not hold up the others for ever."""
        try:
            await self._identify(batch)
        except PanottiError:
            raise
        except Exception as error:
            if len(batch) > 1:
                for turn in batch:
                    await self._identify_or_give_up([turn])
                return
            log.exception("cannot identify", path=str(batch[0].path))
            async with self._database.transaction() as transaction:
                reason = f"Panotti stumbled over it ({type(error).__name__}); its log says more"
                await self._ledger.set(transaction, batch[0].path, FileState.FAILED, reason)
            self._turns.pop(batch[0].path, None)

    def _next_batch(self, folder: Path) -> list[_Turn]:
        batch: list[_Turn] = []
        size = 0
        for turn in heapq.nsmallest(BATCH_FILES, (turn for turn in self._turns.values() if turn.folder.path == folder)):
            size += turn.settled.look.size
            if batch and size > BATCH_BYTES:
                break
            batch.append(turn)
        return batch

    async def _identify(self, batch: list[_Turn]) -> None:
        opened = [turn for turn in batch if _plainly(turn) is None]
        paths = [turn.path for turn in opened]
        await in_own_thread(lambda: [_can_be_read(path) for path in paths], READING)
        probes = await self._prober.probe(paths) if paths else []
        media: list[tuple[_Turn, Probe]] = []
        async with self._database.transaction() as transaction:
            for turn in filter(self._is_due, batch):
                if verdict := _plainly(turn):
                    await self._ledger.set(transaction, turn.path, *verdict)
            for turn, probe in zip(opened, probes, strict=True):
                if not self._is_due(turn):
                    continue
                if verdict := _from_probe(probe):
                    await self._ledger.set(transaction, turn.path, *verdict)
                elif probe.kind is ProbeKind.MEDIA and not await self._waits_for_a_yes(transaction, turn, probe):
                    media.append((turn, probe))
        await self._are_recordings(media)
        for turn in filter(self._is_due, batch):
            del self._turns[turn.path]

    def _is_due(self, turn: _Turn) -> bool:
        """Whether nobody took it out meanwhile, or put a newer one in its place."""
        return self._turns.get(turn.path) is turn

    def _hash(self, paths: Iterable[Path]) -> list[str | OSError]:
        """In a thread."""
        hashes: list[str | OSError] = []
        for path in paths:
            try:
                hashes.append(hash_file(path, lambda: self._stopped))
            except OSError as error:
                hashes.append(error)
        return hashes

    async def _waits_for_a_yes(self, transaction: Transaction, turn: _Turn, probe: Probe) -> bool:
        if not turn.row.backlog or turn.row.urgent:
            return False
        folder = await queries().folder_by_path(transaction.connection, path=str(turn.folder.path))
        if folder is None or folder["backlog"] not in ("asking", "skipped"):
            return False
        if folder["backlog"] == "skipped":
            await self._ledger.set(transaction, turn.path, FileState.IGNORED, SKIPPED)
            return True
        if await self._is_adopted(transaction, turn):
            return False
        await self._ledger.settled(transaction, [turn.settled], duration=probe.duration or 0.0)
        reason = "it was here before Panotti: say yes to these files with `panotti backlog --yes`"
        await self._ledger.set(transaction, turn.path, FileState.WAITING, reason)
        return True

    async def _is_adopted(self, transaction: Transaction, turn: _Turn) -> bool:
        """Whether a transcript that was found on disk may be of this file: then its content is worth reading."""
        return bool(await queries().is_adopted_name(transaction.connection, name=turn.path.name))

    async def _are_recordings(self, media: Sequence[tuple[_Turn, Probe]]) -> None:
        paths = [turn.path for turn, _ in media]
        hashes, looks = await in_own_thread(lambda: (self._hash(paths), [look(path) for path in paths]), READING)
        came = {path: content for path, content in zip(paths, hashes, strict=True) if isinstance(content, str)}
        outside = await self._register.look_outside([turn.folder for turn, _ in media], came)
        superseded: list[LedgerRow] = []
        async with self._database.transaction() as transaction:
            for (turn, probe), content_hash, seen in zip(media, hashes, looks, strict=True):
                if not self._is_due(turn):
                    continue
                if seen != turn.settled.look or isinstance(content_hash, InterruptedError):
                    self._follower.follow(turn.path)
                elif isinstance(content_hash, OSError):
                    await self._ledger.set(transaction, turn.path, FileState.WAITING, _unread(content_hash))
                else:
                    superseded += await self._is_recording(transaction, turn, probe, content_hash, outside)
        for row in superseded:
            await self.supersede(row)

    async def _is_recording(
        self, transaction: Transaction, turn: _Turn, probe: Probe, content_hash: str, outside: Outside
    ) -> list[LedgerRow]:
        """Returns the rows whose earlier recording this one supersedes."""
        track = tracks.match(turn.path.name, turn.folder.tracks)
        await self._ledger.settled(transaction, [turn.settled], content_hash=content_hash, duration=probe.duration)
        row = await self._ledger.get(transaction.connection, turn.path)
        if row is None:
            return []
        part = Part(row, track.label if track else None, content_hash)
        if track is None or len(turn.folder.tracks) < 2:
            return await self._register.commit(transaction, [part], turn.folder, outside, stem(turn.path.name))
        return await self._commit_track(transaction, turn, track, part, outside)

    async def _commit_track(
        self, transaction: Transaction, turn: _Turn, track: tracks.TrackName, part: Part, outside: Outside
    ) -> list[LedgerRow]:
        siblings, growing = await self._siblings(transaction, turn.path, track, turn.folder)
        if siblings:
            for sibling in siblings:
                self._grace.pop(sibling.row.path, None)
            parts = sorted([part, *siblings], key=lambda p: list(turn.folder.tracks).index(p.label or ""))
            return await self._register.commit(transaction, parts, turn.folder, outside, track.title)
        if turn.row.urgent and not growing:
            return await self._register.commit(transaction, [part], turn.folder, outside, track.title)
        seconds = turn.folder.track_grace_seconds
        self._grace[turn.path] = (self._clock.monotonic() + seconds, turn.folder)
        until = local(self._clock.now() + timedelta(seconds=seconds))
        others = ", ".join(label for label in turn.folder.tracks if label != track.label)
        reason = f"its other track ({others}) may still come, until {until:%H:%M:%S}"
        await self._ledger.set(transaction, turn.path, FileState.WAITING, reason)
        return []

    async def _siblings(
        self, transaction: Transaction, path: Path, track: tracks.TrackName, folder: WatchFolder
    ) -> tuple[list[Part], bool]:
        """The identified tracks of the same recording, and whether another one is on its way."""
        prefix = f"{path.parent}{os.sep}"
        rows = await self._ledger.select(
            transaction.connection, "ledger_between", prefix=prefix, prefix_end=prefix + "\U0010ffff"
        )
        parts: dict[str, Part] = {}
        growing = False
        for row in rows:
            other = tracks.match(row.path.name, folder.tracks)
            if row.path.parent != path.parent or other is None or other.title != track.title:
                continue
            if other.label == track.label or not row.present:
                continue
            if row.content_hash and row.state is not FileState.GROWING:
                parts.setdefault(other.label, Part(row, other.label, row.content_hash))
            growing = growing or self._follower.is_growing(row.path) or row.path in self._turns
        return list(parts.values()), growing

    async def _end_grace(self, watched: Path) -> None:
        """Tracks whose sibling did not come are recordings of their own."""
        now = self._clock.monotonic()
        ended = [(path, folder) for path, (end, folder) in self._grace.items() if end <= now and folder.path == watched]
        for path, folder in ended:
            track = tracks.match(path.name, folder.tracks)
            async with self._database.reading() as connection:
                row = await self._ledger.get(connection, path)
            came = {path: row.content_hash} if row and row.content_hash else {}
            outside = await self._register.look_outside([folder], came)
            async with self._database.transaction() as transaction:
                if path not in self._grace:
                    continue
                row = await self._ledger.get(transaction.connection, path)
                if row is None or track is None or row.state is not FileState.WAITING or row.content_hash is None:
                    del self._grace[path]
                    continue
                _, growing = await self._siblings(transaction, path, track, folder)
                if growing:
                    self._grace[path] = (now + 1.0, folder)
                    continue
                del self._grace[path]
                part = Part(row, track.label, row.content_hash)
                await self._register.commit(transaction, [part], folder, outside, track.title)


SKIPPED = "it was here before Panotti, and you chose to leave such files alone; `panotti retry` transcribes it"


def _can_be_read(path: Path) -> bool:
    """Asked for the sake of a drive that hangs: here it is waited for, while the engine's process would be taken to
    hang on a damaged file."""
    try:
        with open(path, "rb", buffering=0, opener=_at_once) as file:
            return len(file.read(1)) == 1
    except OSError:
        return False


def _at_once(path: str, flags: int) -> int:
    """Not waiting for a writer, where a pipe has come into the file's place."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _plainly(turn: _Turn) -> tuple[FileState, str] | None:
    """What can be said without opening the file."""
    if reason := not_media_by_name(turn.path):
        return FileState.IGNORED, reason
    if turn.settled.unreadable:
        return FileState.WAITING, f"it cannot be opened: {turn.settled.unreadable}; it is tried at every scan"
    if turn.settled.look.size == 0:
        return FileState.IGNORED, "it is empty"
    return None


def _unread(error: OSError) -> str:
    return f"it cannot be read: {error.strerror or error}; it is tried at every scan"


def _from_probe(probe: Probe) -> tuple[FileState, str] | None:
    match probe.kind:
        case ProbeKind.MEDIA | ProbeKind.VANISHED:
            return None
        case ProbeKind.EMPTY | ProbeKind.NOT_MEDIA | ProbeKind.NO_AUDIO:
            return FileState.IGNORED, probe.message
        case ProbeKind.UNREADABLE:
            return FileState.WAITING, f"it cannot be opened: {probe.message}; it is tried at every scan"
