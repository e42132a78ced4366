"""Forgets a recording: what Panotti itself knows and wrote of it goes; its files stay where they are.

The transcripts on disk go first, then the rest in one transaction, so that after a crash in between the same request
finishes it. Then the database is written afresh, for what SQLite deletes it merely covers up.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from aiosqlite import Connection

from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.models import Event
from panotti_daemon.core.events.types import RecordingForgotten
from panotti_daemon.errors import DatabaseError, PermanentError
from panotti_daemon.intake.arrivals import Arrivals
from panotti_daemon.intake.identify import Identify
from panotti_daemon.intake.ledger import Ledger, LedgerRow
from panotti_daemon.models.database import Database, Transaction, queries
from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.recording.models import FileState, Recording
from panotti_daemon.models.transcript.writer import Condition, OutputWriter, WrittenFile

log = structlog.get_logger(__name__)

PLUGINS_SECONDS = 5.0
"""How long plugins may take to forget before the database is written afresh."""
LOOK_SECONDS = 0.05
IN_THE_LOG = "the log may name its files until it is rotated; what was said never stands in it"


@dataclass(frozen=True)
class Wish:
    """What a person wants forgotten."""

    outputs: bool = False
    """The transcripts on disk, too, those that were edited excepted."""
    revisions: bool = False
    """What stood in the same files before or after, too."""
    dry_run: bool = False
    """Only say what would go."""


@dataclass(frozen=True)
class Forgotten:
    """What goes, or went, and what stays."""

    recordings: tuple[Recording, ...] = ()
    transcripts: int = 0
    segments: int = 0
    events: int = 0
    deleted_outputs: tuple[Path, ...] = ()
    kept_outputs: tuple[WrittenFile, ...] = ()
    files: tuple[Path, ...] = ()
    """The recording's own: they stay, and nothing is known of them."""
    other_revisions: tuple[Recording, ...] = ()
    """They stay known."""
    remains: tuple[str, ...] = ()
    """Where something of it may still stand, in words for the user."""

    @property
    def ids(self) -> list[str]:
        return [recording.id for recording in self.recordings]


@dataclass(frozen=True)
class _Target:
    """A recording by its id, or whatever a file is of at the moment."""

    recording_id: str | None = None
    path: Path | None = None


