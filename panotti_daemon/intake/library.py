"""The finished recordings, for who keeps order among them: what there is, whether it may go, and where it went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from panotti_daemon.choices import FileState, Format
from panotti_daemon.intake.ledger import Ledger
from panotti_daemon.intake.observe import hash_open
from panotti_daemon.intake.writers import held_open
from panotti_daemon.models.database import Database, queries
from panotti_daemon.models.recording.models import FinishedFile
from panotti_daemon.models.transcript import proof
from panotti_daemon.models.transcript import store as transcripts
from panotti_daemon.models.transcript.models import TranscriptStatus
from panotti_daemon.models.transcript.proof import Written
from panotti_daemon.settings import WatchFolder
from panotti_daemon.spelling import is_within


class Library:
    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        *,
        roots: Iterable[Path],
        folder_of: Callable[[Path], WatchFolder | None],
        stopped: Callable[[], bool],
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._folder_of = folder_of
        self._stopped = stopped
        self.roots = tuple(roots)
        self.lock = asyncio.Lock()

    async def finished(self) -> Sequence[FinishedFile]:
        async with self._database.reading() as connection:
            rows = [dict(row) async for row in queries().finished_files(connection)]
        return [FinishedFile.model_validate(row) for row in rows]

    async def bytes_below(self, folder: Path) -> int:
        async with self._database.reading() as connection:
            rows = [row async for row in queries().sizes_of_files(connection)]
        return await asyncio.to_thread(lambda: sum(row["size"] for row in rows if is_within(Path(row["path"]), folder)))

    async def doubt(self, file: FinishedFile) -> str | None:
        async with self._database.reading() as connection:
            family = await transcripts.of_recording(connection, file.recording_id)
            for other in family:
                if other.status is TranscriptStatus.PENDING or await transcripts.is_under_way(connection, other):
                    return "a transcript of it is still to be made"
            transcript = next((t for t in family if t.id == file.transcript_id), None)
            rows = [row async for row in queries().outputs_of_transcript(connection, transcript_id=file.transcript_id)]
        if transcript is None:
            return "it is not transcribed any more"
        outputs = [Written(Path(row["path"]), Format(row["format"]), row["digest"]) for row in rows]
        return await asyncio.to_thread(proof.doubt, transcript, outputs)

    def content_hash(self, file: BinaryIO) -> str:
        return hash_open(file, self._stopped)

    def is_being_written(self, path: Path) -> bool:
        return held_open(path) is True

    async def archive(self, path: Path, size: int, mtime_ns: int, original: FinishedFile) -> None:
        folder = self._folder_of(path)
        async with self._database.transaction() as transaction:
            await self._ledger.archive(
                transaction, path, folder.path if folder else path.parent, size, mtime_ns, original
            )

    async def unarchive(self, path: Path) -> None:
        async with self._database.transaction() as transaction:
            row = await self._ledger.get(transaction.connection, path)
            if row and row.state is FileState.ARCHIVED:
                await self._ledger.forget(transaction, [path])

    async def note(self, file: FinishedFile, reason: str, *, present: bool) -> None:
        async with self._database.transaction() as transaction:
            await self._ledger.note(transaction, file, reason, present=present)
