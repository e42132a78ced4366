"""Recordings in the database."""

from __future__ import annotations

from aiosqlite import Connection

from panotti_daemon.errors import PermanentError
from panotti_daemon.ids import meant_by
from panotti_daemon.models.database import queries, stamp
from panotti_daemon.models.recording.models import Recording, Track


async def insert(connection: Connection, recording: Recording) -> None:
    values = recording.model_dump(mode="json", exclude={"tracks", "created_at"})
    await queries().insert_recording(connection, **values, created_at=stamp(recording.created_at))
    await _insert_tracks(connection, recording)


async def relocate(connection: Connection, recording: Recording) -> None:
    """The same content stands somewhere else now."""
    await queries().relocate_recording(connection, id=recording.id, title=recording.title, folder=str(recording.folder))
    await queries().delete_tracks(connection, recording_id=recording.id)
    await _insert_tracks(connection, recording)


async def _insert_tracks(connection: Connection, recording: Recording) -> None:
    rows = [
        track.model_dump(mode="json") | {"recording_id": recording.id, "position": position}
        for position, track in enumerate(recording.tracks)
    ]
    await queries().insert_tracks(connection, rows)


async def get(connection: Connection, recording_id: str) -> Recording:
    """Raises PermanentError for one that is not there."""
    row = await queries().recording_by_id(connection, id=recording_id)
    if row is None:
        raise PermanentError("Panotti does not know this recording any more; drop its file again.")
    return await _read(connection, dict(row))


async def whole_id(connection: Connection, part: str) -> str:
    """By the id or how it begins or ends. Raises PermanentError, and PanottiError where several are meant."""
    found = [row["id"] async for row in queries().recording_ids_like(connection, part=part)]
    if whole := meant_by(part, found, "recording"):
        return whole
    raise PermanentError(f"Panotti knows no recording {part}.", title="Not known")


async def by_content(connection: Connection, content_id: str) -> Recording | None:
    row = await queries().recording_by_content(connection, content_id=content_id)
    return await _read(connection, dict(row)) if row else None


async def earlier_revisions(connection: Connection, recording_id: str) -> list[str]:
    return [row["id"] async for row in queries().earlier_revisions(connection, id=recording_id)]


async def _read(connection: Connection, row: dict[str, object]) -> Recording:
    tracks = [
        Track.model_validate(dict(t)) async for t in queries().tracks_of_recording(connection, recording_id=row["id"])
    ]
    return Recording.model_validate(row | {"tracks": tracks})