class Forget:
    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        bus: EventBus,
        outputs: OutputWriter,
        arrivals: Arrivals,
        identify: Identify,
        *,
        plugins_seconds: float = PLUGINS_SECONDS,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._bus = bus
        self._outputs = outputs
        self._arrivals = arrivals
        self._identify = identify
        self._plugins_seconds = plugins_seconds

    async def recording(self, recording_id: str, wish: Wish) -> Forgotten:
        """Raises PermanentError for one that is not known."""
        async with self._database.reading() as connection:
            if await queries().recording_by_id(connection, id=recording_id) is None:
                raise PermanentError(f"Panotti knows no recording {recording_id}.", title="There is nothing to forget")
        return await self._forget(_Target(recording_id=recording_id), wish)

    async def file(self, path: Path, wish: Wish) -> Forgotten:
        """The recording of a file, or of one of its transcripts. Raises PermanentError for a file that is not known."""
        async with self._database.reading() as connection:
            row = await self._ledger.get(connection, path)
            recording_id = await queries().recording_of_output(connection, path=str(path))
        if recording_id:
            return await self._forget(_Target(recording_id=recording_id), wish)
        if row and row.state is not FileState.FORGOTTEN:
            return await self._forget(_Target(path=path), wish)
        raise PermanentError(f"Panotti knows nothing of {path}.", title="There is nothing to forget")

    async def _forget(self, target: _Target, wish: Wish) -> Forgotten:
        async with self._database.reading() as connection:
            found = await self._look(connection, target, wish)
        found = replace(found, kept_outputs=await self._outputs.written(found.ids))
        if not wish.dry_run:
            found = await self._carry_out(found, target, wish)
        elif wish.outputs:
            found = _sorted_out(found)
        return replace(found, remains=(*found.remains, IN_THE_LOG, *self._set_aside()))

    async def _carry_out(self, found: Forgotten, target: _Target, wish: Wish) -> Forgotten:
        deleted: list[Path] = []
        while True:
            for recording_id in found.ids:
                await self._bus.withdraw(recording_id)
            if wish.outputs:
                deleted += await self._outputs.delete_unedited(found.ids)
            kept = await self._outputs.written(found.ids)
            reachable = await self._folders_that_are_there(found)
            async with self._database.transaction() as transaction:
                now = await self._look(transaction.connection, target, wish)
                is_over = now.ids == found.ids and not await self._is_under_way(transaction.connection, now)
                if is_over:
                    await self._erase(transaction, now, target.path, reachable)
            found = now
            if is_over:
                break
        log.info("forgotten", recordings=found.ids, segments=found.segments, outputs=len(deleted))
        late = [f"what {plugin} keeps; it has not forgotten yet" for plugin in await self._late_plugins(found)]
        return replace(found, deleted_outputs=tuple(deleted), kept_outputs=kept, remains=(*late, *await self._wipe()))

    async def _look(self, connection: Connection, target: _Target, wish: Wish) -> Forgotten:
        recording_id = target.recording_id
        if target.path:
            row = await self._ledger.get(connection, target.path)
            recording_id = row.recording_id if row else None
        if recording_id is None:
            return Forgotten(files=(target.path,) if target.path else ())
        rows = queries().family_of_recording(connection, recording_id=recording_id)
        family = [await recordings.get(connection, row["id"]) async for row in rows]
        chosen = tuple(each for each in family if wish.revisions or each.id == recording_id)
        ids = json.dumps([each.id for each in chosen])
        counts = await queries().what_is_known(connection, ids=ids)
        files = await self._ledger.select(connection, "files_of_recordings", ids=ids)
        return Forgotten(
            recordings=chosen,
            files=tuple(row.path for row in files if row.present),
            other_revisions=tuple(each for each in family if each not in chosen),
            **dict(counts),
        )

    async def _is_under_way(self, connection: Connection, found: Forgotten) -> bool:
        """Whether somebody asked for it meanwhile."""
        return bool(await queries().work_under_way(connection, ids=json.dumps(found.ids)))

    async def _folders_that_are_there(self, found: Forgotten) -> set[Path]:
        async with self._database.reading() as connection:
            rows = await self._ledger.select(connection, "files_of_recordings", ids=json.dumps(found.ids))
        return await asyncio.to_thread(lambda: {folder for folder in {row.folder for row in rows} if folder.is_dir()})

    async def _erase(
        self, transaction: Transaction, found: Forgotten, named: Path | None, reachable: set[Path]
    ) -> None:
        connection = transaction.connection
        ids = json.dumps(found.ids)
        rows = await self._ledger.select(connection, "files_of_recordings", ids=ids)
        gone = {row.path for row in rows if not row.present and row.folder in reachable}
        await self._ledger.forget(transaction, gone)
        await queries().part_files_from_recordings(connection, ids=ids)
        stay = {row.path for row in rows if not _has_changed(row)} | ({named} if named else set())
        for path in stay:
            self._arrivals.leave(path)
            self._identify.leave(path)
        await self._ledger.set_forgotten(transaction, stay - gone)
        for recording_id in found.ids:
            await queries().delete_events(connection, correlation_id=recording_id)
            await queries().bridge_revisions(connection, recording_id=recording_id)
            await queries().delete_recording(connection, recording_id=recording_id)
            payload = RecordingForgotten(recording_id=recording_id)
            event = Event.create("recording.forgotten", payload, correlation_id=recording_id)
            await self._bus.publish(event, transaction=transaction)

    async def _late_plugins(self, found: Forgotten) -> list[str]:
        """Waits a moment for the plugins: what they delete is to be wiped out, too. Returns who has not done so."""
        ids = json.dumps(found.ids)
        late: list[str] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(self._plugins_seconds):
                while True:
                    async with self._database.reading() as connection:
                        rows = queries().who_is_to_forget(connection, ids=ids)
                        late = [row["subscriber"] async for row in rows]
                    if not late:
                        break
                    await asyncio.sleep(LOOK_SECONDS)
        return late

    async def _wipe(self) -> tuple[str, ...]:
        try:
            await self._database.scrub()
        except DatabaseError as error:
            log.error("cannot be wiped out", reason=error.message)
            return (f"unused parts of the database, until the next time that something is forgotten: {error.message}",)
        return ()

    def _set_aside(self) -> Iterable[str]:
        return (f"{path}, a damaged database that was put aside" for path in self._database.set_aside())


def _has_changed(row: LedgerRow) -> bool:
    """What it holds now is not what shall be forgotten."""
    return row.state is FileState.GROWING and row.content_hash is None


def _sorted_out(found: Forgotten) -> Forgotten:
    """As the outputs will be once those that are unedited are deleted."""
    goes = {output for output in found.kept_outputs if output.condition is Condition.UNEDITED}
    kept = tuple(output for output in found.kept_outputs if output not in goes)
    return replace(found, deleted_outputs=tuple(sorted(output.path for output in goes)), kept_outputs=kept)
