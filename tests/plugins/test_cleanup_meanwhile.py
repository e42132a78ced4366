"""What others do while cleanup is at work, or have done since."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import unicodedata
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from panotti_daemon.core.plugins import PermanentError
from panotti_daemon.models.database import queries
from panotti_daemon.testing import event_for
from plugins.cleanup_files import cleaner
from plugins.cleanup_files.checks import look_into
from plugins.cleanup_files.journal import Journal
from tests.plugins.cleanup_scene import Scene, census, names, play, reasons
from tests.speech import SAMPLE


@pytest.fixture(autouse=True)
def _trash_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def test_a_trash_that_refuses_leaves_no_encoded_file_behind(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav", SAMPLE.read_bytes())
        (s.trash / "files").mkdir(parents=True)
        (s.trash / "info").symlink_to("/proc/self")  # a folder, but nothing can be made in it
        for _ in range(2):
            assert len((await s.run())["refused"]) == 1
        assert path.exists()
        assert names(s.archive) == set()

    play(tmp_path, act, "flac")


@pytest.mark.parametrize("action", ["flac", "trash", "delete"])
def test_a_recording_whose_transcripts_go_while_it_is_read_stays(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav", SAMPLE.read_bytes())

        def and_then_the_transcripts_go(*arguments: Any) -> Any:
            found = look_into(*arguments)
            for output in (s.base / "out").iterdir():
                output.unlink()
            return found

        monkeypatch.setattr(cleaner, "look_into", and_then_the_transcripts_go)
        assert "is not there" in reasons((await s.run())["refused"])["call.wav"]
        assert path.read_bytes() == SAMPLE.read_bytes()
        assert names(s.folder) == {"call.wav"}
        assert names(s.archive) == set()

    play(tmp_path, act, action)


def test_a_recording_that_is_forgotten_while_it_is_read_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        (file,) = await s.library.finished()
        write = Journal.write

        async def and_then_it_is_forgotten(*arguments: Any) -> Any:
            written = await write(*arguments)
            async with s.database.transaction() as transaction:
                connection = transaction.connection
                await queries().part_files_from_recordings(connection, ids=json.dumps([file.recording_id]))
                await queries().delete_recording(connection, recording_id=file.recording_id)
            return written

        monkeypatch.setattr(Journal, "write", and_then_it_is_forgotten)
        assert (await s.run())["done"] == []
        assert path.exists()

    play(tmp_path, act, "delete")


def test_an_edit_that_keeps_size_and_time_is_seen_until_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav", b"before")

        def and_then_its_tags_are_edited(*arguments: Any) -> Any:
            found = look_into(*arguments)
            before = path.stat()
            path.write_bytes(b"after!")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            return found

        monkeypatch.setattr(cleaner, "look_into", and_then_its_tags_are_edited)
        assert reasons((await s.run())["refused"]) == {"call.wav": "it changed just now"}
        assert path.read_bytes() == b"after!"

    play(tmp_path, act, "delete")


def test_a_folder_in_the_place_of_a_file_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        claim = cleaner.Cleaner._claim

        def after_a_folder_came(self: Any, entry: Any, found: Any) -> None:
            path.unlink()
            path.mkdir()
            (path / "precious").write_bytes(b"precious")
            claim(self, entry, found)

        monkeypatch.setattr(cleaner.Cleaner, "_claim", after_a_folder_came)
        await s.run()
        assert names(s.folder) == {"call.wav/precious"}

    play(tmp_path, act, "delete")


def test_of_a_recording_of_which_one_track_changed_no_other_track_goes(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        tracks = [s.folder / "a.wav", s.folder / "b.wav"]
        for track in tracks:
            track.write_bytes(track.name.encode())
        await s.transcribe(*tracks)
        time = tracks[1].stat().st_mtime_ns
        tracks[1].write_bytes(b"B.WAV")
        os.utime(tracks[1], ns=(time, time))
        before = census(s.folder)
        answer = await s.run()
        assert answer["done"] == []
        assert reasons(answer["refused"]) == {
            "a.wav": "another track: it changed since it was transcribed",
            "b.wav": "it changed since it was transcribed",
        }
        assert census(s.folder) == before

    play(tmp_path, act, "delete")


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("Screens/board/call.wav", "board/*"),
        ("Screens/board/2026/call.wav", "board"),
        ("Screens/call.wav", "Screens/*"),
        ("IMPORTANT call.wav", "*important*"),
        (unicodedata.normalize("NFD", "réunion.wav"), unicodedata.normalize("NFC", "réunion*")),
    ],
)
def test_a_pattern_protects_wherever_the_policy_begins(name: str, pattern: str, tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record(name)
        assert reasons((await s.run())["left"]) == {path.name: f"it is protected: {pattern}"}
        assert path.exists()

    play(tmp_path, act, "delete", protect=[pattern])


def test_a_folder_that_loses_its_policy_gets_the_next_one_only_for_what_comes(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.restart(folders={str(s.folder / "kept"): {"action": "keep"}})
        await s.record("kept/earlier.wav")
        s.clock.advance(1)
        await s.restart(folders={})
        s.clock.advance(1)
        await s.record("kept/later.wav")
        await s.run()
        assert names(s.folder) == {"kept/earlier.wav"}

    play(tmp_path, act, "delete")


@pytest.mark.parametrize("spelled", ["in/other/../kept", unicodedata.normalize("NFD", "in/kept/é")])
def test_a_folder_is_known_however_it_is_spelled(spelled: str, tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.restart(folders={str(s.base / spelled): {"action": "keep"}})
        path = await s.record(unicodedata.normalize("NFC", "kept/é/call.wav"))
        await s.run(include_earlier=True)
        assert path.exists()

    play(tmp_path, act, "delete")


@pytest.mark.parametrize("action", ["archive", "flac", "opus", "trash"])
def test_what_was_private_stays_private_at_every_moment(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav", SAMPLE.read_bytes())
        path.chmod(0o600)
        seen: set[int] = set()
        fsync = os.fsync

        def look_at_modes(descriptor: int) -> None:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and _name_of(descriptor).suffix != ".trashinfo":
                seen.add(stat.S_IMODE(status.st_mode))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", look_at_modes)
        await s.run()
        modes = {stat.S_IMODE(file.stat().st_mode) for file in s.archive.iterdir()} | seen
        assert modes <= {0o600}

    play(tmp_path, act, action)


def test_a_replay_of_old_events_does_not_make_old_recordings_due(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav", is_heard=False)
        (file,) = await s.library.finished()
        context = {"metadata": {"transcript_id": file.transcript_id}}
        done = event_for("transcription_local.completed", {"context": context})
        s.clock.advance(60)
        await s.restart(default={"action": "trash", "after_days": 0})
        s.clock.advance(60)
        await s.plugin.handle(done.model_copy(update={"created_at": file.finished_at}))
        await s.run()
        assert path.exists()

    play(tmp_path, act, "delete")


def test_a_place_that_is_taken_while_a_recording_comes_back_stays_its_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav", b"original")
        await s.run()
        put_back = cleaner.Cleaner._put_back

        def after_another_came(*arguments: Any) -> None:
            path.write_bytes(b"another")
            put_back(*arguments)

        monkeypatch.setattr(cleaner.Cleaner, "_put_back", after_another_came)
        assert len((await s.undo())["refused"]) == 1
        assert path.read_bytes() == b"another"
        assert (s.archive / "call.wav").read_bytes() == b"original"
        assert len((await s.undo())["done"]) == 1
        assert path.read_bytes() == b"another"
        assert (s.folder / "call (2).wav").read_bytes() == b"original"

    play(tmp_path, act, "archive")


def test_two_who_take_the_same_back_get_it_once(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        await s.run()
        async with asyncio.TaskGroup() as together:
            undone = together.create_task(s.undo(str(path)))
            refused = together.create_task(_refused(s.undo(str(path))))
        assert len(undone.result()["done"]) == 1
        assert "was taken back already" in refused.result()
        assert names(s.folder) == {"call.wav"}

    play(tmp_path, act, "archive")


@pytest.mark.parametrize("years", [-30, 30])
def test_a_clock_that_was_wrong_when_a_recording_was_finished_makes_it_due_no_earlier(
    years: int, tmp_path: Path
) -> None:
    async def act(s: Scene) -> None:
        right = s.clock.time
        s.clock.time = right.replace(year=right.year + years)
        path = await s.record("call.wav")
        s.clock.time = right
        await s.run()
        assert path.exists()

    play(tmp_path, act, "delete", after_days=7)


def test_a_name_as_long_as_can_be_goes_into_the_trash_and_back(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("é" * 125 + ".wav")
        assert len((await s.run())["done"]) == 1
        assert not path.exists()
        await s.undo()
        assert path.exists()
        assert names(s.trash) == set()

    play(tmp_path, act, "trash")


def test_a_look_that_is_cancelled_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav", SAMPLE.read_bytes())
        loop = asyncio.get_running_loop()
        claim: Callable[..., None] = cleaner.Cleaner._claim

        def claim_and_cancel(self: Any, entry: Any, found: Any) -> None:
            claim(self, entry, found)
            for look in s.plugin._looks:
                loop.call_soon_threadsafe(look.cancel)

        monkeypatch.setattr(cleaner.Cleaner, "_claim", claim_and_cancel)
        with pytest.raises(asyncio.CancelledError):
            await s.run()
        assert path.exists() or names(s.archive) == {"call.wav"}
        assert not [name for name in names(s.folder) if "panotti" in name]

    play(tmp_path, act, "archive")


async def _refused(work: Awaitable[object]) -> str:
    with pytest.raises(PermanentError) as refusal:
        await work
    return refusal.value.message


def _name_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()
