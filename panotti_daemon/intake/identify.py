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
from panotti_daemon.engine.messages import Probe, ProbeKind
from panotti_daemon.errors import PanottiError
from panotti_daemon.intake import tracks
from panotti_daemon.intake.candidates import not_media_by_name
from panotti_daemon.intake.ledger import Ledger, LedgerRow
from panotti_daemon.intake.observe import hash_file, look
from panotti_daemon.intake.register import Part, Register, asked_by
from panotti_daemon.intake.settle import Settled
from panotti_daemon.loops import keep_going
from panotti_daemon.models.database import Database, Transaction, queries
from panotti_daemon.models.recording.models import FileState
from panotti_daemon.models.recording.names import stem
from panotti_daemon.models.transcript.models import RequestedSettings
from panotti_daemon.settings import WatchFolder

log = structlog.get_logger(__name__)

BATCH_FILES = 32
BATCH_BYTES = 256_000_000


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
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def __contains__(self, path: Path) -> bool:
        return path in self._turns or path in self._grace

    def start(self, follower: Follower) -> None:
        self._follower = follower
        self._task = asyncio.create_task(keep_going("identify", self._work), name="identify")

    async def stop(self) -> None:
        self._stopped = True
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def add(self, settled: Settled, folder: WatchFolder, row: LedgerRow) -> None:
        urgency = 0 if row.urgent else 2 if row.backlog else 1
        age = -settled.look.mtime_ns if row.backlog else next(self._order)
        self._turns[settled.path] = _Turn(urgency, age, settled.path, settled, folder, row)
        self._wake.set()

    def hurry(self, path: Path) -> None:
        """A person wants this file now."""
        if turn := self._turns.get(path):
            turn.urgency = 0
            turn.row = turn.row.model_copy(update={"urgent": True})
        if waiting := self._grace.get(path):
            self._grace[path] = (self._clock.monotonic(), waiting[1])
        self._wake.set()

    def leave(self, path: Path) -> None:
        """Its turn does not come: call it in the transaction that says so."""
        self._turns.pop(path, None)
        self._grace.pop(path, None)

    async def supersede(self, row: LedgerRow) -> None:
        """The file of this row changed after its content was known."""
        for other in await self._register.supersede(row):
            self._follower.follow(other.path)

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            await self._end_grace()
            while self._turns:
                await self._identify_or_give_up(self._next_batch())
            with suppress(TimeoutError):
                next_end = min((end for end, _ in self._grace.values()), default=None)
                seconds = None if next_end is None else max(0.02, next_end - self._clock.monotonic())
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

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

    def _next_batch(self) -> list[_Turn]:
        batch: list[_Turn] = []
        size = 0
        for turn in heapq.nsmallest(BATCH_FILES, self._turns.values()):
            size += turn.settled.look.size
            if batch and size > BATCH_BYTES:
                break
            batch.append(turn)
        return batch

    async def _identify(self, batch: list[_Turn]) -> None:
        opened = [turn for turn in batch if _plainly(turn) is None]
        probes = await self._prober.probe([turn.path for turn in opened]) if opened else []
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
        hashes = await asyncio.to_thread(self._hash, [turn.path for turn, _ in media])
        looks = await asyncio.to_thread(lambda: [look(turn.path) for turn, _ in media])
        asked = await asked_by([turn.folder for turn, _ in media])
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
                    wish = asked[turn.folder.path]
                    superseded += await self._is_recording(transaction, turn, probe, content_hash, wish)
        for row in superseded:
            await self.supersede(row)

    async def _is_recording(
        self, transaction: Transaction, turn: _Turn, probe: Probe, content_hash: str, asked: RequestedSettings
    ) -> list[LedgerRow]:
        """Returns the rows whose earlier recording this one supersedes."""
        track = tracks.match(turn.path.name, turn.folder.tracks)
        await self._ledger.settled(transaction, [turn.settled], content_hash=content_hash, duration=probe.duration)
        row = await self._ledger.get(transaction.connection, turn.path)
        if row is None:
            return []
        part = Part(row, track.label if track else None, content_hash)
        if track is None or len(turn.folder.tracks) < 2:
            return await self._register.commit(transaction, [part], turn.folder, asked, stem(turn.path.name))
        return await self._commit_track(transaction, turn, track, part, asked)

    async def _commit_track(
        self, transaction: Transaction, turn: _Turn, track: tracks.TrackName, part: Part, asked: RequestedSettings
    ) -> list[LedgerRow]:
        siblings, growing = await self._siblings(transaction, turn.path, track, turn.folder)
        if siblings:
            for sibling in siblings:
                self._grace.pop(sibling.row.path, None)
            parts = sorted([part, *siblings], key=lambda p: list(turn.folder.tracks).index(p.label or ""))
            return await self._register.commit(transaction, parts, turn.folder, asked, track.title)
        if turn.row.urgent and not growing:
            return await self._register.commit(transaction, [part], turn.folder, asked, track.title)
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

    async def _end_grace(self) -> None:
        """Tracks whose sibling did not come are recordings of their own."""
        now = self._clock.monotonic()
        for path, folder in [(path, folder) for path, (end, folder) in self._grace.items() if end <= now]:
            track = tracks.match(path.name, folder.tracks)
            asked = await asked_by([folder])
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
                await self._register.commit(transaction, [part], folder, asked[folder.path], track.title)


SKIPPED = "it was here before Panotti, and you chose to leave such files alone; `panotti retry` transcribes it"


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
