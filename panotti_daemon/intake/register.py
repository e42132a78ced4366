"""Makes recordings of identified files: stores what is known of each, and tells it to the bus in one transaction.

Content is identity, and the database holds it unique: however often a file comes, it is decoded once for whatever its
folder asks of the engine.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import structlog

from panotti_daemon.clock import Clock
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.models import Event
from panotti_daemon.core.events.types import EventPriority, RecordingData, RecordingKnown, RecordingReady
from panotti_daemon.core.plugins.blocking import in_own_thread
from panotti_daemon.ids import new_id
from panotti_daemon.intake.ledger import Ledger, LedgerRow
from panotti_daemon.intake.observe import is_gone
from panotti_daemon.models.database import Database, Transaction, queries
from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.recording import tracks
from panotti_daemon.models.recording.models import FileState, Recording, Track
from panotti_daemon.models.transcript import store as transcripts
from panotti_daemon.models.transcript.models import RequestedSettings, TranscriptStatus
from panotti_daemon.settings import WatchFolder
from panotti_daemon.spelling import is_same_entry

log = structlog.get_logger(__name__)

T = TypeVar("T")

PATIENCE_SECONDS = 1.0
"""For a drive to answer, where others wait for it."""
UNDER_WAY = (FileState.READY, FileState.TRANSCRIBING, FileState.WAITING)


@dataclass(frozen=True)
class Part:
    """A file that is a recording, or a track of one."""

    row: LedgerRow
    label: str | None
    content_hash: str


@dataclass(frozen=True)
class Outside:
    """What is looked up on drives, which may take their time: never in a transaction, for all others wait for that."""

    asked: Mapping[Path, RequestedSettings]
    """Of the engine, by each folder."""
    gone: frozenset[Path]
    """Originals that stand there no more. What stands on a drive that does not answer is not known to be gone."""


class Register:
    def __init__(self, database: Database, ledger: Ledger, bus: EventBus, clock: Clock) -> None:
        self._database = database
        self._ledger = ledger
        self._bus = bus
        self._clock = clock

    async def supersede(self, row: LedgerRow) -> list[LedgerRow]:
        """The file of this row changed after its content was known: whatever is under way for the old content ends, and
        what is done is left to its copies. Returns the other files that counted on it; they must be looked at again."""
        if row.recording_id is None:
            return []
        async with self._database.reading() as connection:
            found = await transcripts.of_recording(connection, row.recording_id)
        is_pending = any(transcript.status is TranscriptStatus.PENDING for transcript in found)
        is_done = not is_pending and row.state not in UNDER_WAY
        if not is_done:
            await self._bus.withdraw(row.recording_id)
        async with self._database.transaction() as transaction:
            connection = transaction.connection
            family = await self._ledger.select(connection, "files_of_recording", recording_id=row.recording_id)
            if is_done:
                counting_on_it = [f for f in family if f.path == row.path or f.state is FileState.DUPLICATE]
            else:
                counting_on_it = [f for f in family if f.state is not FileState.ARCHIVED]
            await self._ledger.reopen(transaction, counting_on_it, f"{row.path.name} changed")
            await queries().delete_pending_transcripts(connection, recording_id=row.recording_id)
        return [other for other in counting_on_it if other.present and other.path != row.path]

    async def look_outside(self, folders: Iterable[WatchFolder], came: Mapping[Path, str]) -> Outside:
        """For files that came to these folders, each with its content."""
        async with self._database.reading() as connection:
            hashes = json.dumps(list(came.values()))
            rows = await self._ledger.select(connection, "sources_of_contents", hashes=hashes)
        by_folder: dict[Path, list[Path]] = defaultdict(list)
        for row in rows:
            if row.path not in came:
                by_folder[row.folder].append(row.path)
        gone = await asyncio.gather(*(_gone_of(paths, came) for paths in by_folder.values()))
        return Outside(await asked_by(folders), frozenset[Path]().union(*gone))

    async def commit(
        self,
        transaction: Transaction,
        parts: Sequence[Part],
        folder: WatchFolder,
        outside: Outside,
        title: str,
    ) -> list[LedgerRow]:
        """Stores what is known of the recording and asked by its folder, and tells it. Returns the rows whose earlier
        recording this one supersedes, for `supersede` once the transaction has ended."""
        connection = transaction.connection
        content = tracks.content_id([part.content_hash for part in parts])
        recording = self._recording(parts, folder, title, content)
        known = await recordings.by_content(connection, content)
        if known is None:
            recording = await self._as_revision(transaction, recording, parts)
            await recordings.insert(connection, recording)
        else:
            recording = recording.model_copy(
                update={
                    "id": known.id,
                    "revision": known.revision,
                    "revision_of": known.revision_of,
                    "tracks": _numbered_as(known.tracks, recording.tracks),
                }
            )
        transcript_id, is_new = await transcripts.get_or_create(
            connection, recording.id, outside.asked[folder.path], self._clock.now()
        )
        own = {part.row.path for part in parts}
        original = await self._original(transaction, recording.id, own | outside.gone)
        own_work = is_new or (original is None and await self._is_unworked(transaction, transcript_id))
        if known and original is None:
            await recordings.relocate(connection, recording)
        if own_work:
            state, reason = FileState.READY, "its turn will come"
        elif original:
            state, reason = FileState.DUPLICATE, f"the same content as {original}"
        else:
            transcript = await transcripts.get(connection, transcript_id)
            state, reason = _already(transcript.status)
        for part in parts:
            await self._ledger.identified(
                transaction,
                part.row.path,
                state,
                reason,
                recording_id=recording.id,
                transcript_id=transcript_id,
                duplicate_of=None if own_work else original,
            )
        event = self._event(parts, recording, transcript_id, folder, known=not own_work)
        await self._bus.publish(event, transaction=transaction)
        log.info("identified", path=str(parts[0].row.path), state=state.value, recording=recording.id)
        return [part.row for part in parts if part.row.transcript_id and part.row.recording_id != recording.id]

    async def republish(self, transaction: Transaction, recording_id: str, priority: EventPriority) -> int:
        """Puts a recording whose work was cancelled up for transcription again; returns how many transcripts."""
        count = 0
        connection = transaction.connection
        recording = await recordings.get(connection, recording_id)
        for transcript in await transcripts.of_recording(connection, recording_id):
            files = await self._ledger.select(connection, "sources_of_transcript", transcript_id=transcript.id)
            is_cancelled = any(row.state is FileState.CANCELLED for row in files)
            is_unfinished = is_cancelled or transcript.status is TranscriptStatus.PENDING
            if is_unfinished and not await transcripts.is_under_way(connection, transcript):
                payload = RecordingReady(
                    recording=RecordingData.of(recording),
                    transcript_id=transcript.id,
                    language=transcript.settings.language,
                    model=transcript.settings.model,
                )
                event = Event.create("recording.ready", payload, correlation_id=recording_id, priority=priority)
                await self._ledger.follow(transaction, transcript.id, FileState.READY, "its turn will come")
                await self._bus.publish(event, transaction=transaction)
                count += 1
        return count

    async def ask_anew(self, folders: Iterable[WatchFolder], folder_of: Callable[[Path], WatchFolder | None]) -> None:
        """What is not transcribed yet gets the settings that its folder has by now: they may be what it waits for. What
        stands in several folders that differ, or in one that does not answer, keeps those that it was registered
        with."""
        answers = await asyncio.gather(*(_answered(asked_by([folder]), {}) for folder in folders))
        wishes = {path: wish for answer in answers for path, wish in answer.items()}
        async with self._database.transaction() as transaction:
            rows = await self._ledger.select(transaction.connection, "files_of_pending_transcripts")
            for transcript_id, files in groupby(rows, key=lambda row: row.transcript_id or ""):
                asked = [wishes.get(folder.path) if (folder := folder_of(file.path)) else None for file in files]
                if (wish := asked[0]) and all(other == wish for other in asked):
                    await transcripts.ask_anew(transaction.connection, transcript_id, wish)

    def _recording(self, parts: Sequence[Part], folder: WatchFolder, title: str, content: str) -> Recording:
        return Recording(
            id=new_id(),
            content_id=content,
            title=title,
            tracks=tuple(
                Track(
                    path=part.row.path,
                    label=part.label if len(parts) > 1 else None,
                    content_hash=part.content_hash,
                    size=part.row.size or 0,
                    mtime_ns=part.row.mtime_ns or 0,
                )
                for part in parts
            ),
            folder=folder.path,
            duration=max((part.row.duration for part in parts if part.row.duration), default=None),
            incomplete=any(part.row.incomplete for part in parts),
            created_at=self._clock.now(),
        )

    async def _as_revision(self, transaction: Transaction, recording: Recording, parts: Sequence[Part]) -> Recording:
        """A file that had other content before, or a recording that gains a track, is a new revision."""
        for part in parts:
            if part.row.recording_id:
                earlier = await recordings.get(transaction.connection, part.row.recording_id)
                return recording.model_copy(update={"revision": earlier.revision + 1, "revision_of": earlier.id})
        return recording

    async def _original(self, transaction: Transaction, recording_id: str, none_of: set[Path]) -> Path | None:
        rows = await self._ledger.select(transaction.connection, "sources_of_recording", recording_id=recording_id)
        return next((row.path for row in rows if row.path not in none_of), None)

    async def _is_unworked(self, transaction: Transaction, transcript_id: str) -> bool:
        transcript = await transcripts.get(transaction.connection, transcript_id)
        if transcript.status is not TranscriptStatus.PENDING:
            return False
        return not await transcripts.is_under_way(transaction.connection, transcript)

    def _event(
        self, parts: Sequence[Part], recording: Recording, transcript_id: str, folder: WatchFolder, *, known: bool
    ) -> Event:
        row = parts[0].row
        priority = EventPriority.NOW if row.urgent else EventPriority.BACKLOG if row.backlog else EventPriority.NORMAL
        data = RecordingData.of(recording)
        payload: RecordingKnown | RecordingReady
        if known:
            payload = RecordingKnown(
                recording=data, transcript_id=transcript_id, path=str(row.path), folder=str(folder.path)
            )
        else:
            payload = RecordingReady(
                recording=data, transcript_id=transcript_id, language=folder.language, model=folder.model
            )
        name = "recording.known" if known else "recording.ready"
        return Event.create(name, payload, correlation_id=recording.id, priority=priority, created_at=self._clock.now())


async def _gone_of(sources: Sequence[Path], came: Iterable[Path]) -> set[Path]:
    """One that came under the same name, spelled in another way, is gone under the old one."""

    def look() -> set[Path]:
        return {path for path in sources if is_gone(path) or any(is_same_entry(path, new) for new in came)}

    return await _answered(in_own_thread(look, "look for originals"), set())


async def _answered(question: Awaitable[T], else_: T) -> T:
    """By a drive that may hang."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await question
    except TimeoutError:
        return else_


