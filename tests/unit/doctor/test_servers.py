from __future__ import annotations

import asyncio
from pathlib import Path

from panotti_daemon.doctor.finding import Finding
from panotti_daemon.doctor.servers import servers
from panotti_daemon.settings.servers import RemoteSettings, Server
from tests.transcription_server import TranscriptionServer


def found(*named: Server) -> list[Finding]:
    async def main() -> list[Finding]:
        return [finding async for finding in servers(RemoteSettings(servers=named))]

    return asyncio.run(main())


def test_without_servers_it_is_said_that_recordings_stay() -> None:
    assert found() == [Finding("server", True, "none: recordings stay on this machine")]


def test_each_server_is_greeted_without_a_key(tmp_path: Path) -> None:
    with TranscriptionServer(tmp_path) as gone:
        """Its port is free from now on."""
    with TranscriptionServer(tmp_path) as there:
        answers, silent = found(Server(url=there.url, key="gpu"), Server(url=gone.url))
        (request,) = there.requests
    assert answers == Finding("server", True, f"recordings are sent to {there.name}, which answers")
    assert not silent.ok
    assert f"{gone.name} cannot be reached" in silent.message
    assert "authorization" not in request["headers"]
