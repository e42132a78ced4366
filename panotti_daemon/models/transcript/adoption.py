"""Takes in transcripts that are found on disk, after the database was lost or the folder came from another machine.

Their json says what content they are of and with what settings, so that nothing is decoded again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from panotti_daemon.clock import Clock
from panotti_daemon.ids import new_id
from panotti_daemon.models.database import Database, Transaction, queries, stamp
from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.recording.models import Recording, Track
from panotti_daemon.models.transcript import store as transcripts
from panotti_daemon.models.transcript.formats import SCHEMA, Document, parse_document, render
from panotti_daemon.models.transcript.outputs import KnownOutput, digest, files_below
from panotti_daemon.settings import Format

log = structlog.get_logger(__name__)


async def adopt(database: Database, roots: Iterable[Path], clock: Clock, *, watched: Collection[Path] = ()) -> int:
    """Makes the output folders that are new, but for those that are watched as well and so waited for, and brings every
    transcript found there into the database; returns how many were new to it."""
    count = 0
    for root in roots:
        async with database.reading() as connection:
            is_known = await queries().output_root_is_made(connection, path=str(root))
        if not is_known and await asyncio.to_thread(root.is_dir if root in watched else partial(_made, root)):
            count += await _adopt_all(database, root, clock)
            async with database.transaction() as transaction:  # last: what a crash left out is found at the next start
                await queries().insert_output_root(transaction.connection, path=str(root), now=stamp(clock.now()))
    if count:
        log.info("transcripts adopted", count=count)
    return count


async def _adopt_all(database: Database, root: Path, clock: Clock) -> int:
    count = 0
    documents = find_documents(root)
    while found := await asyncio.to_thread(next, documents, None):  # one at a time: all of them may be more than fits
        path, document = found
        outputs = await asyncio.to_thread(sibling_outputs, path, document)
        async with database.transaction() as transaction:
            count += await _adopt(transaction, document, outputs, clock)
    return count


async def _adopt(transaction: Transaction, document: Document, outputs: list[KnownOutput], clock: Clock) -> bool:
    connection = transaction.connection
    recording = await recordings.by_content(connection, document.content_id)
    if recording is None:
        taken = await queries().recording_by_id(connection, id=document.recording_id)
        recording = Recording(
            id=new_id() if taken else document.recording_id,
            content_id=document.content_id,
            title=document.title,
            tracks=tuple(
                Track(path=Path(source.name), label=source.label, content_hash="", size=source.size, mtime_ns=0)
                for source in document.sources
            ),
            folder=Path(),
            duration=document.duration,
            incomplete=document.incomplete,
            created_at=document.created_at,
        )
        await recordings.insert(connection, recording)
    transcript_id, is_new = await transcripts.get_or_create(connection, recording.id, document.settings, clock.now())
    if is_new:
        await transcripts.finish(connection, transcript_id, document.transcription(), document.created_at)
    if outputs:
        rows = [
            {
                "path": str(output.path),
                "digest": output.digest,
                "transcript_id": transcript_id,
                "format": output.path.suffix[1:],
                "now": stamp(document.created_at),
            }
            for output in outputs
        ]
        await queries().upsert_outputs(connection, rows)
    return is_new


def find_documents(folder: Path) -> Iterator[tuple[Path, Document]]:
    """Every transcript of Panotti's in the folder and below, in the order of their paths.

    What cannot be read is passed over: this looks for what can be used.
    """
    for path in files_below(folder):
        if path.suffix == f".{Format.JSON}":
            with suppress(OSError, ValueError):
                if _is_ours(path):
                    yield path, parse_document(path.read_text("utf-8-sig"))


def sibling_outputs(json_path: Path, document: Document, formats: Iterable[Format] = Format) -> list[KnownOutput]:
    """The files of the json's set that exist, itself included, each with the digest it has if nobody edited it."""
    paths = {format: json_path.with_suffix(f".{format}") for format in formats}
    return [
        KnownOutput(path, document.recording_id, digest(render(format, document).encode()))
        for format, path in paths.items()
        if path.is_file()
    ]


def _made(root: Path) -> bool:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("output folder cannot be made", folder=str(root), reason=error.strerror)
        return False
    return True


def _is_ours(path: Path) -> bool:
    """Cheap, for folders full of other people's json: our marker comes first in our files."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return f'"{SCHEMA}"'.encode() in file.read(200)
