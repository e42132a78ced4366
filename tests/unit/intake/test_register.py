from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from panotti_daemon.core.events.models import Event
from panotti_daemon.core.events.types import (
    EventContext,
    EventPriority,
    RecordingData,
    TranscriptionCompleted,
    TranscriptionData,
    TranscriptionMetadata,
)
from panotti_daemon.intake import register
from panotti_daemon.intake.observe import is_gone
from panotti_daemon.intake.register import requested_settings
from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.recording.models import FileState
from panotti_daemon.settings import WatchFolder
from tests.unit.core.events.scene import NOW
from tests.unit.intake.desk import Desk, play

TRANSCRIBER = "transcriber"


async def completed(desk: Desk, name: str) -> Event:
    """As the transcribing plugin says it of this file's recording."""
    row = await desk.row(name)
    assert row.recording_id
    async with desk.database.reading() as connection:
        recording = await recordings.get(connection, row.recording_id)
    payload = TranscriptionCompleted(
        recording=RecordingData.of(recording),
        transcription=TranscriptionData(
            status="completed",
            timestamp=NOW,
            recording_id=recording.id,
            output_file="/out/original.txt",
            transcript_paths={"txt": "/out/original.txt"},
            model="tiny.en",
            language="en",
        ),
        metadata=TranscriptionMetadata(duration=1, speech_seconds=1, words=2, excerpt="Hello Ann."),
        context=EventContext(
            correlation_id=recording.id, source_plugin=TRANSCRIBER, metadata={"transcript_id": row.transcript_id}
        ),
    )
    return Event.create(
        "transcription_local.completed", payload, correlation_id=recording.id, source_plugin=TRANSCRIBER
    )


def test_a_copy_of_what_is_done_stands_for_itself_once_the_original_changes(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        first = await desk.transcribed("original.wav")
        await desk.came("copy.wav")
        before = await desk.row("original.wav")
        assert [row.path.name for row in await desk.register.supersede(before)] == ["copy.wav"]
        copy = await desk.came("copy.wav")
        assert (copy.state, copy.recording_id, copy.duplicate_of) == (FileState.DONE, first, None)
        (known,) = [event for event in await desk.events("recording.known") if event.data["path"] == str(copy.path)][1:]
        assert known.data["recording"]["path"] == str(copy.path)

    play(tmp_path, act)


def test_originals_on_a_drive_that_does_not_answer_keep_nobody_from_the_database_nor_from_what_is_gone_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()

    def slow(path: Path) -> bool:
        return answers.wait() if path.name == "original.wav" else is_gone(path)

    async def act(desk: Desk) -> None:
        await desk.transcribed("original.wav")
        elsewhere = await desk.transcribed("elsewhere.wav", b"two")
        async with desk.database.transaction() as transaction:
            await transaction.connection.execute(
                "UPDATE ledger SET folder = '/elsewhere', content_hash = '2' WHERE recording_id = ?", (elsewhere,)
            )
            await transaction.connection.execute("UPDATE ledger SET content_hash = '1' WHERE folder <> '/elsewhere'")
        (desk.folder.path / "elsewhere.wav").unlink()
        monkeypatch.setattr(register, "PATIENCE_SECONDS", 0.05)
        monkeypatch.setattr(register, "is_gone", slow)
        came = {desk.folder.path / "copy.wav": "1", desk.folder.path / "moved.wav": "2"}
        try:
            looking = asyncio.create_task(desk.register.look_outside([], came))
            while not looking.done():
                await desk.seen("other.wav")
        finally:
            answers.set()
        assert looking.result().gone == {desk.folder.path / "elsewhere.wav"}

    play(tmp_path, act)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="a link plays a drive that ignores capitals")
@pytest.mark.parametrize(("before", "after"), [("Calls", "calls"), ("cafe\u0301", "caf\u00e9")])
def test_a_file_whose_name_is_spelled_in_another_way_is_no_copy_of_itself(
    tmp_path: Path, before: str, after: str
) -> None:
    """As on macOS and Windows: the old name still leads to it."""

    async def act(desk: Desk) -> None:
        (desk.folder.path / before).mkdir()
        await desk.transcribed(f"{before}/call.wav")
        (desk.folder.path / after).symlink_to(before)
        row = await desk.came(f"{after}/call.wav")
        assert (row.state, row.duplicate_of) == (FileState.DONE, None)

    play(tmp_path, act)


def test_tracks_whose_names_are_swapped_keep_their_numbers_by_which_what_was_decoded_of_them_is_known(
    tmp_path: Path,
) -> None:
    async def act(desk: Desk) -> None:
        before = await desk.came_as_tracks(("microphone", "a_mic.wav", b"1"), ("system", "a_system_audio.wav", b"2"))
        for path in (desk.folder.path / "a_mic.wav", desk.folder.path / "a_system_audio.wav"):
            path.unlink()
        after = await desk.came_as_tracks(("microphone", "b_mic.wav", b"2"), ("system", "b_system_audio.wav", b"1"))
        assert before.transcript_id == after.transcript_id
        async with desk.database.reading() as connection:
            recording = await recordings.get(connection, after.recording_id or "")
        assert [(track.path.name, track.label) for track in recording.tracks] == [
            ("b_system_audio.wav", "system"),
            ("b_mic.wav", "microphone"),
        ]

    play(tmp_path, act)


