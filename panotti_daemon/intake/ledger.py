"""The ledger: for every path that Panotti has ever seen, its state and why.

What the user reads in `panotti explain` stands here. Its rows follow the events in the same transactions that store
these, so that a file can never say `transcribing` while nothing is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from aiosqlite import Connection
from pydantic import BaseModel, ConfigDict

from panotti_daemon.clock import Clock, local
from panotti_daemon.core.events.models import DISCARDED, Delivery, DeliveryState, Event
from panotti_daemon.core.events.types import TranscriptionCompleted
from panotti_daemon.intake.settle import Look, Settled
from panotti_daemon.models.database import Transaction, queries, stamp
from panotti_daemon.models.recording.models import FileState, FinishedFile
from panotti_daemon.models.transcript import store as transcripts
from panotti_daemon.models.transcript.models import TranscriptStatus

FORGOTTEN = "you had Panotti forget it; `panotti now` transcribes it again"


class LedgerRow(BaseModel):
    model_config = ConfigDict(frozen=True)

    path: Path
    folder: Path
    state: FileState
    reason: str
    size: int | None
    mtime_ns: int | None
    inode: int | None
    content_hash: str | None
    duration: float | None
    incomplete: bool
    recording_id: str | None
    transcript_id: str | None
    duplicate_of: str | None
    backlog: bool
    urgent: bool
    present: bool
    first_seen: datetime
    updated_at: datetime

    @property
    def look(self) -> Look | None:
        if self.size is None or self.mtime_ns is None or self.inode is None:
            return None
        return Look(self.size, self.mtime_ns, self.inode)

    def is_same_file_as(self, look: Look) -> bool:
        """Whether nothing was written since. Network drives make inode numbers up: size and time decide there."""
        return self.size == look.size and self.mtime_ns == look.mtime_ns


@dataclass(frozen=True)
class Seen:
    """A file that appeared or changed."""

    path: Path
    folder: Path
    look: Look
    backlog: bool = False


@dataclass(frozen=True)
class Finished:
    """A transcript that has just been made, and what its files are to say of it."""

    recording_id: str
    transcript_id: str
    state: FileState
    reason: str


class Ledger:
    """Reads and writes rows inside the caller's transaction, and follows the events as a projection of the bus."""

    def __init__(self, clock: Clock, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called after every commit that touched it."""
        self._clock = clock
        self._changed = changed
        self.transcribers: frozenset[str] = frozenset()
        """The plugins whose deliveries are the state of a recording; known once the manifests are read."""

    async def get(self, connection: Connection, path: Path) -> LedgerRow | None:
        row = await queries().ledger_entry(connection, path=str(path))
        return LedgerRow.model_validate(dict(row)) if row else None

    async def of_paths(self, connection: Connection, paths: Iterable[Path]) -> dict[Path, LedgerRow]:
        wanted = json.dumps([str(path) for path in paths])
        return {row.path: row for row in await self.select(connection, "ledger_entries", paths=wanted)}

    async def of_folder(self, connection: Connection, folder: Path) -> dict[Path, LedgerRow]:
        rows = [row async for row in queries().ledger_of_folder(connection, folder=str(folder))]
        return {Path(row["path"]): LedgerRow.model_validate(dict(row)) for row in rows}

    async def select(self, connection: Connection, query: str, **parameters: Any) -> list[LedgerRow]:
        """The rows of one of the named queries on the ledger."""
        rows = getattr(queries(), query)(connection, **parameters)
        return [LedgerRow.model_validate(dict(row)) async for row in rows]

    async def see(self, transaction: Transaction, files: Iterable[Seen]) -> None:
        rows = [
            {
                "path": str(file.path),
                "folder": str(file.folder),
                "reason": "it is new; is it whole?",
                "size": file.look.size,
                "mtime_ns": file.look.mtime_ns,
                "inode": file.look.inode,
                "backlog": int(file.backlog),
                "now": stamp(self._clock.now()),
            }
            for file in files
        ]
        if rows:
            transaction.after_commit(self._changed)
            await queries().see_files(transaction.connection, rows)

    async def set(self, transaction: Transaction, path: Path, state: FileState, reason: str) -> None:
        transaction.after_commit(self._changed)
        await queries().set_file(
            transaction.connection, path=str(path), state=state, reason=reason, now=stamp(self._clock.now())
        )

    async def settled(
        self,
        transaction: Transaction,
        files: Iterable[Settled],
        *,
        content_hash: str | None = None,
        duration: float | None = None,
    ) -> None:
        now = stamp(self._clock.now())
        rows = [
            {
                "path": str(file.path),
                "size": file.look.size,
                "mtime_ns": file.look.mtime_ns,
                "inode": file.look.inode,
                "content_hash": content_hash,
                "duration": duration,
                "incomplete": int(file.incomplete),
                "now": now,
            }
            for file in files
        ]
        await queries().set_settled(transaction.connection, rows)

    async def identified(
        self,
        transaction: Transaction,
        path: Path,
        state: FileState,
        reason: str,
        *,
        recording_id: str,
        transcript_id: str,
        duplicate_of: Path | None = None,
    ) -> None:
        transaction.after_commit(self._changed)
        await queries().set_identified(
            transaction.connection,
            path=str(path),
            state=state,
            reason=reason,
            recording_id=recording_id,
            transcript_id=transcript_id,
            duplicate_of=str(duplicate_of) if duplicate_of else None,
            now=stamp(self._clock.now()),
        )

    async def set_presence(self, transaction: Transaction, paths: Sequence[Path], *, present: bool) -> None:
        now = stamp(self._clock.now())
        rows = [{"path": str(path), "present": int(present), "now": now} for path in paths]
        if rows:
            transaction.after_commit(self._changed)
            await queries().set_presence(transaction.connection, rows)

    async def forget(self, transaction: Transaction, paths: Collection[Path]) -> None:
        if paths:
            transaction.after_commit(self._changed)
            await queries().forget_files(transaction.connection, [{"path": str(path)} for path in paths])

    async def set_forgotten(self, transaction: Transaction, paths: Iterable[Path]) -> None:
        """Nothing but their names, sizes and times is left: that tells that they are not new."""
        rows = [{"path": str(path), "reason": FORGOTTEN, "now": stamp(self._clock.now())} for path in paths]
        if rows:
            transaction.after_commit(self._changed)
            await queries().forget_content_of_files(transaction.connection, rows)

    async def reopen(self, transaction: Transaction, rows: Iterable[LedgerRow], reason: str) -> None:
        """The recording of these files has to be made out anew."""
        now = stamp(self._clock.now())
        values = [{"path": str(row.path), "reason": reason, "now": now} for row in rows]
        if values:
            transaction.after_commit(self._changed)
            await queries().reopen_files(transaction.connection, values)

    async def archive(
        self, transaction: Transaction, path: Path, folder: Path, size: int, mtime_ns: int, original: FinishedFile
    ) -> None:
        """What is about to appear at this path is no candidate."""
        transaction.after_commit(self._changed)
        await queries().archive_file(
            transaction.connection,
            path=str(path),
            folder=str(folder),
            reason=f"it was {original.path}; {original.reason}",
            size=size,
            mtime_ns=mtime_ns,
            recording_id=original.recording_id,
            now=stamp(self._clock.now()),
        )

    async def note(self, transaction: Transaction, file: FinishedFile, reason: str, *, present: bool) -> None:
        """Says more of a file that was taken away or brought back; its state stays what it is."""
        transaction.after_commit(self._changed)
        await queries().note_file(
            transaction.connection,
            path=str(file.path),
            content_hash=file.content_hash,
            reason=reason,
            present=int(present),
            now=stamp(self._clock.now()),
        )

    async def cancel(self, transaction: Transaction, recording_id: str, reason: str) -> None:
        transaction.after_commit(self._changed)
        await queries().cancel_files(
            transaction.connection, recording_id=recording_id, reason=reason, now=stamp(self._clock.now())
        )

    async def set_urgent(self, transaction: Transaction, path: Path) -> None:
        await queries().set_urgent(transaction.connection, path=str(path))

    async def follow(self, transaction: Transaction, transcript_id: str, state: FileState, reason: str) -> None:
        """Sets all files whose content this transcript is of, but not their copies."""
        transaction.after_commit(self._changed)
        await queries().follow_transcript(
            transaction.connection,
            transcript_id=transcript_id,
            state=state,
            reason=reason,
            now=stamp(self._clock.now()),
        )

    async def event_stored(self, transaction: Transaction, event: Event) -> None:
        if done := self.finished_by(event):
            await self.follow(transaction, done.transcript_id, done.state, done.reason)

    def finished_by(self, event: Event) -> Finished | None:
        """The transcript that an event says to be made just now; None for all other events."""
        if event.source_plugin not in self.transcribers or not event.name.endswith(".completed"):
            return None
        done = event.read(TranscriptionCompleted)
        transcript_id = done.context.metadata.get("transcript_id")
        if not transcript_id or done.transcription.status == "restored":
            return None
        if done.transcription.status == "no_speech":
            return Finished(done.recording.id, transcript_id, FileState.NO_SPEECH, "no speech was found in it")
        reason = f"its transcript is {done.transcription.output_file}"
        return Finished(done.recording.id, transcript_id, FileState.DONE, reason)

    async def delivery_changed(self, transaction: Transaction, delivery: Delivery, event: Event) -> None:
        if delivery.subscriber not in self.transcribers or event.name != "recording.ready":
            return
        if told := _as_file_state(delivery):
            for transcript_id in await self._transcripts_meant(transaction, event):
                await self.follow(transaction, transcript_id, *told)

    async def _transcripts_meant(self, transaction: Transaction, event: Event) -> list[str]:
        """Where the stored event is damaged, all of its recording that are not made yet."""
        if transcript_id := event.data.get("transcript_id"):
            return [transcript_id]
        found = await transcripts.of_recording(transaction.connection, event.correlation_id)
        return [transcript.id for transcript in found if transcript.status is TranscriptStatus.PENDING]


def _as_file_state(delivery: Delivery) -> tuple[FileState, str] | None:
    match delivery.state:
        case DeliveryState.RUNNING:
            attempt = f"attempt {delivery.attempts}" if delivery.attempts > 1 else "it is being transcribed"
            return FileState.TRANSCRIBING, attempt
        case DeliveryState.QUEUED:
            return FileState.READY, "its turn will come"
        case DeliveryState.WAITING:
            again = f"; tried again at {_local_time(delivery.available_at)}" if delivery.available_at else ""
            return FileState.WAITING, f"{delivery.error}{again}"
        case DeliveryState.DEAD:
            return FileState.FAILED, delivery.error or "unknown"
        case DeliveryState.DONE:
            return (FileState.CANCELLED, "you gave it up after it had failed") if delivery.error == DISCARDED else None


def _local_time(moment: datetime) -> str:
    return local(moment + timedelta(seconds=0.5)).strftime("%H:%M:%S")
