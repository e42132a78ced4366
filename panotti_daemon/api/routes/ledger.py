"""The ledger: every file that Panotti has seen, its state and why; and the backlog that waits for a yes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query

from panotti_daemon.api.schemas import (
    AbsolutePath,
    BacklogDecision,
    BacklogStatus,
    Changed,
    LedgerEntry,
    LedgerPage,
    PathRequest,
)
from panotti_daemon.api.services import Injected
from panotti_daemon.intake.ledger import LedgerRow
from panotti_daemon.models.database import queries
from panotti_daemon.models.recording.models import FileState

router = APIRouter(tags=["ledger"])

Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
Offset = Annotated[int, Query(ge=0, le=2**53, description="How many to leave out: `next_offset` of the page before.")]
State = Annotated[FileState | None, Query(description="Only those in this state.")]


def entry(row: LedgerRow) -> LedgerEntry:
    return LedgerEntry.model_validate(row.model_dump(mode="json", include=set(LedgerEntry.model_fields)))


@router.get("/ledger", summary="Files, the last changed first")
async def ledger(services: Injected, state: State = None, limit: Limit = 50, offset: Offset = 0) -> LedgerPage:
    async with services.database.reading() as connection:
        rows = await services.ledger.select(connection, "ledger_page", state=state, limit=limit, offset=offset)
        total = await queries().ledger_count(connection, state=state)
    more = offset + len(rows) < total
    items = [entry(services.requests.as_of_now(row)) for row in rows]
    return LedgerPage(items=items, total=total, next_offset=offset + limit if more else None)


@router.get("/ledger/explain", summary="What happened to one file, and why")
async def explain(services: Injected, path: Annotated[AbsolutePath, Query()]) -> LedgerEntry:
    return entry(await services.requests.explain(Path(path)))


@router.post("/ledger/now", summary="Transcribe this file next")
async def now(services: Injected, body: PathRequest) -> Changed:
    return Changed(count=await services.requests.now(Path(body.path)))


@router.post("/ledger/retry", summary="Try this file again")
async def retry(services: Injected, body: PathRequest) -> Changed:
    return Changed(count=await services.requests.retry_file(Path(body.path)))


@router.get("/backlog", summary="Files that were there before their folder was watched, and wait for a yes")
async def backlog(services: Injected) -> list[BacklogStatus]:
    return (await services.board.status()).backlog


@router.post("/backlog", summary="Say yes or no to these files")
async def decide(services: Injected, body: BacklogDecision) -> Changed:
    folder = Path(body.folder) if body.folder else None
    return Changed(count=await services.requests.decide_backlog(folder, accept=body.accept))