async def asked_by(folders: Iterable[WatchFolder]) -> dict[Path, RequestedSettings]:
    """What each folder, by its path, asks of the engine. Its vocabulary may stand on a slow drive."""
    return await in_own_thread(lambda: {folder.path: requested_settings(folder) for folder in folders}, "read settings")


def requested_settings(folder: WatchFolder) -> RequestedSettings:
    """What a folder asks of the engine, the terms of its vocabulary read from their file."""
    return RequestedSettings(
        language=folder.language,
        model=folder.model,
        task=folder.task,
        words=folder.words,
        vocabulary=_terms(folder.vocabulary),
        noise_reduction=folder.noise_reduction,
        split=dict(sorted(folder.split.items())),
    )


def _terms(vocabulary: tuple[str, ...] | Path) -> tuple[str, ...]:
    if isinstance(vocabulary, tuple):
        return vocabulary
    try:
        lines = vocabulary.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        # a recording is not to wait for its spelling
        log.warning("vocabulary cannot be read", path=str(vocabulary), reason=str(error))
        return ()
    return tuple(line.strip() for line in lines if line.strip())


def _numbered_as(known: Sequence[Track], tracks: Sequence[Track]) -> tuple[Track, ...]:
    """In the order of before, whatever their names are by now: what was decoded of them is kept by their numbers."""
    numbers = {track.content_hash: number for number, track in enumerate(known)}
    return tuple(sorted(tracks, key=lambda track: numbers.get(track.content_hash, len(numbers))))


def _already(status: TranscriptStatus) -> tuple[FileState, str]:
    if status is TranscriptStatus.NO_SPEECH:
        return FileState.NO_SPEECH, "no speech was found in it"
    if status is TranscriptStatus.DONE:
        return FileState.DONE, "the same content was transcribed before"
    return FileState.READY, "its turn will come"
