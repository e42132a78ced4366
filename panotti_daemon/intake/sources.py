"""Recordings as plugins reach them, with their files checked against the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from panotti_daemon.errors import SourceUnavailable
from panotti_daemon.intake.ledger import Ledger
from panotti_daemon.intake.observe import look
from panotti_daemon.models.database import Database
from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.recording.models import FileState, Recording
from panotti_daemon.models.transcript import store as transcripts
from panotti_daemon.models.transcript.models import TranscriptStatus

Recheck = Callable[[Path], Awaitable[None]]


class Sources:
    def __init__(self, database: Database, ledger: Ledger, recheck: Recheck) -> None:
        """`recheck` has the intake look at a path again."""
        self._database = database
        self._ledger = ledger
        self._recheck = recheck
        self._rechecks: set[asyncio.Future[None]] = set()

    async def get(self, recording_id: str) -> Recording:
        async with self._database.reading() as connection:
            return await recordings.get(connection, recording_id)

    async def is_unchanged(self, recording: Recording) -> bool:
        for track in recording.tracks:
            now = await asyncio.to_thread(look, track.path)
            if now is None:
                if not await asyncio.to_thread(recording.folder.is_dir):
                    raise SourceUnavailable(f"{recording.folder} is not there; is its drive connected?")
                await self._is_gone(recording, track.path)
                return False
            if (now.size, now.mtime_ns) != (track.size, track.mtime_ns):
                # not awaited: it withdraws the very delivery that asks
                task = asyncio.ensure_future(self._recheck(track.path))
                self._rechecks.add(task)
                task.add_done_callback(self._rechecks.discard)
                return False
        return True

    async def _is_gone(self, recording: Recording, path: Path) -> None:
        reason = f"{path.name} was moved or deleted before it could be transcribed"
        async with self._database.transaction() as transaction:
            await self._ledger.set_presence(transaction, [path], present=False)
            for transcript in await transcripts.of_recording(transaction.connection, recording.id):
                if transcript.status is TranscriptStatus.PENDING:
                    await self._ledger.follow(transaction, transcript.id, FileState.CANCELLED, reason)
