"""The servers that recordings are sent to, if the user has named any: whether somebody answers there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing

from panotti_daemon.doctor.finding import Finding
from panotti_daemon.settings.servers import RemoteSettings, Server


async def servers(settings: RemoteSettings) -> AsyncIterator[Finding]:
    """Neither a key nor a recording is sent."""
    if not settings.servers:
        yield Finding("server", True, "none: recordings stay on this machine")
    for server in settings.servers:
        problem = await asyncio.to_thread(_problem, server)
        if problem:
            yield Finding("server", False, problem, "Start it, or mend `engine.remote.servers`")
        else:
            yield Finding("server", True, f"recordings are sent to {server.name}, which answers")


def _problem(server: Server) -> str | None:
    from panotti_daemon.engine.remote.calls import CONNECT_SECONDS, Caller
    from panotti_daemon.engine.remote.fleet import ServerFailed, ServerMisfit

    with closing(Caller(CONNECT_SECONDS, {})) as caller:
        try:
            caller.greet(server)
        except (ServerFailed, ServerMisfit) as error:
            return str(error)
    return None
