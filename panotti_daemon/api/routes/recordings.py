"""Recordings and their transcripts."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Any

from aiosqlite import Connection
from fastapi import APIRouter, Depends, HTTPException
from fastapi import Path as PathParameter
from fastapi.responses import Response

from panotti_daemon.api.routes.ledger import Limit, Offset, State, entry
from panotti_daemon.api.schemas import Changed, OutputFile, RecordingDetail, RecordingPage, RecordingSummary, TrackInfo
from panotti_daemon.api.services import Injected
from panotti_daemon.intake.ledger import LedgerRow
from panotti_daemon.models.database import queries
from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.recording.models import FileState, Recording
from panotti_daemon.models.transcript import store as transcripts
from panotti_daemon.models.transcript.formats import render
from panotti_daemon.settings import Format

router = APIRouter(prefix="/recordings", tags=["recordings"])

IdOrPart = Annotated[
    str, PathParameter(description="As the list of recordings and the ledger have it, or how it begins or ends.")
]


async def whole_id(services: Injected, recording_id: IdOrPart) -> str:
    async with services.database.reading() as connection:
        return await recordings.whole_id(connection, recording_id)


RecordingId = Annotated[str, Depends(whole_id)]
TranscriptFormat = Annotated[Format, PathParameter(description="What the transcript is written as.")]

MEDIA_TYPES = {
    Format.TXT: "text/plain",
    Format.SRT: "application/x-subrip",
    Format.VTT: "text/vtt",
    Format.JSON: "application/json",
    Format.MD: "text/markdown",
}


@router.get("", summary="Recordings, the newest first")
async def list_recordings(
    services: Injected, state: State = None, limit: Limit = 50, offset: Offset = 0
) -> RecordingPage:
    async with services.database.reading() as connection:
        rows = [
            dict(row) async for row in queries().list_recordings(connection, state=state, limit=limit, offset=offset)
        ]
        items = [await _summary(connection, row["id"], row["state"], row["reason"]) for row in rows]
        total = await queries().count_recordings(connection, state=state)
    more = offset + len(items) < total
    return RecordingPage(items=items, total=total, next_offset=offset + limit if more else None)


@router.get("/{recording_id}", summary="One recording with its files, outputs and settings")
async def one(services: Injected, recording_id: RecordingId) -> RecordingDetail:
    async with services.database.reading() as connection:
        recording = await recordings.get(connection, recording_id)
        files = await services.ledger.select(connection, "files_of_recording", recording_id=recording_id)
        outputs = [dict(row) async for row in queries().outputs_of_recording(connection, recording_id=recording_id)]
        finished = await transcripts.of_recording(connection, recording_id)
    main = _main_file(files)
    result = finished[0].result if finished else None
    # pathlib would raise where it may not look
    present = await asyncio.to_thread(lambda: [os.path.exists(output["path"]) for output in outputs])  # noqa: PTH110
    return RecordingDetail(
        **_facts(recording),
        state=main.state if main else FileState.DONE,
        reason=main.reason if main else "its transcript was found on disk",
        language=result.language if result else None,
        model=result.model if result else None,
        files=[entry(row) for row in files],
        outputs=[
            OutputFile(path=output["path"], format=output["format"], present=there)
            for output, there in zip(outputs, present, strict=True)
        ],
    )


@router.get(
    "/{recording_id}/transcript.{format}",
    summary="The transcript in one of its formats",
    response_class=Response,
    responses={200: {"content": {media_type: {} for media_type in MEDIA_TYPES.values()}}},
)
async def transcript(services: Injected, recording_id: RecordingId, format: TranscriptFormat) -> Response:
    async with services.database.reading() as connection:
        recording = await recordings.get(connection, recording_id)
        found = await transcripts.of_recording(connection, recording_id)
    finished = next((transcript for transcript in found if transcript.result), None)
    if finished is None:
        raise HTTPException(404, "This recording has no transcript yet.")
    text = await asyncio.to_thread(lambda: render(format, services.outputs.document(finished, recording)))
    return Response(text, media_type=MEDIA_TYPES[format])


@router.post("/{recording_id}/retry", summary="Try a failed or cancelled recording again")
async def retry(services: Injected, recording_id: RecordingId) -> Changed:
    return Changed(count=await services.requests.retry_recording(recording_id))


@router.post("/{recording_id}/cancel", summary="End what is under way for this recording")
async def cancel(services: Injected, recording_id: RecordingId) -> Changed:
    async with services.database.reading() as connection:
        await recordings.get(connection, recording_id)
    return Changed(count=await services.requests.cancel(recording_id))


@router.post("/{recording_id}/now", summary="Transcribe this recording next")
async def now(services: Injected, recording_id: RecordingId) -> Changed:
    return Changed(count=await services.requests.recording_now(recording_id))


async def _summary(connection: Connection, recording_id: str, state: str, reason: str) -> RecordingSummary:
    recording = await recordings.get(connection, recording_id)
    return RecordingSummary(**_facts(recording), state=FileState(state), reason=reason)


def _facts(recording: Recording) -> dict[str, Any]:
    tracks = [TrackInfo(path=str(t.path), label=t.label, size=t.size) for t in recording.tracks]
    return recording.model_dump(exclude={"tracks", "folder"}) | {"tracks": tracks}


def _main_file(files: list[LedgerRow]) -> LedgerRow | None:
    return files[0] if files else None
