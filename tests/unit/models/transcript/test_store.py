from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from panotti_daemon.models.database import HERE, Database, queries
from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.transcript import store as transcripts
from panotti_daemon.models.transcript.models import (
    Checkpoint,
    DecodedWindow,
    RequestedSettings,
    Segment,
    TranscriptStatus,
    Word,
)
from panotti_daemon.models.transcript.store import TranscriptStore
from panotti_daemon.testing import NOW, RECORDING, StoppedClock, transcription


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "panotti.db"


SAID = Segment(
    start=0.0,
    end=1.0,
    text="Hello Ann.",
    track="microphone",
    avg_logprob=-0.2,
    no_speech_prob=0.1,
    compression_ratio=1.0,
    words=(
        Word(start=0.0, end=0.4, text=" Hello", probability=0.9),
        Word(start=0.5, end=1.0, text=" Ann.", probability=0.8),
    ),
    bleed=True,
)


def checkpoint(*said: Segment) -> Checkpoint:
    window = DecodedWindow(
        track=0, start=0, end=16_000, segments=said, transcribed_seconds=1.0, again=False, suspect=False
    )
    return Checkpoint(model="tiny.en", language="en", language_probability=0.9, windows=(window,))


def play(path: Path, act: Callable[[Database, TranscriptStore], Awaitable[None]]) -> None:
    async def played() -> None:
        async with opened(path) as database:
            await act(database, TranscriptStore(database, StoppedClock()))

    asyncio.run(played())


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Database]:
    database = await Database.open(path, NOW)
    try:
        yield database
    finally:
        await database.close()


async def ask(database: Database, settings: RequestedSettings) -> tuple[str, bool]:
    async with database.transaction() as transaction:
        if await recordings.by_content(transaction.connection, RECORDING.content_id) is None:
            await recordings.insert(transaction.connection, RECORDING)
        return await transcripts.get_or_create(transaction.connection, RECORDING.id, settings, NOW)


def test_whatever_is_asked_of_the_engine_tells_transcripts_apart(path: Path) -> None:
    async def act(database: Database, store: TranscriptStore) -> None:
        asked = [
            RequestedSettings(),
            RequestedSettings(language="de"),
            RequestedSettings(task="translate"),
            RequestedSettings(vocabulary=("Panotti",)),
            RequestedSettings(words=True),
            RequestedSettings(noise_reduction=True),
            RequestedSettings(split={"left": "channel 1"}),
        ]
        first = [await ask(database, settings) for settings in asked]
        again = [await ask(database, settings) for settings in asked]
        assert all(is_new for _, is_new in first)
        assert again == [(transcript_id, False) for transcript_id, _ in first]
        assert [(await store.get(transcript_id)).settings for transcript_id, _ in first] == asked

    play(path, act)


def test_words_and_bleed_come_back_as_they_were_stored(path: Path) -> None:
    async def act(database: Database, store: TranscriptStore) -> None:
        transcript_id, _ = await ask(database, RequestedSettings())
        result = transcription("Bye.").model_copy(update={"segments": (SAID,)})
        assert (await store.store(transcript_id, result)).result == result

    play(path, act)


def test_what_is_decoded_is_kept_until_the_transcript_is_done(path: Path) -> None:
    async def act(database: Database, store: TranscriptStore) -> None:
        transcript_id, _ = await ask(database, RequestedSettings())
        kept = [checkpoint(SAID), checkpoint()]
        for part in kept:
            await store.keep(transcript_id, part)
        assert await store.checkpoints(transcript_id) == kept
        await store.store(transcript_id, transcription("Hello Ann."))
        assert await store.checkpoints(transcript_id) == []
        await store.keep(transcript_id, checkpoint(SAID))  # of a run that was overtaken
        assert await store.checkpoints(transcript_id) == []

    play(path, act)


def test_only_what_is_pending_can_be_asked_for_anew_and_then_nothing_of_the_old_way_is_kept(path: Path) -> None:
    async def act(database: Database, store: TranscriptStore) -> None:
        plain, german, english = [
            RequestedSettings(),
            RequestedSettings(language="de"),
            RequestedSettings(language="en"),
        ]
        (done, _), (pending, _), (other, _) = [await ask(database, each) for each in (plain, german, english)]
        await store.store(done, transcription("Hello Ann."))
        for transcript_id, wish in [(done, RequestedSettings(words=True)), (pending, german), (pending, english)]:
            await store.keep(pending, checkpoint(SAID))
            async with database.transaction() as transaction:
                await transcripts.ask_anew(transaction.connection, transcript_id, wish)
        assert [(await store.get(each)).settings for each in (done, pending, other)] == [plain, german, english]
        assert len(await store.checkpoints(pending)) == 3
        async with database.transaction() as transaction:
            await transcripts.ask_anew(transaction.connection, pending, RequestedSettings(words=True))
        assert (await store.get(pending)).settings == RequestedSettings(words=True)
        assert await store.checkpoints(pending) == []

    play(path, act)


def test_a_checkpoint_that_cannot_be_read_is_decoded_again(path: Path) -> None:
    async def act(database: Database, store: TranscriptStore) -> None:
        transcript_id, _ = await ask(database, RequestedSettings())
        await store.keep(transcript_id, checkpoint(SAID))
        async with database.transaction() as transaction:
            for damaged in ("{", '{"model": "tiny.en"}'):
                await queries().insert_checkpoint(transaction.connection, transcript_id=transcript_id, data=damaged)
        assert await store.checkpoints(transcript_id) == [checkpoint(SAID)]

    play(path, act)


def test_what_a_transcript_was_asked_for_with_before_settings_were_one_column_is_still_its_identity(path: Path) -> None:
    migrations = sorted((HERE / "migrations").glob("*.sql"))[:4]
    with sqlite3.connect(path) as old:
        for migration in migrations:
            old.executescript(migration.read_text(encoding="utf-8"))
        old.execute("PRAGMA user_version = 4")
        old.execute("INSERT INTO recordings VALUES ('r', 'c', 'call', '/in', NULL, 0, 1, NULL, ?)", [_now()])
        for name, language, model in (("t1", "auto", "auto"), ("t2", "de", "base")):
            old.execute(
                "INSERT INTO transcripts VALUES (?, 'r', ?, ?, 'pending', ?, NULL)", [name, language, model, _now()]
            )
        old.execute("INSERT INTO segments VALUES ('t2', 0, 0.0, 1.0, 'Hallo.', NULL, -0.1, 0.0, 1.0)")
        old.execute("INSERT INTO outputs VALUES ('/out/call.txt', 'd', 't2', 'txt', ?)", [_now()])
    old.close()

    async def act(database: Database, store: TranscriptStore) -> None:
        assert (await store.get("t1")).settings == RequestedSettings()
        async with database.transaction() as transaction:
            german = RequestedSettings(language="de", model="base")
            assert await transcripts.get_or_create(transaction.connection, "r", german, NOW) == ("t2", False)
            rows = await transaction.connection.execute_fetchall("SELECT text, words, bleed FROM segments")
            assert [tuple(row) for row in rows] == [("Hallo.", "[]", 0)]
            await transaction.connection.execute("DELETE FROM transcripts WHERE id = 't2'")
            assert list(await transaction.connection.execute_fetchall("SELECT * FROM outputs")) == []
        assert (await store.get("t1")).status is TranscriptStatus.PENDING

    play(path, act)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
