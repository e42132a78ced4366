"""What the routes reach: the parts of the daemon that the API shows and steers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Depends, Request

from panotti_daemon.api.status import StatusBoard
from panotti_daemon.intake.ledger import Ledger
from panotti_daemon.intake.requests import Requests
from panotti_daemon.models.database import Database


class Control(Protocol):
    async def pause(self, until: datetime | None) -> None: ...

    async def resume(self) -> None: ...

    def shut_down(self) -> None: ...


@dataclass(frozen=True)
class Services:
    database: Database
    ledger: Ledger
    requests: Requests
    board: StatusBoard
    control: Control
    is_ready: Callable[[], bool]


def services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


Injected = Annotated[Services, Depends(services)]
