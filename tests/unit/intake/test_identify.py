from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from panotti_daemon.clock import SystemClock
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.engine.messages import Probe, ProbeKind
from panotti_daemon.intake.identify import Identify
from panotti_daemon.intake.ledger import Ledger, Seen
from panotti_daemon.intake.observe import look
from panotti_daemon.intake.register import Register
from panotti_daemon.intake.settle import Settled
from panotti_daemon.models.database import Database
from panotti_daemon.models.recording.models import FileState
from panotti_daemon.settings import WatchFolder


class Prober:
    """Meets a file that breaks it in a way nobody foresaw."""

    async def probe(self, paths: Sequence[Path]) -> list[Probe]:
        if any(path.name == "poison.wav" for path in paths):
            raise ZeroDivisionError
        return [Probe(path=path, kind=ProbeKind.NOT_MEDIA, message="it is noise") for path in paths]


class Follower:
    def follow(self, path: Path) -> None: ...

    def is_growing(self, path: Path) -> bool:
        return False


def test_a_file_that_breaks_identification_fails_alone(tmp_path: Path) -> None:
    async def scenario() -> dict[str, tuple[FileState, str]]:
        clock = SystemClock()
        database = await Database.open(tmp_path / "panotti.db", clock.now())
        try:
            ledger = Ledger(clock)
            bus = EventBus(database, clock)
            identify = Identify(database, ledger, Register(database, ledger, bus, clock), Prober(), clock)
            folder = WatchFolder(path=tmp_path, output=tmp_path)
            paths = [tmp_path / name for name in ("before.wav", "poison.wav", "after.wav")]
            for path in paths:
                path.write_bytes(b"noise")
                seen = look(path)
                assert seen
                async with database.transaction() as transaction:
                    await ledger.see(transaction, [Seen(path, tmp_path, seen)])
                    row = await ledger.get(transaction.connection, path)
                assert row
                identify.add(Settled(path, seen), folder, row)
            identify.start(Follower())
            while any(path in identify for path in paths):
                await asyncio.sleep(0.01)
            await identify.stop()
            async with database.reading() as connection:
                rows = await ledger.of_folder(connection, tmp_path)
            return {path.name: (row.state, row.reason) for path, row in rows.items()}
        finally:
            await database.close()

    states = asyncio.run(scenario())
    assert states["before.wav"] == states["after.wav"] == (FileState.IGNORED, "it is noise")
    assert states["poison.wav"][0] is FileState.FAILED
    assert "ZeroDivisionError" in states["poison.wav"][1]
