"""The intake on a real database, without its loops: files are identified when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from panotti_daemon.core.events import persistence
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.handlers import Subscription
from panotti_daemon.core.events.models import Event
from panotti_daemon.engine.messages import Probe, ProbeKind
from panotti_daemon.intake.arrivals import Arrivals
from panotti_daemon.intake.copies import Copies
from panotti_daemon.intake.forget import Forget
from panotti_daemon.intake.identify import Identify
from panotti_daemon.intake.ledger import Ledger, LedgerRow, Seen
from panotti_daemon.intake.observe import hash_file, look
from panotti_daemon.intake.register import Part, Register
from panotti_daemon.intake.settle import Settled
from panotti_daemon.intake.watcher import Watcher
from panotti_daemon.models.database import Database, Transaction
from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.recording import tracks
from panotti_daemon.models.recording.models import FileState, Recording
from panotti_daemon.models.transcript.models import Transcript
from panotti_daemon.models.transcript.store import TranscriptStore
from panotti_daemon.models.transcript.writer import OutputWriter
from panotti_daemon.settings import Format, WatchFolder
from panotti_daemon.testing import StoppedClock, transcription


class Prober:
    async def probe(self, paths: Sequence[Path]) -> list[Probe]:
        return [Probe(path=path, kind=ProbeKind.MEDIA, duration=1.0) for path in paths]


@dataclass
class Desk:
    root: Path
    database: Database
    ledger: Ledger
    bus: EventBus
    identify: Identify
    arrivals: Arrivals
    register: Register
    outputs: OutputWriter
    store: TranscriptStore
    forget: Forget
    folder: WatchFolder

    async def seen(self, name: str, content: bytes = b"one") -> LedgerRow:
        """A file that appeared or changed, and has not been identified yet."""
        path = self.folder.path / name
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
        found = look(path)
        assert found
        async with self.database.transaction() as transaction:
            await self.ledger.see(transaction, [Seen(path, self.folder.path, found)])
        return await self.row(name)

    async def came(self, name: str, content: bytes = b"one") -> LedgerRow:
        """A file that has been identified as a recording."""
        row = await self.seen(name, content)
        content_hash = hash_file(row.path)
        outside = await self.register.look_outside([self.folder], {row.path: content_hash})
        async with self.database.transaction() as transaction:
            await self._settled(transaction, row, content_hash)
            part = Part(row, None, content_hash)
            await self.register.commit(transaction, [part], self.folder, outside, row.path.stem)
        return await self.row(name)

    async def came_as_tracks(self, *files: tuple[str, str, bytes], folder: WatchFolder | None = None) -> LedgerRow:
        """The first row of files, each a label, a name and a content, that have been identified as one recording."""
        self.folder = folder or self.folder
        parts = []
        for label, name, content in files:
            row = await self.seen(name, content)
            parts.append(Part(row, label, hash_file(row.path)))
        title = tracks.title_of([name for _, name, _ in files], self.folder.tracks)
        outside = await self.register.look_outside([self.folder], {part.row.path: part.content_hash for part in parts})
        async with self.database.transaction() as transaction:
            for part in parts:
                await self._settled(transaction, part.row, part.content_hash)
            await self.register.commit(transaction, parts, self.folder, outside, title)
        return await self.row(files[0][1])

    async def _settled(self, transaction: Transaction, row: LedgerRow, content_hash: str) -> None:
        assert row.look
        await self.ledger.settled(transaction, [Settled(row.path, row.look)], content_hash=content_hash)

    async def transcribed(self, name: str, content: bytes = b"one", text: str = "Hello Ann.") -> str:
        """The id of a recording with a transcript that is stored, written and told."""
        transcript, recording = await self.transcript_of(await self.came(name, content), text)
        await self.outputs.write(transcript, recording)
        async with self.database.transaction() as transaction:
            await self.ledger.follow(transaction, transcript.id, FileState.DONE, "it is done")
        told = {"recording_id": recording.id, "words": text}
        await self.bus.publish(Event.create("test.told", told, correlation_id=recording.id))
        return recording.id

    async def transcript_of(self, row: LedgerRow, text: str = "Hello Ann.") -> tuple[Transcript, Recording]:
        """Stored, and not yet written."""
        assert row.recording_id
        assert row.transcript_id
        transcript = await self.store.store(row.transcript_id, transcription(text))
        async with self.database.reading() as connection:
            return transcript, await recordings.get(connection, row.recording_id)

    def watch(self, *folders: WatchFolder) -> None:
        self.arrivals.watcher = Watcher(folders, self.arrivals, rescan_seconds=300, left_out=[])

    def settle_for(self, *formats: Format) -> None:
        """As if the settings had been changed."""
        self.folder = self.folder.model_copy(update={"formats": formats})

    async def row(self, name: str) -> LedgerRow:
        async with self.database.reading() as connection:
            row = await self.ledger.get(connection, self.folder.path / name)
        assert row
        return row

    def subscribe(self, name: str, *patterns: str) -> None:
        """Somebody for whom events are kept, and who never takes them."""
        self.bus.declare(Subscription(name, patterns))

    async def events(self, name: str) -> list[Event]:
        async with self.database.reading() as connection:
            rows = await connection.execute_fetchall("SELECT id FROM events WHERE name = ? ORDER BY sequence", (name,))
            return [await persistence.load(connection, row[0]) for row in rows]

    async def count(self, table: str) -> int:
        async with self.database.reading() as connection:
            row = await (await connection.execute(f"SELECT count(*) FROM {table}")).fetchone()
        assert row
        return int(row[0])

    def written(self) -> set[str]:
        assert isinstance(self.folder.output, Path)
        return {path.name for path in self.folder.output.iterdir()}


def play(root: Path, act: Callable[[Desk], Awaitable[None]]) -> None:
    async def main() -> None:
        clock = StoppedClock()
        folder = WatchFolder(path=root / "in", output=root / "out", formats=(Format.TXT, Format.JSON))
        for path in (root / "in", root / "out", root / "data"):
            path.mkdir()
        database = await Database.open(root / "data" / "panotti.db", clock.now())
        ledger = Ledger(clock)
        bus = EventBus(database, clock)
        bus.project(ledger)
        bus.project(Copies(ledger, bus))
        register = Register(database, ledger, bus, clock)
        identify = Identify(database, ledger, register, Prober(), clock)
        arrivals = Arrivals(
            database,
            ledger,
            identify,
            clock,
            backlog_limit=50,
            superseded=identify.supersede,
            folders_changed=lambda: None,
        )
        outputs = OutputWriter(database, clock, lambda _: desk.folder)
        forget = Forget(database, ledger, bus, outputs, arrivals, identify, plugins_seconds=0.2)
        store = TranscriptStore(database, clock)
        desk = Desk(root, database, ledger, bus, identify, arrivals, register, outputs, store, forget, folder)
        desk.watch(folder)
        try:
            await bus.start()
            await act(desk)
        finally:
            await bus.stop(grace_seconds=0)
            await database.close()

    asyncio.run(main())
