from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from panotti_daemon.core.events.handlers import Subscription
from panotti_daemon.core.events.models import Event
from panotti_daemon.errors import DatabaseConflict, PermanentError
from panotti_daemon.intake.forget import Wish
from panotti_daemon.models.database import queries
from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.recording.models import FileState
from panotti_daemon.models.transcript.writer import Condition, WrittenFile
from panotti_daemon.testing import transcription
from tests.unit.core.events.scene import Gate, eventually
from tests.unit.intake.desk import Desk, play

PHRASE = "the heron keeps the ferryman's ledger"


def held(folder: Path, phrase: str = PHRASE) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and phrase.encode() in path.read_bytes()]


def test_of_a_forgotten_recording_nothing_is_left_in_the_bytes_of_the_database(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        others = [await desk.transcribed(f"other{n}.wav", f"other{n}".encode(), "x" * 400 * n) for n in range(20)]
        recording_id = await desk.transcribed("call.wav", text=PHRASE)
        assert "panotti.db-wal" in held(tmp_path / "data")
        forgotten = await desk.forget.recording(recording_id, Wish())
        assert held(tmp_path / "data") == []
        assert (forgotten.transcripts, forgotten.segments, forgotten.events) == (1, 1, 2)
        assert await desk.count("recordings") == await desk.count("segments") == len(others)

    play(tmp_path, act)


def test_its_file_stays_and_its_row_says_only_that_it_was_forgotten(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        await desk.transcribed("call.wav", text=PHRASE)
        await desk.came("copy.wav")
        before = await desk.row("call.wav")
        forgotten = await desk.forget.file(before.path, Wish())
        assert forgotten.files == (before.path, desk.folder.path / "copy.wav")
        for name in ("call.wav", "copy.wav"):
            row = await desk.row(name)
            assert row.state is FileState.FORGOTTEN
            assert "you had Panotti forget it" in row.reason
            assert row.path.read_bytes() == b"one"
            left = (row.content_hash, row.recording_id, row.transcript_id, row.duplicate_of, row.duration)
            assert left == (None, None, None, None, None)
        assert (await desk.row("call.wav")).look == before.look

    play(tmp_path, act)


def test_rows_of_files_that_are_gone_go_too(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        recording_id = await desk.transcribed("call.wav", text=PHRASE)
        async with desk.database.transaction() as transaction:
            await desk.ledger.set_presence(transaction, [desk.folder.path / "call.wav"], present=False)
        await desk.forget.recording(recording_id, Wish())
        assert await desk.count("ledger") == 0

    play(tmp_path, act)


def test_a_file_on_a_drive_that_is_away_is_still_known_as_forgotten_when_it_is_back(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        recording_id = await desk.transcribed("call.wav", text=PHRASE)
        async with desk.database.transaction() as transaction:
            await desk.ledger.set_presence(transaction, [desk.folder.path / "call.wav"], present=False)
        desk.folder.path.rename(tmp_path / "unplugged")
        await desk.forget.recording(recording_id, Wish())
        assert (await desk.row("call.wav")).state is FileState.FORGOTTEN

    play(tmp_path, act)


def test_a_file_that_has_changed_since_is_left_to_be_looked_at(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        recording_id = await desk.transcribed("call.wav", text=PHRASE)
        await desk.seen("call.wav", b"something else")
        await desk.forget.recording(recording_id, Wish())
        row = await desk.row("call.wav")
        assert (row.state, row.recording_id) == (FileState.GROWING, None)

    play(tmp_path, act)


def test_transcripts_on_disk_stay_unless_they_are_asked_for(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        forgotten = await desk.forget.recording(await desk.transcribed("call.wav", text=PHRASE), Wish())
        assert desk.written() == {"call.txt", "call.json"}
        assert {output.condition for output in forgotten.kept_outputs} == {Condition.UNEDITED}
        assert forgotten.deleted_outputs == ()

    play(tmp_path, act)


def test_transcripts_that_were_edited_stay_in_any_case(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        recording_id = await desk.transcribed("call.wav", text=PHRASE)
        edited = tmp_path / "out" / "call.txt"
        edited.write_text("my own words")
        forgotten = await desk.forget.recording(recording_id, Wish(outputs=True))
        assert desk.written() == {"call.txt"}
        assert forgotten.kept_outputs == (WrittenFile(edited, Condition.EDITED),)
        assert forgotten.deleted_outputs == (tmp_path / "out" / "call.json",)

    play(tmp_path, act)


def test_a_link_in_the_place_of_a_transcript_is_not_touched(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        recording_id = await desk.transcribed("call.wav", text=PHRASE)
        output = tmp_path / "out" / "call.txt"
        elsewhere = output.rename(tmp_path / "elsewhere.txt")
        output.symlink_to(elsewhere)
        await desk.forget.recording(recording_id, Wish(outputs=True))
        assert output.is_symlink()
        assert elsewhere.exists()

    play(tmp_path, act)


def test_transcripts_on_a_drive_that_is_away_are_named(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        recording_id = await desk.transcribed("call.wav", text=PHRASE)
        (tmp_path / "out").rename(tmp_path / "unplugged")
        forgotten = await desk.forget.recording(recording_id, Wish(outputs=True))
        assert {output.condition for output in forgotten.kept_outputs} == {Condition.UNREACHABLE}

    play(tmp_path, act)


def test_it_can_be_said_beforehand_what_would_go(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        recording_id = await desk.transcribed("call.wav", text=PHRASE)
        (tmp_path / "out" / "call.txt").write_text("my own words")
        would = await desk.forget.recording(recording_id, Wish(outputs=True, dry_run=True))
        assert desk.written() == {"call.txt", "call.json"}
        assert (await desk.row("call.wav")).recording_id == recording_id
        assert await desk.forget.recording(recording_id, Wish(outputs=True)) == would

    play(tmp_path, act)


def test_other_revisions_are_named_and_go_only_if_asked(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        first, second, third = [
            await desk.transcribed("call.wav", content, PHRASE) for content in (b"1", b"two", b"three")
        ]
        forgotten = await desk.forget.recording(second, Wish())
        assert [recording.id for recording in forgotten.other_revisions] == [first, third]
        async with desk.database.reading() as connection:
            assert (await recordings.get(connection, third)).revision_of == first
        forgotten = await desk.forget.file(desk.folder.path / "call.wav", Wish(revisions=True))
        assert forgotten.ids == [first, third]
        assert await desk.count("recordings") == 0
        assert held(tmp_path / "data") == []

    play(tmp_path, act)


def test_a_recording_that_is_being_transcribed_is_ended_first(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        gate = Gate()
        desk.bus.declare(Subscription("transcriber", ("recording.ready",)))
        desk.bus.attach("transcriber", gate)
        row = await desk.came("call.wav")

        async def begun() -> bool:
            return bool(gate.begun)

        await eventually(begun)
        assert row.recording_id
        await desk.forget.recording(row.recording_id, Wish())
        assert gate.cancelled == 1
        assert await desk.count("deliveries") == 0
        assert (await desk.row("call.wav")).state is FileState.FORGOTTEN

    play(tmp_path, act)


def test_a_transcript_that_comes_too_late_finds_no_place(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        row = await desk.came("call.wav")
        assert row.recording_id
        assert row.transcript_id
        await desk.forget.recording(row.recording_id, Wish())
        with pytest.raises(DatabaseConflict):
            await desk.store.store(row.transcript_id, transcription(PHRASE))
        assert held(tmp_path / "data") == []

    play(tmp_path, act)


def test_what_plugins_keep_of_it_is_wiped_out_with_it(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        async def put(value: str | None, recording_id: str) -> None:
            async with desk.database.transaction() as transaction:
                values = {"plugin": "keeper", "key": recording_id}
                if value:
                    await queries().set_plugin_value(transaction.connection, **values, value=value)
                else:
                    await queries().delete_plugin_value(transaction.connection, **values)

        async def hear(event: Event) -> None:
            await put(None, event.data["recording_id"])

        desk.bus.declare(Subscription("keeper", ("recording.forgotten",)))
        desk.bus.attach("keeper", hear)
        recording_id = await desk.transcribed("call.wav")
        await put(PHRASE * 100, recording_id)
        forgotten = await desk.forget.recording(recording_id, Wish())
        assert held(tmp_path / "data") == []
        assert not any("keeper" in where for where in forgotten.remains)

    play(tmp_path, act)


def test_a_plugin_that_does_not_forget_in_time_is_named(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        desk.subscribe("keeper", "recording.forgotten")
        forgotten = await desk.forget.recording(await desk.transcribed("call.wav"), Wish())
        assert any("what keeper keeps" in where for where in forgotten.remains)

    play(tmp_path, act)


def test_a_transcript_names_its_recording(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        recording_id = await desk.transcribed("call.wav", text=PHRASE)
        forgotten = await desk.forget.file(tmp_path / "out" / "call.txt", Wish())
        assert forgotten.ids == [recording_id]

    play(tmp_path, act)


def test_a_file_without_a_recording_can_be_forgotten(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        path = (await desk.seen("notes.txt")).path
        async with desk.database.transaction() as transaction:
            await desk.ledger.set(transaction, path, FileState.IGNORED, "not a media file")
        assert (await desk.forget.file(path, Wish())).files == (path,)
        assert (await desk.row("notes.txt")).state is FileState.FORGOTTEN

    play(tmp_path, act)


def test_what_is_not_known_cannot_be_forgotten(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        with pytest.raises(PermanentError, match="knows no recording nobody"):
            await desk.forget.recording("nobody", Wish())
        with pytest.raises(PermanentError, match=r"knows nothing of .*nobody\.wav"):
            await desk.forget.file(desk.folder.path / "nobody.wav", Wish())
        await desk.transcribed("call.wav", text=PHRASE)
        await desk.forget.file(desk.folder.path / "call.wav", Wish())
        with pytest.raises(PermanentError, match="knows nothing of"):
            await desk.forget.file(desk.folder.path / "call.wav", Wish())

    play(tmp_path, act)


def test_where_something_may_remain_is_said(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        recording_id = await desk.transcribed("call.wav", text=PHRASE)
        aside = tmp_path / "data" / "panotti-damaged-20260301T120000.db"
        shutil.copy(tmp_path / "data" / "panotti.db", aside)
        forgotten = await desk.forget.recording(recording_id, Wish())
        assert any("the log" in where for where in forgotten.remains)
        assert any(str(aside) in where for where in forgotten.remains)

    play(tmp_path, act)


def test_a_database_that_cannot_be_written_afresh_is_said(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        recording_id = await desk.transcribed("call.wav", text=PHRASE)
        other = sqlite3.connect(tmp_path / "data" / "panotti.db", isolation_level=None)
        try:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM recordings").fetchone()
            async with desk.database.reading() as connection:
                await connection.execute("PRAGMA busy_timeout = 10")
            forgotten = await desk.forget.recording(recording_id, Wish())
        finally:
            other.close()
        assert any("unused parts of the database" in where for where in forgotten.remains)
        assert await desk.count("recordings") == 0

    play(tmp_path, act)
