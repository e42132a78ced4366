"""The daemon as a whole: its status, once or as a stream, pause, resume and shutdown."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from panotti_daemon.api.schemas import Changed, Pause, Status
from panotti_daemon.api.services import Injected, Services

router = APIRouter(tags=["daemon"])

KEEP_ALIVE_SECONDS = 15.0


@router.get("/status", summary="What the daemon is at, and what is wrong")
async def status(services: Injected) -> Status:
    return await services.board.status()


@router.get(
    "/events",
    summary="The status as server-sent events",
    description="An event `status` with a Status at the start and whenever it changes, four times a second at most.",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def events(services: Injected) -> StreamingResponse:
    return StreamingResponse(_stream(services), media_type="text/event-stream")


async def _stream(services: Services) -> AsyncIterator[str]:
    async for status in services.board.changes(KEEP_ALIVE_SECONDS):
        yield f"event: status\ndata: {status.model_dump_json()}\n\n" if status else ":\n\n"


@router.post("/pause", summary="Begin no further transcription until resumed, or until a time")
async def pause(body: Pause, services: Injected) -> Status:
    await services.pausing.pause(body.until)
    return await services.board.status()


@router.post("/resume", summary="End a pause, or go on in spite of what is waited for")
async def resume(services: Injected) -> Status:
    await services.pausing.resume()
    return await services.board.status()


@router.post("/retry", summary="Try everything again that failed, or waits for something outside")
async def retry(services: Injected) -> Changed:
    return Changed(count=await services.requests.retry_failed())


@router.post("/shutdown", status_code=202, summary="End the daemon; what is under way goes on at the next start")
async def shutdown(services: Injected) -> Changed:
    services.shut_down()
    return Changed(count=1)
