from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.recording.models import FileState
from panotti_daemon.models.transcript import outputs
from panotti_daemon.models.transcript.adoption import find_documents
from panotti_daemon.settings import Format
from tests.daemon import PATIENCE
from tests.unit.intake.desk import Desk, play


def test_of_an_earlier_revision_what_nobody_edited_goes(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        await desk.transcribed("call.wav", b"1")
        (tmp_path / "out" / "call.json").write_text("my own words")
        desk.settle_for(Format.MD)
        await desk.transcribed("call.wav", b"two")
        assert desk.written() == {"call.md", "call.json"}

    play(tmp_path, act)


def test_of_an_earlier_revision_that_another_file_still_holds_everything_stays(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        await desk.transcribed("call.wav", b"1")
        await desk.came("copy.wav", b"1")
        desk.settle_for(Format.MD)
        await desk.transcribed("call.wav", b"two")
        assert desk.written() == {"call.md", "call.txt", "call.json"}

    play(tmp_path, act)


def test_a_file_that_holds_again_what_it_held_before_gets_its_old_transcript_back_in_its_place(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        first = await desk.transcribed("call.wav", b"1", "First words.")
        (tmp_path / "out" / "call.json").write_text("my own words")
        await desk.transcribed("call.wav", b"two", "Second words.")
        assert desk.written() == {"call.json", "call (2).json", "call (2).txt"}
        row = await desk.came("call.wav", b"1")
        assert (row.state, row.recording_id) == (FileState.DONE, first)
        transcript, recording = await desk.transcript_of(row, "First words.")
        await desk.outputs.restore(transcript, recording, row.path)
        assert desk.written() == {"call.json", "call.txt"}
        assert (tmp_path / "out" / "call.txt").read_text() == "First words.\n"

    play(tmp_path, act)


def test_of_a_recording_that_this_is_no_revision_of_everything_stays(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        first = await desk.transcribed("call.wav", b"1")
        async with desk.database.transaction() as transaction:
            await desk.ledger.forget(transaction, [desk.folder.path / "call.wav"])
        await desk.transcribed("other.wav", b"two")
        assert desk.written() >= {"call.txt", "call.json"}
        async with desk.database.reading() as connection:
            await recordings.get(connection, first)

    play(tmp_path, act)


def test_transcripts_look_as_their_folders_settings_say(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        desk.folder = desk.folder.model_copy(update={"clean_text": True})
        await desk.transcribed("call.wav", text="Hello , Ann ...")
        assert (tmp_path / "out" / "call.txt").read_text() == "Hello, Ann…\n"
        ((_, document),) = find_documents(tmp_path / "out")
        assert document.segments[0].text == "Hello , Ann ..."

    play(tmp_path, act)


def test_new_looks_replace_the_files_that_nobody_edited(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        transcript, recording = await desk.transcript_of(await desk.came("call.wav"), "Hello , Ann.")
        await desk.outputs.write(transcript, recording)
        desk.folder = desk.folder.model_copy(update={"clean_text": True})
        await desk.outputs.write(transcript, recording)
        assert desk.written() == {"call.txt", "call.json"}
        assert (tmp_path / "out" / "call.txt").read_text() == "Hello, Ann.\n"

    play(tmp_path, act)


def test_the_transcript_of_a_copy_in_another_folder_is_called_by_the_copy(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        transcript, recording = await desk.transcript_of(await desk.came("call.wav"))
        await desk.outputs.write(transcript, recording)
        (tmp_path / "notes out").mkdir()
        desk.folder = desk.folder.model_copy(
            update={"path": tmp_path / "notes", "output": tmp_path / "notes out", "formats": (Format.MD,)}
        )
        written = await desk.outputs.restore(transcript, recording, tmp_path / "notes" / "note.wav")
        assert written["md"].read_text().startswith("# note\n\n- **Recording:** note.wav\n")
        desk.settle_for(Format.MD, Format.JSON)
        await desk.outputs.restore(transcript, recording, tmp_path / "notes" / "third.wav")
        assert desk.written() == {"note.md", "note.json"}

    play(tmp_path, act)


def test_the_transcript_of_copied_tracks_is_called_by_the_copies(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        here = desk.folder
        row = await desk.came_as_tracks(("microphone", "call_mic.wav", b"1"), ("system", "call_system_audio.wav", b"2"))
        transcript, recording = await desk.transcript_of(row)
        await desk.outputs.write(transcript, recording)
        for path in (tmp_path / "notes", tmp_path / "notes out"):
            path.mkdir()
        there = here.model_copy(
            update={"path": tmp_path / "notes", "output": tmp_path / "notes out", "formats": (Format.MD,)}
        )
        copy = await desk.came_as_tracks(
            ("microphone", "talk_mic.wav", b"1"), ("system", "talk_system_audio.wav", b"2"), folder=there
        )
        written = await desk.outputs.restore(transcript, recording, copy.path)
        assert written["md"].name == "talk.md"
        text = written["md"].read_text()
        assert text.startswith("# talk\n")
        assert "talk\\_system\\_audio.wav" in text
        desk.settle_for(Format.MD, Format.JSON)
        assert (await desk.outputs.restore(transcript, recording, copy.path))["json"].name == "talk.json"

    play(tmp_path, act)


@pytest.mark.parametrize("stays", [False, True])
def test_the_transcript_of_tracks_beside_others_with_their_content_is_called_by_those_that_came(
    tmp_path: Path, stays: bool
) -> None:
    async def act(desk: Desk) -> None:
        await desk.came_as_tracks(("microphone", "z_mic.wav", b"1"), ("system", "z_system_audio.wav", b"2"))
        if not stays:
            gone = [desk.folder.path / name for name in ("z_mic.wav", "z_system_audio.wav")]
            for path in gone:
                path.unlink()
            async with desk.database.transaction() as transaction:
                await desk.ledger.set_presence(transaction, gone, present=False)
        copy = await desk.came_as_tracks(("microphone", "a_mic.wav", b"1"), ("system", "a_system_audio.wav", b"2"))
        desk.settle_for(Format.MD)
        transcript, recording = await desk.transcript_of(copy)
        written = await desk.outputs.restore(transcript, recording, copy.path)
        assert written["md"].name == "a.md"
        assert "z\\_" not in written["md"].read_text()

    play(tmp_path, act)


def test_a_drive_that_hangs_keeps_no_transcript_from_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, answers = threading.Event(), threading.Event()
    write = outputs.write

    def slow(plan: outputs.Plan) -> None:
        if plan.destination.root == tmp_path / "away":
            hangs.set()
            answers.wait()
        write(plan)

    async def act(desk: Desk) -> None:
        here = desk.folder
        (tmp_path / "away").mkdir()
        stuck, near = [await desk.transcript_of(await desk.came(name, name.encode())) for name in ("a.wav", "b.wav")]
        monkeypatch.setattr(outputs, "write", slow)
        desk.folder = here.model_copy(update={"output": tmp_path / "away"})
        writing = asyncio.create_task(desk.outputs.write(*stuck))
        await asyncio.to_thread(hangs.wait)
        desk.folder = here
        try:
            async with asyncio.timeout(PATIENCE):
                await desk.outputs.write(*near)
            assert desk.written() == {"b.txt", "b.json"}
        finally:
            answers.set()
        await writing

    play(tmp_path, act)


def test_a_copy_whose_folder_has_the_transcript_already_gets_nothing_wherever_else_it_was_written(
    tmp_path: Path,
) -> None:
    async def act(desk: Desk) -> None:
        here = desk.folder
        (tmp_path / "zoo out").mkdir()
        zoo = here.model_copy(update={"path": tmp_path / "zoo", "output": tmp_path / "zoo out"})
        transcript, recording = await desk.transcript_of(await desk.came("call.wav"))
        await desk.outputs.write(transcript, recording)
        desk.folder = zoo
        assert await desk.outputs.restore(transcript, recording, zoo.path / "call.wav")
        desk.folder = here
        assert await desk.outputs.restore(transcript, recording, here.path / "other.wav") == {}
        assert desk.written() == {"call.txt", "call.json"}

    play(tmp_path, act)


def test_a_writing_that_is_cancelled_comes_to_its_end_before_the_next_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that writes cannot be cancelled: the next plan must not be made beside it."""
    began, go_on = threading.Event(), threading.Event()
    write = outputs.write

    def slow(plan: outputs.Plan) -> None:
        began.set()
        go_on.wait(20)
        write(plan)

    async def act(desk: Desk) -> None:
        row = await desk.came("call.wav")
        transcript, recording = await desk.transcript_of(row)
        monkeypatch.setattr(outputs, "write", slow)
        first = asyncio.create_task(desk.outputs.write(transcript, recording))
        await asyncio.to_thread(began.wait, 20)
        first.cancel()
        deletion = asyncio.create_task(desk.outputs.delete_unedited([recording.id]))
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert {path.name for path in await deletion} == {"call.txt", "call.json"}
        assert desk.written() == set()

    play(tmp_path, act)
