"""The cleanup plugin on a real database and real folders, with recordings whose transcripts are written."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from panotti_daemon.choices import FileState
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.plugins.manifest import read_manifest
from panotti_daemon.core.plugins.ports import DaemonPorts
from panotti_daemon.engine.media.encode import encode
from panotti_daemon.ids import new_id
from panotti_daemon.intake.ledger import Ledger, LedgerRow, Seen
from panotti_daemon.intake.library import Library
from panotti_daemon.intake.observe import hash_file, look
from panotti_daemon.intake.settle import Settled
from panotti_daemon.models.database import Database
from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.recording.models import Recording, Track
from panotti_daemon.models.transcript import store as transcripts
from panotti_daemon.models.transcript.models import RequestedSettings, Transcription
from panotti_daemon.models.transcript.writer import OutputWriter
from panotti_daemon.paths import bundled
from panotti_daemon.settings import Format, WatchFolder
from panotti_daemon.testing import Services, StoppedClock, transcription
from plugins.cleanup_files.plugin import Plugin

FOLDER = bundled("plugins") / "cleanup_files"
ACTIONS = ["archive", "flac", "opus", "trash", "delete"]


class Media:
    """The engine's own encoder, without its process."""

    async def encode(self, source: Path, target: Path, codec: Literal["flac", "opus"]) -> None:
        await asyncio.to_thread(encode, source, target, codec)


@dataclass
class Scene:
    base: Path
    database: Database
    bus: EventBus
    ledger: Ledger
    library: Library
    clock: StoppedClock
    watched: WatchFolder
    config: dict[str, Any]
    plugin: Plugin = field(init=False)

    @property
    def folder(self) -> Path:
        return self.watched.path

    @property
    def archive(self) -> Path:
        return self.base / "archive"

    @property
    def trash(self) -> Path:
        return Path(os.environ["XDG_DATA_HOME"]) / "Trash"

    async def start(self) -> None:
        manifest = read_manifest(FOLDER)
        config = Plugin.Config.model_validate(manifest.config | self.config)
        context = Services().context(manifest.name, self.clock, self.base / "data")
        context = type(context)(**{**vars(context), "library": self.library, "media": Media()})
        self.plugin = Plugin(manifest, config, context, DaemonPorts(self.bus, self.database))
        await self.plugin.initialize()

    async def restart(self, **config: Any) -> None:
        await self.plugin.shutdown()
        self.config |= config
        await self.start()

    async def record(
        self,
        name: str,
        content: bytes | None = None,
        *,
        result: Transcription | None = None,
        is_heard: bool = True,
        incomplete: bool = False,
    ) -> Path:
        """A recording that was just transcribed."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000 if content is None else content)
        await self.transcribe(path, result=result, is_heard=is_heard, incomplete=incomplete)
        return path

    async def transcribe(
        self, *paths: Path, result: Transcription | None = None, is_heard: bool = True, incomplete: bool = False
    ) -> None:
        tracks = []
        seen = {path: found for path in paths if (found := look(path))}
        for number, (path, found) in enumerate(seen.items()):
            label = None if len(paths) == 1 else f"track{number}"
            track = Track(
                path=path, label=label, content_hash=hash_file(path), size=found.size, mtime_ns=found.mtime_ns
            )
            tracks.append(track)
        recording = Recording(
            id=new_id(),
            content_id=new_id(),
            title=paths[0].stem,
            tracks=tuple(tracks),
            folder=self.folder,
            created_at=self.clock.now(),
        )
        writer = OutputWriter(self.database, self.clock, lambda _: self.watched)
        async with self.database.transaction() as transaction:
            connection = transaction.connection
            await recordings.insert(connection, recording)
            transcript_id, _ = await transcripts.get_or_create(
                connection, recording.id, RequestedSettings(), self.clock.now()
            )
            await self.ledger.see(transaction, [Seen(path, self.folder, found) for path, found in seen.items()])
            for track in tracks:
                settled = Settled(track.path, seen[track.path], incomplete=incomplete)
                await self.ledger.settled(transaction, [settled], content_hash=track.content_hash)
                await self.ledger.identified(
                    transaction,
                    track.path,
                    FileState.DONE if result is None or result.segments else FileState.NO_SPEECH,
                    "its transcript is there",
                    recording_id=recording.id,
                    transcript_id=transcript_id,
                )
            await transcripts.finish(
                connection, transcript_id, result or transcription("Hello.", "Bye."), self.clock.now()
            )
            transcript = await transcripts.get(connection, transcript_id)
        await writer.write(transcript, recording)
        if is_heard:
            await self.plugin.update_state(f"finished/{transcript_id}", self.clock.now().isoformat())

    async def pass_days(self, days: float) -> None:
        self.clock.time += timedelta(days=days)

    async def run(self, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self.plugin.act("run", arguments)
        return answer

    async def plan(self, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self.plugin.act("plan", arguments)
        return answer

    async def undo(self, what: str = "") -> dict[str, Any]:
        answer: dict[str, Any] = await self.plugin.act("undo", {"what": what})
        return answer

    async def journal(self) -> list[dict[str, Any]]:
        answer = await self.plugin.act("journal", {})
        entries: list[dict[str, Any]] = answer["entries"]
        return entries

    async def row(self, path: Path) -> LedgerRow | None:
        async with self.database.reading() as connection:
            return await self.ledger.get(connection, path)


@asynccontextmanager
async def scene(base: Path, **config: Any) -> AsyncIterator[Scene]:
    """`XDG_DATA_HOME` must be set to somewhere below `base`."""
    watched = WatchFolder(path=base / "in", output=base / "out", formats=(Format.TXT, Format.JSON))
    for folder in (watched.path, base / "out", base / "archive"):
        folder.mkdir(exist_ok=True)
    clock = StoppedClock()
    database = await Database.open(base / "panotti.db", clock.now())
    try:
        ledger = Ledger(clock)
        roots = (watched.path, base / "out")

        def folder_of(path: Path) -> WatchFolder | None:
            return watched if path.is_relative_to(watched.path) else None

        library = Library(database, ledger, roots=roots, folder_of=folder_of, stopped=lambda: False)
        s = Scene(base, database, EventBus(database, clock), ledger, library, clock, watched, config)
        await s.start()
        try:
            yield s
        finally:
            await s.plugin.shutdown()
            await s.bus.stop(grace_seconds=0)
    finally:
        await database.close()


def play(
    base: Path, act: Callable[[Scene], Awaitable[None]], action: str, archive: Path | None = None, **more: Any
) -> None:
    """In a scene whose default is this action, at once."""
    default = {"action": action, "archive": str(archive or base / "archive"), "after_days": 0, **more}

    async def played() -> None:
        async with scene(base, default=default) as s:
            await act(s)

    asyncio.run(played())


def census(*folders: Path) -> Counter[str]:
    """Every file's content, wherever it stands; what Panotti writes for itself is not counted."""
    found = (path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    own = (".trashinfo", ".json", ".db", ".db-wal", ".db-shm")
    return Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in found if path.suffix not in own)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def reasons(found: Iterable[dict[str, Any]]) -> dict[str, str]:
    return {Path(one["path"]).name: one["reason"] for one in found}
