"""What the routes reach: the parts of the daemon that the API shows and steers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from panotti_daemon.api.status import StatusBoard
from panotti_daemon.api.tail import Tail
from panotti_daemon.core.events.dead_letters import DeadLetters
from panotti_daemon.core.events.journal import Journal
from panotti_daemon.core.events.replay import Replay
from panotti_daemon.core.plugins.manager import PluginManager
from panotti_daemon.engine.models.manager import Models
from panotti_daemon.engine.remote.keys import ServerKeys
from panotti_daemon.intake.forget import Forget
from panotti_daemon.intake.ledger import Ledger
from panotti_daemon.intake.requests import Requests
from panotti_daemon.models.database import Database
from panotti_daemon.models.transcript.writer import OutputWriter
from panotti_daemon.pausing.control import Pausing


@dataclass(frozen=True)
class Services:
    database: Database
    ledger: Ledger
    requests: Requests
    forget: Forget
    outputs: OutputWriter
    plugins: PluginManager
    models: Models
    server_keys: ServerKeys
    board: StatusBoard
    pausing: Pausing
    shut_down: Callable[[], None]
    journal: Journal
    dead_letters: DeadLetters
    replay: Replay
    tail: Tail
    is_ready: Callable[[], bool]


def services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


Injected = Annotated[Services, Depends(services)]
