"""Recordings as plugins reach them, with their files checked against the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from panotti_daemon.errors import SourceUnavailable
from panotti_daemon.intake.ledger import Ledger, LedgerRow
from panotti_daemon.intake.observe import look
from panotti_daemon.models.database import Database
from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.recording.models import FileState, Recording
from panotti_daemon.settings import WatchFolder

Recheck = Callable[[Path], Awaitable[None]]


class Sources:
    def __init__(
        self, database: Database, ledger: Ledger, recheck: Recheck, settings_for: Callable[[Path], WatchFolder]
    ) -> None:
        """`recheck` has the intake look at a path again."""
        self._settings_for = settings_for
        self._database = database
        self._ledger = ledger
        self._recheck = recheck
        self._rechecks: set[asyncio.Future[None]] = set()

    async def get(self, recording_id: str, transcript_id: str | None = None) -> Recording:
        async with self._database.reading() as connection:
            recording = await recordings.get(connection, recording_id)
            if transcript_id is None:
                return recording
            rows = await self._ledger.select(connection, "sources_of_transcript", transcript_id=transcript_id)
        return _placed(recording, [row for row in rows if row.present], self._settings_for)

    async def is_whole(self, recording: Recording) -> bool:
        for track in recording.tracks:
            if await asyncio.to_thread(look, track.path) is None:
                if not await asyncio.to_thread(recording.folder.is_dir):
                    raise SourceUnavailable(f"{recording.folder} is not there; is its drive connected?")
                await self._is_gone(recording, track.path)
                return False
        return not await self.has_changed(recording)

    async def has_changed(self, recording: Recording) -> bool:
        for track in recording.tracks:
            now = await asyncio.to_thread(look, track.path)
            if now and (now.size, now.mtime_ns) != (track.size, track.mtime_ns):
                self._look_again(track.path)
                return True
        return False

    def _look_again(self, path: Path) -> None:
        # not awaited: it may withdraw the very delivery that asks
        task = asyncio.ensure_future(self._recheck(path))
        self._rechecks.add(task)
        task.add_done_callback(self._rechecks.discard)

    async def _is_gone(self, recording: Recording, path: Path) -> None:
        """A copy takes its place, and its other tracks are a recording without it."""
        reason = f"{path.name} was moved or deleted before it could be transcribed"
        tracks = {track.path for track in recording.tracks} - {path}
        async with self._database.transaction() as transaction:
            await self._ledger.set_presence(transaction, [path], present=False)
            await self._ledger.set(transaction, path, FileState.CANCELLED, reason)
            family = await self._ledger.select(transaction.connection, "files_of_recording", recording_id=recording.id)
            others = [row for row in family if row.present and (row.state is FileState.DUPLICATE or row.path in tracks)]
            await self._ledger.reopen(transaction, others, f"{path.name} is gone")
        for other in others:
            self._look_again(other.path)


def _placed(recording: Recording, files: Sequence[LedgerRow], settings_for: Callable[[Path], WatchFolder]) -> Recording:
    """The recording with its tracks where these files stand: one may have been renamed, and a copy in another folder
    may be the source of a transcript of its own."""
    by_content = {row.content_hash: row for row in files}
    tracks = []
    for track in recording.tracks:
        row = by_content.get(track.content_hash)
        if row is None or row.size is None or row.mtime_ns is None:
            return recording
        tracks.append(track.model_copy(update={"path": row.path, "size": row.size, "mtime_ns": row.mtime_ns}))
    folder = by_content[tracks[0].content_hash].folder
    return recording.found_at(tuple(tracks), folder, settings_for(tracks[0].path).tracks)