def test_a_hard_link_is_a_copy(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        await desk.transcribed("call.wav")
        (desk.folder.path / "CALL.wav").hardlink_to(desk.folder.path / "call.wav")
        assert (await desk.came("CALL.wav")).state is FileState.DUPLICATE

    play(tmp_path, act)


def test_a_change_to_what_is_done_leaves_its_other_sources_alone(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        await desk.transcribed("original.wav")
        before = await desk.row("original.wav")
        assert await desk.register.supersede(before) == []
        assert await desk.count("transcripts") == 1

    play(tmp_path, act)


def test_copies_that_came_while_there_was_no_transcript_are_told_once_there_is_one(tmp_path: Path) -> None:
    """As after a failure that was tried again: nobody drops the copies anew."""

    async def act(desk: Desk) -> None:
        desk.ledger.transcribers = frozenset({TRANSCRIBER})
        await desk.came("original.wav")
        copy = await desk.came("copy.wav")
        assert len(await desk.events("recording.known")) == 1
        await desk.bus.publish(await completed(desk, "original.wav"))
        told = (await desk.events("recording.known"))[1:]
        assert [event.data["path"] for event in told] == [str(copy.path)]
        assert told[0].correlation_id == copy.recording_id

    play(tmp_path, act)


def test_damaged_events_keep_neither_their_recording_nor_its_copies_from_being_told_anew(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        desk.ledger.transcribers = frozenset({TRANSCRIBER})
        desk.subscribe(TRANSCRIBER, "recording.ready", "recording.known")
        original = await desk.came("original.wav")
        await desk.came("copy.wav")
        async with desk.database.transaction() as transaction:
            await transaction.connection.execute("UPDATE events SET data = '{'")
            assert await desk.register.republish(transaction, original.recording_id or "", EventPriority.NOW) == 1
        assert len(await desk.events("recording.ready")) == 2
        await desk.bus.publish(await completed(desk, "original.wav"))
        assert len(await desk.events("recording.known")) == 2

    play(tmp_path, act)


def test_a_copy_that_is_still_to_be_told_is_not_told_twice(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        desk.ledger.transcribers = frozenset({TRANSCRIBER})
        desk.subscribe(TRANSCRIBER, "recording.ready", "recording.known")
        await desk.came("original.wav")
        await desk.came("copy.wav")
        await desk.bus.publish(await completed(desk, "original.wav"))
        assert len(await desk.events("recording.known")) == 1

    play(tmp_path, act)


def test_whoever_still_holds_what_a_revision_took_the_place_of_gets_outputs_of_its_own(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        desk.ledger.transcribers = frozenset({TRANSCRIBER})
        first = await desk.transcribed("original.wav")
        await desk.came("copy.wav")
        before = await desk.row("original.wav")
        await desk.register.supersede(before)
        await desk.came("copy.wav")
        second = await desk.transcribed("original.wav", b"something else")
        told = len(await desk.events("recording.known"))
        await desk.bus.publish(await completed(desk, "original.wav"))
        (known,) = (await desk.events("recording.known"))[told:]
        assert (known.correlation_id, Path(known.data["path"]).name) == (first, "copy.wav")
        assert first != second

    play(tmp_path, act)


def test_the_order_in_which_tracks_are_written_down_asks_for_nothing_else() -> None:
    one, other = {"left": "channel 1", "right": "channel 2"}, {"right": "channel 2", "left": "channel 1"}
    asked = [requested_settings(WatchFolder(path=Path("/in"), split=split)) for split in (one, other)]
    assert asked[0].model_dump_json() == asked[1].model_dump_json()


def test_what_is_pending_follows_the_settings_of_its_folder_unless_another_folder_counts_on_it(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        german = desk.folder.model_copy(update={"language": "de"})
        other = desk.folder.model_copy(update={"path": tmp_path / "other"})
        await desk.came("shared.wav", b"one")
        await desk.came("copy.wav", b"one")
        await desk.came("alone.wav", b"two")

        def folder_of(path: Path) -> WatchFolder:
            return other if path.name == "copy.wav" else german

        async def language(name: str) -> str:
            return (await desk.store.get((await desk.row(name)).transcript_id or "")).settings.language

        await desk.register.ask_anew([german, other], folder_of)
        assert (await language("shared.wav"), await language("alone.wav")) == ("auto", "de")

    play(tmp_path, act)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe is what a drive that hangs is played by")
def test_a_vocabulary_on_a_drive_that_hangs_keeps_no_other_folder_from_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the daemon from its start."""
    monkeypatch.setattr(register, "PATIENCE_SECONDS", 0.1)

    async def act(desk: Desk) -> None:
        os.mkfifo(tmp_path / "terms.txt")
        here = desk.folder.model_copy(update={"language": "de"})
        away = desk.folder.model_copy(update={"path": tmp_path / "away", "vocabulary": tmp_path / "terms.txt"})
        near, far = await desk.came("near.wav", b"one"), await desk.came("far.wav", b"two")
        try:
            await desk.register.ask_anew([here, away], lambda path: away if path == far.path else here)
        finally:
            with (tmp_path / "terms.txt").open("w"):
                pass  # the drive answers
        assert (await desk.store.get(near.transcript_id or "")).settings.language == "de"

    play(tmp_path, act)
