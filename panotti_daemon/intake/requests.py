"""What a person can ask of the intake: why is this file not transcribed, do it now, again, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from panotti_daemon.clock import Clock
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.types import EventPriority
from panotti_daemon.errors import PanottiError
from panotti_daemon.intake.arrivals import Arrivals
from panotti_daemon.intake.candidates import not_media_by_name, why_not
from panotti_daemon.intake.identify import SKIPPED, Identify
from panotti_daemon.intake.ledger import Ledger, LedgerRow
from panotti_daemon.intake.observe import oddity
from panotti_daemon.intake.register import Register
from panotti_daemon.intake.watcher import Watcher, is_unicode
from panotti_daemon.models.database import Database, Transaction, queries
from panotti_daemon.models.recording.models import FileState

ALREADY_DONE = (FileState.DONE, FileState.NO_SPEECH, FileState.DUPLICATE)


@dataclass(frozen=True)
class Backlog:
    folder: Path
    files: int
    audio_seconds: float


class Requests:
    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        bus: EventBus,
        watcher: Watcher,
        arrivals: Arrivals,
        identify: Identify,
        register: Register,
        clock: Clock,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._bus = bus
        self._watcher = watcher
        self._arrivals = arrivals
        self._identify = identify
        self._register = register
        self._clock = clock

    async def explain(self, path: Path) -> LedgerRow:
        """The ledger's row, or for a path without one what it would say."""
        async with self._database.reading() as connection:
            row = await self._ledger.get(connection, path) if is_unicode(path) else None
            output = await queries().output_by_path(connection, path=str(path)) if is_unicode(path) else None
        if row:
            return self.as_of_now(row)
        if output:
            return self._unlisted(path, f"it is the transcript of {output['title']}, written by Panotti")
        return self._unlisted(path, await asyncio.to_thread(self._why_unlisted, path))

    def as_of_now(self, row: LedgerRow) -> LedgerRow:
        """With the reason of this moment for what is still arriving: the ledger does not hear of every look."""
        growing = self._arrivals.reason(row.path) if row.state is FileState.GROWING else None
        return row.model_copy(update={"reason": growing}) if growing else row

    async def now(self, path: Path) -> int:
        """Transcribes this file next, wherever it stands. Returns how many things that changed; raises PanottiError
        where it cannot."""
        row = await self._known(path)
        if row.state in ALREADY_DONE:
            return 0
        async with self._database.transaction() as transaction:
            await self._ledger.set_urgent(transaction, path)
            if row.state is FileState.FORGOTTEN:
                await self._ledger.set(transaction, path, FileState.GROWING, "it is looked at again")
        if row.recording_id and row.transcript_id:
            return await self.recording_now(row.recording_id)
        self._identify.hurry(path)
        if path not in self._identify:
            self._arrivals.follow(path)
        return 1

    async def recording_now(self, recording_id: str) -> int:
        count = await self._bus.hurry(recording_id)
        return max(count, await self.retry_recording(recording_id, EventPriority.NOW))

    async def retry_file(self, path: Path) -> int:
        row = await self._known(path)
        if row.recording_id and row.transcript_id:
            return await self.retry_recording(row.recording_id)
        async with self._database.transaction() as transaction:
            await self._ledger.set_urgent(transaction, path)
            await self._ledger.set(transaction, path, FileState.GROWING, "it is looked at again")
        self._arrivals.follow(path)
        return 1

    async def retry_recording(self, recording_id: str, priority: EventPriority = EventPriority.HIGH) -> int:
        """Tries again what failed, waits for its retry, or was cancelled."""
        count = await self._bus.retry_dead(recording_id, priority) + await self._bus.wake_waiting(recording_id)
        if count:
            return count
        async with self._database.transaction() as transaction:
            return await self._register.republish(transaction, recording_id, priority)

    async def retry_failed(self) -> int:
        """Also what waits for something outside: whoever asks may have just brought it back."""
        async with self._database.reading() as connection:
            rows = await self._ledger.select(connection, "files_to_retry")
        known = {row.recording_id for row in rows if row.recording_id}
        counts = [await self.retry_recording(recording_id) for recording_id in known]
        counts += [await self.retry_file(row.path) for row in rows if not row.recording_id]
        return sum(counts)

    async def cancel(self, recording_id: str) -> int:
        """Ends what is under way for a recording; `retry` takes it up again."""
        count = await self._bus.withdraw(recording_id)
        async with self._database.transaction() as transaction:
            await self._ledger.cancel(transaction, recording_id, "you cancelled it")
        return count

    async def backlog(self) -> list[Backlog]:
        """What waits for a yes."""
        async with self._database.reading() as connection:
            return [
                Backlog(Path(row["folder"]), row["files"], row["audio_seconds"])
                async for row in queries().backlog_summary(connection)
            ]

    async def decide_backlog(self, folder: Path | None, *, accept: bool) -> int:
        """Answers for one folder, or for all that ask."""
        count = 0
        for asked in await self.backlog():
            if folder is None or asked.folder == folder:
                count += await self._decide(asked.folder, accept=accept)
        return count

    async def _decide(self, folder: Path, *, accept: bool) -> int:
        async with self._database.transaction() as transaction:
            await queries().set_backlog(
                transaction.connection, path=str(folder), backlog="accepted" if accept else "skipped"
            )
            rows = await self._ledger.select(transaction.connection, "backlog_files", folder=str(folder))
            for row in rows:
                await self._answer(transaction, row, accept=accept)
        if accept:
            for row in rows:
                self._arrivals.follow(row.path)
        return len(rows)

    async def _answer(self, transaction: Transaction, row: LedgerRow, *, accept: bool) -> None:
        if accept:
            await self._ledger.set(transaction, row.path, FileState.GROWING, "its turn will come")
        else:
            await self._ledger.set(transaction, row.path, FileState.IGNORED, SKIPPED)

    async def _known(self, path: Path) -> LedgerRow:
        async with self._database.reading() as connection:
            row = await self._ledger.get(connection, path)
        if row:
            return row
        await self._arrivals.hinted(self._watcher.settings_for(path), {path})
        async with self._database.reading() as connection:
            row = await self._ledger.get(connection, path)
        if row:
            return row
        raise PanottiError((await self.explain(path)).reason)

    def _why_unlisted(self, path: Path) -> str:
        folder = self._watcher.folder_of(path)
        checks: tuple[Callable[[], str | None], ...] = (
            lambda: None if is_unicode(path) else "its name is not valid Unicode: rename it",
            lambda: oddity(path),
            lambda: None if path.exists() else "there is no such file, and Panotti has never seen one",
            lambda: why_not(path) or not_media_by_name(path),
            lambda: None if folder else "it is in no watched folder; `panotti now` transcribes it all the same",
            lambda: "its folder is left out" if folder and self._watcher.is_left_out(path, folder.path) else None,
            lambda: "sub-folders are not watched here" if folder and not folder.recursive else None,
        )
        return next((reason for check in checks if (reason := check())), "it has not been seen yet; it will be soon")

    def _unlisted(self, path: Path, reason: str) -> LedgerRow:
        folder = self._watcher.folder_of(path)
        now = self._clock.now()
        return LedgerRow(
            path=path,
            folder=folder.path if folder else path.parent,
            state=FileState.IGNORED,
            reason=reason,
            size=None,
            mtime_ns=None,
            inode=None,
            content_hash=None,
            duration=None,
            incomplete=False,
            recording_id=None,
            transcript_id=None,
            duplicate_of=None,
            backlog=False,
            urgent=False,
            present=True,
            first_seen=now,
            updated_at=now,
        )
