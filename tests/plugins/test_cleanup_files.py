from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from panotti_daemon.choices import FileState
from panotti_daemon.errors import PermanentError
from panotti_daemon.testing import event_for
from tests.plugins.cleanup_scene import Scene, census, names, reasons, scene
from tests.speech import SAMPLE, ffmpeg

NOW = {"after_days": 0}

Act = Callable[[Scene], Awaitable[None]]


@pytest.fixture(autouse=True)
def _trash_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def play(base: Path, act: Act, **default: Any) -> None:
    async def played() -> None:
        async with scene(base, default=default) as s:
            await act(s)

    asyncio.run(played())


def archiving(base: Path, **more: Any) -> dict[str, Any]:
    return {"action": "archive", "archive": str(base / "archive"), **NOW, **more}


def test_a_recording_is_archived_below_the_same_folders_and_the_ledger_tells(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("team/call.wav")
        content = path.read_bytes()
        await s.run()
        assert not path.exists()
        assert (s.archive / "team/call.wav").read_bytes() == content
        archived, original = await s.row(s.archive / "team/call.wav"), await s.row(path)
        assert archived
        assert archived.state is FileState.ARCHIVED
        assert archived.reason.startswith(f"it was {path}")
        assert original
        assert original.state is FileState.DONE
        assert original.reason == f"cleanup moved it to {s.archive}/team/call.wav; its transcript is there"

    play(tmp_path, act, **archiving(tmp_path))


def test_what_goes_into_the_trash_can_be_restored_by_a_file_browser(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("a call.wav")
        await s.run()
        assert names(s.trash) == {"files/a call.wav", "info/a call.wav.trashinfo"}
        info = (s.trash / "info/a call.wav.trashinfo").read_text()
        assert info.startswith(f"[Trash Info]\nPath={str(path).replace(' ', '%20')}\nDeletionDate=2026-03-01T")

    play(tmp_path, act, action="trash", **NOW)


@pytest.mark.parametrize("action", ["archive", "trash", "flac", "opus"])
def test_undo_brings_back_the_same_bytes_and_leaves_nothing_behind(action: str, tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav", SAMPLE.read_bytes())
        before, time = census(s.base), path.stat().st_mtime_ns
        await s.run()
        assert not path.exists()
        undone = await s.undo()
        assert [done["restored"] for done in undone["done"]] == [str(path)]
        assert path.read_bytes() == SAMPLE.read_bytes()
        assert path.stat().st_mtime_ns == time
        assert census(s.base) == before
        assert names(s.archive) | names(s.trash) == set()
        row = await s.row(path)
        assert row
        assert row.reason == "its transcript is there"
        left = reasons((await s.run())["left"])
        assert left == {"call.wav": "you took it back"}

    play(tmp_path, act, **archiving(tmp_path) | {"action": action})


def test_re_encoding_puts_the_original_into_the_trash(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.record("call.wav", SAMPLE.read_bytes())
        await s.run()
        assert names(s.archive) == {"call.flac"}
        assert (s.trash / "files/call.wav").read_bytes() == SAMPLE.read_bytes()
        assert (s.archive / "call.flac").stat().st_size < SAMPLE.stat().st_size
        row = await s.row(s.archive / "call.flac")
        assert row
        assert row.state is FileState.ARCHIVED
        assert row.size == (s.archive / "call.flac").stat().st_size
        assert row.mtime_ns == (s.archive / "call.flac").stat().st_mtime_ns

    play(tmp_path, act, **archiving(tmp_path) | {"action": "flac"})


def test_what_cannot_be_re_encoded_without_a_loss_is_archived_as_it_is(tmp_path: Path) -> None:
    ffmpeg("-i", SAMPLE, tmp_path / "call.mp3")

    async def act(s: Scene) -> None:
        await s.record("call.mp3", (tmp_path / "call.mp3").read_bytes())
        (done,) = (await s.run())["done"]
        assert done["action"] == "archive"
        assert "not as flac, for it is compressed with a loss" in done["why"]
        assert names(s.archive) == {"call.mp3"}
        assert names(s.trash) == set()

    play(tmp_path, act, **archiving(tmp_path) | {"action": "flac"})


def test_what_is_deleted_is_gone_for_good_and_undo_says_so(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        await s.run()
        assert names(s.folder) == set()
        assert names(s.trash) == set()
        assert reasons((await s.undo())["refused"]) == {"call.wav": f"{path} was deleted, and that cannot be undone"}

    play(tmp_path, act, action="delete", **NOW)


def test_clashing_names_get_numbers_both_ways(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        (s.archive / "call.wav").write_bytes(b"mine")
        path = await s.record("call.wav", b"first")
        await s.run()
        assert (s.archive / "call (2).wav").read_bytes() == b"first"
        path.write_bytes(b"second")
        undone = await s.undo()
        assert undone["done"][0]["restored"] == str(s.folder / "call (2).wav")
        assert (s.archive / "call.wav").read_bytes() == b"mine"
        assert path.read_bytes() == b"second"
        assert (s.folder / "call (2).wav").read_bytes() == b"first"

    play(tmp_path, act, **archiving(tmp_path))


def test_undo_takes_a_number_a_name_or_all_of_the_last_look(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        first, second, third = [await s.record(f"{name}.wav") for name in ("one", "two", "three")]
        await s.run()
        await s.undo(str(s.archive / "two.wav"))
        assert names(s.folder) == {"two.wav"}
        await s.undo(str((await s.journal())[0]["number"]))
        assert len(names(s.folder)) == 2
        await s.undo()
        assert {first, second, third} == set(s.folder.iterdir())

    play(tmp_path, act, **archiving(tmp_path))


def test_what_cannot_be_taken_back_says_why(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        with pytest.raises(PermanentError, match="There is nothing to take back"):
            await s.undo()
        path = await s.record("call.wav")
        await s.run()
        with pytest.raises(PermanentError, match="Nothing was done with 7"):
            await s.undo("7")
        (s.trash / "files/call.wav").unlink()
        assert reasons((await s.undo("1"))["refused"]) == {
            "call.wav": f"{s.trash}/files/call.wav is not there any more"
        }
        await s.record("call.wav")
        await s.run()
        await s.undo(str(path))
        with pytest.raises(PermanentError, match="2 was taken back already"):
            await s.undo("2")

    play(tmp_path, act, action="trash", **NOW)


def test_what_was_changed_in_the_archive_is_not_taken_for_the_original(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.record("call.wav")
        await s.run()
        (s.archive / "call.wav").write_bytes(b"edited")
        refused = reasons((await s.undo())["refused"])
        assert "was changed since" in refused["call.wav"]
        assert (s.archive / "call.wav").read_bytes() == b"edited"

    play(tmp_path, act, **archiving(tmp_path))


def test_nothing_that_was_finished_before_is_touched_unless_asked(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        early = await s.record("early.wav", is_heard=False)
        await s.record("late.wav")
        assert reasons((await s.run())["left"]) == {
            "early.wav": "it was finished before cleanup was switched on for its folder"
        }
        assert names(s.archive) == {"late.wav"}
        for doubtful in ("no", "false", 1):
            with pytest.raises(PermanentError, match="include_earlier must be true or false"):
                await s.run(include_earlier=doubtful)
        assert early.exists()
        await s.run(include_earlier=True)
        assert not early.exists()

    play(tmp_path, act, **archiving(tmp_path))


def test_a_policy_that_changes_begins_anew(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        s.clock.advance(60)
        await s.restart(default={"action": "delete", "after_days": 0})
        assert (await s.run())["done"] == []
        assert path.exists()

    play(tmp_path, act, **archiving(tmp_path, after_days=30))


def test_what_it_hears_of_while_it_runs_is_what_it_may_touch(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav", is_heard=False)
        (file,) = await s.library.finished()
        context = {"metadata": {"transcript_id": file.transcript_id}}
        restored = event_for(
            "transcription_local.completed", {"context": context, "transcription": {"status": "restored"}}
        )
        await s.plugin.handle(restored)
        assert (await s.plan())["due"] == []
        await s.plugin.handle(event_for("transcription_local.completed", {"context": context}))
        assert [due["path"] for due in (await s.plan())["due"]] == [str(path)]

    play(tmp_path, act, **archiving(tmp_path))


def test_what_was_done_is_told_once_for_each_recording_with_the_bytes(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        one, two = s.folder / "one.wav", s.folder / "two.wav"
        one.write_bytes(b"x" * 100)
        two.write_bytes(b"y" * 50)
        await s.transcribe(one, two)
        s.clock.advance(1)
        await s.record("three.wav", b"z" * 7)
        recordings = [file.recording_id for file in await s.library.finished()]
        await s.run()
        await s.run()
        async with s.database.reading() as connection:
            rows = await (await connection.execute("SELECT correlation_id, data FROM events")).fetchall()
        freed = {row["correlation_id"]: json.loads(row["data"])["bytes_freed"] for row in rows}
        assert freed == {recordings[0]: 150, recordings[2]: 7}
        assert len(list(rows)) == 2

    play(tmp_path, act, action="delete", **NOW)


def test_what_was_heard_of_recordings_that_are_gone_is_not_kept_for_ever(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.record("gone.wav")
        await s.run()
        await s.record("new.wav")
        assert len(await s.plugin.list_state("finished/")) == 2
        await s.pass_days(2)
        await s.restart(default={"action": "archive", "archive": str(s.archive), "after_days": 5})
        await s.run()
        assert len(await s.plugin.list_state("finished/")) == 1

    play(tmp_path, act, **archiving(tmp_path))


def test_what_is_forgotten_leaves_the_journal_too(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.record("call.wav")
        (file,) = await s.library.finished()
        await s.run()
        await s.plugin.handle(event_for("recording.forgotten", {"recording_id": file.recording_id}))
        assert await s.journal() == []
        assert file.recording_id not in str(await s.plugin.list_state())

    play(tmp_path, act, **archiving(tmp_path))


def test_all_tracks_of_a_recording_go_or_none(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        for name in ("a_mic.wav", "a_sys.wav", "b_mic.wav", "b_sys.wav"):
            (s.folder / name).write_bytes(name.encode())
        await s.transcribe(s.folder / "a_mic.wav", s.folder / "a_sys.wav")
        await s.transcribe(s.folder / "b_mic.wav", s.folder / "b_sys.wav")
        os.link(s.folder / "b_sys.wav", tmp_path / "other-name.wav")
        await s.run()
        assert names(s.archive) == {"a_mic.wav", "a_sys.wav"}

    play(tmp_path, act, **archiving(tmp_path))


def test_a_folder_that_is_too_big_loses_its_oldest_until_it_is_not(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        for number in range(4):
            await s.record(f"{number}.wav", bytes([number]) * 100)
            s.clock.advance(1)
        await s.run()
        assert names(s.folder) == {"2.wav", "3.wav"}
        await s.run()
        assert names(s.folder) == {"2.wav", "3.wav"}

    play(tmp_path, act, action="archive", archive=str(tmp_path / "archive"), max_folder_size="250 B")


def test_an_archive_on_the_same_disk_frees_nothing(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.record("call.wav")
        left = reasons((await s.run())["left"])
        assert left == {"call.wav": "its archive is on the same disk: that would free nothing"}

    play(tmp_path, act, action="archive", archive=str(tmp_path / "archive"), min_free="900 TB")
