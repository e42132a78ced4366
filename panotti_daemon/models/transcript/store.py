"""Transcripts in the database: the engine's results, kept so that nothing is ever decoded twice."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import structlog
from aiosqlite import Connection
from pydantic import TypeAdapter, ValidationError

from panotti_daemon.clock import Clock
from panotti_daemon.errors import PermanentError
from panotti_daemon.ids import new_id
from panotti_daemon.models.database import Database, queries, stamp
from panotti_daemon.models.transcript.models import (
    Checkpoint,
    RequestedSettings,
    Segment,
    Transcript,
    Transcription,
    TranscriptStatus,
    Word,
)

log = structlog.get_logger(__name__)

_WORDS: TypeAdapter[tuple[Word, ...]] = TypeAdapter(tuple[Word, ...])


async def get_or_create(
    connection: Connection, recording_id: str, settings: RequestedSettings, now: datetime
) -> tuple[str, bool]:
    """The id of the transcript with these settings, and whether it is a new, pending one."""
    identity = {"recording_id": recording_id, "settings": settings.model_dump_json(exclude_defaults=True)}
    created = await queries().insert_transcript(connection, id=new_id(), now=stamp(now), **identity)
    row = await queries().transcript_by_settings(connection, **identity)
    return str(row["id"]), bool(created)


async def ask_anew(connection: Connection, transcript_id: str, settings: RequestedSettings) -> None:
    """Has a pending one made in another way; what was decoded in the old way is of no use."""
    asked = settings.model_dump_json(exclude_defaults=True)
    if await queries().ask_anew(connection, id=transcript_id, settings=asked):
        await queries().delete_checkpoints(connection, transcript_id=transcript_id)


async def get(connection: Connection, transcript_id: str) -> Transcript:
    """Raises PermanentError for one that is not there."""
    row = await queries().transcript_by_id(connection, id=transcript_id)
    if row is None:
        raise PermanentError("This transcript was withdrawn; drop the file again.")
    return await _read(connection, dict(row))


async def of_recording(connection: Connection, recording_id: str) -> list[Transcript]:
    """Finished ones first, the newest before the others."""
    rows = [dict(row) async for row in queries().transcripts_of_recording(connection, recording_id=recording_id)]
    return [await _read(connection, row) for row in rows]


async def is_under_way(connection: Connection, transcript: Transcript) -> bool:
    """Whether it is being made, or waits for its turn."""
    return bool(
        await queries().is_under_way(connection, recording_id=transcript.recording_id, transcript_id=transcript.id)
    )


async def finish(connection: Connection, transcript_id: str, result: Transcription, now: datetime) -> None:
    status = TranscriptStatus.DONE if result.segments else TranscriptStatus.NO_SPEECH
    await queries().finish_transcript(
        connection,
        id=transcript_id,
        status=status,
        created_at=stamp(now),
        result=result.model_dump_json(exclude={"segments"}),
    )
    await queries().delete_checkpoints(connection, transcript_id=transcript_id)
    await queries().delete_segments(connection, transcript_id=transcript_id)
    rows = [
        segment.model_dump(exclude={"words"})
        | {"transcript_id": transcript_id, "position": position, "words": _WORDS.dump_json(segment.words).decode()}
        for position, segment in enumerate(result.segments)
    ]
    if rows:
        await queries().insert_segments(connection, rows)


async def _read(connection: Connection, row: dict[str, Any]) -> Transcript:
    result = None
    if row["result"]:
        rows = queries().segments_of_transcript(connection, transcript_id=row["id"])
        segments = tuple([_segment(dict(segment)) async for segment in rows])
        result = Transcription.model_validate(json.loads(row["result"]) | {"segments": segments})
    settings = RequestedSettings.model_validate_json(row["settings"])
    return Transcript.model_validate(row | {"settings": settings, "result": result})


def _segment(row: dict[str, Any]) -> Segment:
    return Segment.model_validate(row | {"words": _WORDS.validate_json(row["words"])})


class TranscriptStore:
    """The same, a transaction each: as plugins reach them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, transcript_id: str) -> Transcript:
        async with self._database.reading() as connection:
            return await get(connection, transcript_id)

    async def store(self, transcript_id: str, result: Transcription) -> Transcript:
        async with self._database.transaction() as transaction:
            await finish(transaction.connection, transcript_id, result, self._clock.now())
            return await get(transaction.connection, transcript_id)

    async def checkpoints(self, transcript_id: str) -> list[Checkpoint]:
        """What cannot be read is decoded again."""
        async with self._database.reading() as connection:
            rows = [row async for row in queries().checkpoints_of_transcript(connection, transcript_id=transcript_id)]
        found = []
        for row in rows:
            try:
                found.append(Checkpoint.model_validate_json(row["data"]))
            except ValidationError:
                log.warning("a checkpoint cannot be read", transcript_id=transcript_id)
        return found

    async def drop_given_up(self, before: datetime) -> int:
        """Drops the checkpoints of what failed or was cancelled by then and not taken up again; returns how many."""
        async with self._database.transaction() as transaction:
            return int(await queries().delete_given_up_checkpoints(transaction.connection, before=stamp(before)))

    async def keep(self, transcript_id: str, checkpoint: Checkpoint) -> None:
        async with self._database.transaction() as transaction:
            await queries().insert_checkpoint(
                transaction.connection, transcript_id=transcript_id, data=checkpoint.model_dump_json()
            )
