"""Whether the daemon lives, and whether it is ready."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from panotti_daemon.api.services import Injected

router = APIRouter(prefix="/health", tags=["health"])


class Health(BaseModel):
    status: str


@router.get("/live", summary="Is the daemon alive? Needs no token")
async def live() -> Health:
    return Health(status="alive")


@router.get(
    "/ready",
    summary="Has it started: database open, plugins running, folders watched?",
    responses={503: {"model": Health, "description": "Not yet, or no longer"}},
)
async def ready(services: Injected, response: Response) -> Health:
    if services.is_ready():
        return Health(status="ready")
    response.status_code = 503
    return Health(status="starting")
