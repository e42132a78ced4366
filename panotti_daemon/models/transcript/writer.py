"""Brings a stored transcript to the disk as its folder's settings ask, and remembers what was written."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from panotti_daemon.clock import Clock
from panotti_daemon.errors import OutputUnavailable, PlanOutdated
from panotti_daemon.models.database import Database, queries, stamp, to_its_end
from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.recording.models import Recording
from panotti_daemon.models.recording.tracks import match
from panotti_daemon.models.transcript import outputs
from panotti_daemon.models.transcript.formats import Document, Rendering, speaker_labels
from panotti_daemon.models.transcript.models import Transcript
from panotti_daemon.models.transcript.outputs import Destination, KnownOutput, Plan
from panotti_daemon.settings import Format, WatchFolder

PLANS = 5
"""How often somebody may get in between before we wait a while."""


class Condition(StrEnum):
    UNEDITED = "unedited"
    EDITED = "edited"
    UNREACHABLE = "unreachable"
    """Its folder is not there."""


@dataclass(frozen=True)
class WrittenFile:
    """An output as it stands on the disk."""

    path: Path
    condition: Condition


class OutputWriter:
    def __init__(self, database: Database, clock: Clock, folder_of: Callable[[Path], WatchFolder]) -> None:
        """`folder_of` gives the settings for a path, also for one that stands in no watched folder."""
        self._database = database
        self._clock = clock
        self._folder_of = folder_of
        self._locks: dict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)
        """For each folder: two plans made at once could choose the same name."""

    async def write(self, transcript: Transcript, recording: Recording) -> Mapping[str, Path]:
        """All formats of the folder's settings. What was written of another revision goes, where no file has that
        content any more and nobody edited it. Raises OutputUnavailable."""
        folder = self._folder_of(recording.path)
        assert folder.output
        sources = [track.path for track in recording.tracks]
        destination = Destination.of(sources, folder.path, folder.output, recording.title)
        written = await self._write(transcript, recording, destination, folder, folder.formats)
        await self.delete_unedited(await self._outlived_by(recording))
        return written

    async def restore(self, transcript: Transcript, recording: Recording, came: Path) -> Mapping[str, Path]:
        """Only the formats that are nowhere below the output folder that the file which came belongs to. What is left
        of a set is completed under its own name. What was written of other revisions goes as in `write`, here before
        it could stand in the way of a file that holds again what it held before them."""
        folder = self._folder_of(came)
        assert folder.output
        root = folder.path if folder.output == "beside" else folder.output
        await self.delete_unedited(await self._outlived_by(recording))
        async with self._database.reading() as connection:
            rows = queries().outputs_of_transcript(connection, transcript_id=transcript.id)
            written = [(row["format"], Path(row["path"])) async for row in rows]  # of each format one for every root
        there = await asyncio.to_thread(
            lambda: {format: path for format, path in written if path.is_relative_to(root) and path.exists()}
        )
        missing = tuple(format for format in folder.formats if format not in there)
        if not missing:
            return {}
        neighbour = next(iter(there.values()), None)
        copy = await self._beside(came, recording, folder)
        if neighbour is None or neighbour.stem == next(outputs.base_names(copy.names, copy.title)):
            recording = copy
        if neighbour:
            destination = Destination(root, neighbour.parent, (neighbour.stem,), recording.title)
        else:
            own = [track.path for track in recording.tracks]
            sources = own if came in own else [came]
            destination = Destination.of(sources, folder.path, folder.output, recording.title)
        return await self._write(transcript, recording, destination, folder, missing)

    def document(self, transcript: Transcript, recording: Recording) -> Document:
        """A finished transcript with the looks that its folder's settings ask for."""
        return Document.of(transcript, recording, Rendering.of(self._folder_of(recording.path)))

    def speaker_labels(self, transcript: Transcript, recording: Recording, came: Path | None = None) -> dict[str, str]:
        """How `write`, or `restore` for the file that came, shows each track."""
        assert transcript.result
        return speaker_labels(transcript.result, recording, self._folder_of(came or recording.path).speakers)

    async def written(self, recording_ids: Sequence[str]) -> tuple[WrittenFile, ...]:
        """All outputs of these recordings that stand there, or may do so where their folder is out of reach."""
        known = await self._of_recordings(recording_ids)
        return await asyncio.to_thread(_written, known)

    async def delete_unedited(self, recording_ids: Sequence[str]) -> list[Path]:
        """Deletes what Panotti wrote of these recordings and nobody changed; returns which files that were."""
        by_folder: dict[Path, list[KnownOutput]] = defaultdict(list)
        for output in await self._of_recordings(recording_ids):
            by_folder[output.path.parent].append(output)
        deleted = []
        for folder, known in by_folder.items():
            async with self._locks[folder]:
                deleted += await asyncio.to_thread(_delete_unedited, known)
        return deleted

    async def _beside(self, came: Path, recording: Recording, folder: WatchFolder) -> Recording:
        """The recording as it stands where the file that came does."""
        async with self._database.reading() as connection:
            rows = [row async for row in queries().files_of_recording(connection, recording_id=recording.id)]
        paths = [(row["content_hash"], Path(row["path"])) for row in rows if row["present"]]
        here = {content: path for content, path in paths if _is_of_one_recording(path, came, folder.tracks)}
        if len(recording.tracks) == 1:
            here = {recording.tracks[0].content_hash: came}
        tracks = [t.model_copy(update={"path": here.get(t.content_hash, t.path)}) for t in recording.tracks]
        return recording.found_at(tuple(tracks), folder.path, folder.tracks)

    async def _outlived_by(self, recording: Recording) -> list[str]:
        """Its other revisions that no file holds any more."""
        async with self._database.reading() as connection:
            family = [row["id"] async for row in queries().family_of_recording(connection, recording_id=recording.id)]
            others = [relative for relative in family if relative != recording.id]
            rows = queries().recordings_without_files(connection, ids=json.dumps(others))
            return [row["id"] async for row in rows]

    async def _of_recordings(self, recording_ids: Sequence[str]) -> list[KnownOutput]:
        async with self._database.reading() as connection:
            rows = queries().outputs_of_recordings(connection, ids=json.dumps(list(recording_ids)))
            return [KnownOutput(Path(row["path"]), row["recording_id"], row["digest"]) async for row in rows]

    async def _write(
        self,
        transcript: Transcript,
        recording: Recording,
        destination: Destination,
        folder: WatchFolder,
        formats: tuple[Format, ...],
    ) -> Mapping[str, Path]:
        document = Document.of(transcript, recording, Rendering.of(folder))
        async with self._locks[destination.folder]:
            for _ in range(PLANS):
                known, earlier = await self._known(destination, recording)
                plan = await asyncio.to_thread(outputs.plan, document, formats, destination, known, earlier)
                await self._remember(plan, transcript)
                try:
                    cancellation = await to_its_end(asyncio.to_thread(outputs.write, plan))
                except PlanOutdated:
                    continue
                if cancellation:
                    raise cancellation
                await self._forget_replaced(plan)
                return {output.format.value: output.path for output in plan.outputs}
        raise OutputUnavailable(f"Other programs keep changing files in {destination.folder}; it is tried again.")

    async def _known(self, destination: Destination, recording: Recording) -> tuple[list[KnownOutput], list[str]]:
        paths = json.dumps([str(path) for path in outputs.candidates(destination)])
        async with self._database.reading() as connection:
            known = [
                KnownOutput(Path(row["path"]), row["recording_id"], row["digest"])
                async for row in queries().outputs_at(connection, paths=paths)
            ]
            return known, await recordings.earlier_revisions(connection, recording.id)

    async def _remember(self, plan: Plan, transcript: Transcript) -> None:
        """Before anything is written: after a crash these files are known to be ours."""
        rows = [
            {
                "path": str(output.path),
                "digest": output.digest,
                "transcript_id": transcript.id,
                "format": output.format.value,
                "now": stamp(self._clock.now()),
            }
            for output in plan.outputs
        ]
        async with self._database.transaction() as transaction:
            await queries().upsert_outputs(transaction.connection, rows)

    async def _forget_replaced(self, plan: Plan) -> None:
        rows = [{"path": str(output.path), "digest": output.digest} for output in plan.outputs]
        async with self._database.transaction() as transaction:
            await queries().forget_replaced_outputs(transaction.connection, rows)


def _is_of_one_recording(path: Path, other: Path, patterns: Mapping[str, str]) -> bool:
    """Whether their names say so."""
    first, second = match(path.name, patterns), match(other.name, patterns)
    return path.parent == other.parent and (first and first.title) == (second and second.title)


def _written(known: Iterable[KnownOutput]) -> tuple[WrittenFile, ...]:
    found: dict[Path, Condition] = {}
    for output in known:
        if outputs.is_unedited(output):
            found[output.path] = Condition.UNEDITED
        elif not output.path.parent.is_dir():
            found[output.path] = Condition.UNREACHABLE
        elif output.path.exists():
            found.setdefault(output.path, Condition.EDITED)
    return tuple(WrittenFile(path, condition) for path, condition in found.items())


def _delete_unedited(known: Iterable[KnownOutput]) -> list[Path]:
    deleted = []
    for output in known:
        if outputs.is_unedited(output):
            with suppress(OSError):
                output.path.unlink()
                deleted.append(output.path)
    return deleted
