"""Everything that could make cleanup touch the wrong file, or lose the right one."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from panotti_daemon.testing import transcription
from plugins.cleanup_files import cleaner
from plugins.cleanup_files.checks import look_into
from plugins.cleanup_files.moves import copy
from tests.plugins.cleanup_scene import ACTIONS, Scene, census, names, play, reasons
from tests.speech import SAMPLE


@pytest.fixture(autouse=True)
def _trash_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small disk of its own; skips where nothing can be mounted."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "panotti-test", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("action", ACTIONS)
def test_no_trap_is_touched_and_nothing_is_lost(action: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    async def act(s: Scene) -> None:
        linked = await s.record("linked.wav", b"linked")
        linked.rename(elsewhere / "linked.wav")
        linked.symlink_to(elsewhere / "linked.wav")
        reached = await s.record("sub/reached.wav", b"reached")
        reached.parent.rename(elsewhere / "sub")
        (s.folder / "sub").symlink_to(elsewhere / "sub")
        os.link(await s.record("twice.wav", b"twice"), elsewhere / "twice.wav")
        replaced = await s.record("replaced.wav", b"before")
        time = replaced.stat().st_mtime_ns
        replaced.write_bytes(b"after!")
        os.utime(replaced, ns=(time, time))
        (await s.record("grown.wav", b"grown")).write_bytes(b"grown since")
        (await s.record("folder.wav", b"folder")).unlink()
        (s.folder / "folder.wav").mkdir()
        (await s.record("gone.wav", b"gone")).unlink()
        await s.record("keep-this.wav", b"protected")
        written = await s.record("written.wav", b"written")
        for file in await s.library.finished():
            (s.folder / f"{file.recording_id}.wav").write_bytes(b"not transcribed")
            (s.folder / f"notes on {file.recording_id}.txt").write_bytes(b"notes")
            break
        before, there = census(s.base), names(s.folder)
        with written.open("ab"):
            answer = await s.run()
        assert answer["done"] == []
        assert names(s.folder) == there
        assert census(s.base) == before
        assert names(s.archive) | names(s.trash) == set()
        assert reasons(answer["left"] + answer["refused"]) == {
            "linked.wav": "it is a link",
            "reached.wav": "it is reached through a link",
            "twice.wav": "it has another name, a hard link: to move it would free nothing",
            "replaced.wav": "it changed since it was transcribed",
            "grown.wav": "it changed since it was transcribed",
            "folder.wav": "it is no regular file",
            "gone.wav": f"{s.folder}/gone.wav: it is not there; is its drive connected?",
            "keep-this.wav": "it is protected: keep-*",
            "written.wav": "another program has it open for writing",
        }

    play(tmp_path, act, action, protect=["keep-*"])


def test_a_recording_that_stands_outside_of_all_watched_folders_is_left_alone(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = s.base / "outside.wav"
        path.write_bytes(b"outside")
        await s.transcribe(path)
        assert reasons((await s.run())["left"]) == {"outside.wav": "it is in no watched folder"}
        assert path.exists()

    play(tmp_path, act, "delete")


def test_a_watched_folder_that_is_a_link_itself_is_its_users_choice(tmp_path: Path) -> None:
    (tmp_path / "drive").mkdir()
    (tmp_path / "in").symlink_to(tmp_path / "drive")

    async def act(s: Scene) -> None:
        await s.record("call.wav")
        await s.run()
        assert names(s.archive) == {"call.wav"}

    play(tmp_path, act, "archive")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda out: (out / "call.txt").unlink(), "call.txt is not there"),
        (lambda out: (out / "call.txt").write_text(""), "call.txt is empty"),
        (lambda out: (out / "call.json").write_text("{}"), "call.json was edited or damaged"),
        (lambda out: (out / "call.json").unlink(), "call.json is not there"),
    ],
    ids=["missing", "empty", "damaged", "no json"],
)
def test_without_whole_transcripts_no_recording_goes(
    damage: Callable[[Path], object], reason: str, tmp_path: Path
) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        damage(s.base / "out")
        assert reason in reasons((await s.run())["left"])["call.wav"]
        assert path.exists()

    play(tmp_path, act, "delete")


def test_little_text_for_much_speech_is_no_transcript_to_rely_on(tmp_path: Path) -> None:
    thin = transcription("Hello.").model_copy(update={"speech_seconds": 60.0})

    async def act(s: Scene) -> None:
        await s.record("call.wav", result=thin)
        assert reasons((await s.run())["left"]) == {"call.wav": "little of the speech in it became text"}

    play(tmp_path, act, "delete")


@pytest.mark.parametrize(
    ("action", "incomplete", "goes"),
    [("archive", False, True), ("archive", True, False), ("trash", True, False), ("delete", False, False)],
)
def test_what_nobody_could_read_is_not_deleted_nor_moved_half(
    action: str, incomplete: bool, goes: bool, tmp_path: Path
) -> None:
    """A copy that broke off is worth another look, and a voice that was not heard may be one."""

    async def act(s: Scene) -> None:
        path = await s.record("call.wav", result=transcription(), incomplete=incomplete)
        left = reasons((await s.run())["left"])
        assert path.exists() is not goes
        assert ("no speech was found" in left.get("call.wav", "")) is not goes

    play(tmp_path, act, action)


def test_an_edited_text_is_its_users_and_holds_nothing_up(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.record("call.wav")
        (s.base / "out/call.txt").write_text("What I made of it.")
        await s.run()
        assert names(s.archive) == {"call.wav"}

    play(tmp_path, act, "archive")


@pytest.mark.parametrize("action", ACTIONS)
def test_a_file_that_is_replaced_in_the_last_moment_is_not_touched(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav", SAMPLE.read_bytes())

        def and_then_it_is_replaced(*arguments: Any) -> Any:
            found = look_into(*arguments)
            path.rename(path.with_name("moved.wav"))
            path.write_bytes(b"a new one")
            return found

        monkeypatch.setattr(cleaner, "look_into", and_then_it_is_replaced)
        before = census(s.folder)
        answer = await s.run()
        assert answer["done"] == []
        assert before <= census(s.folder)
        assert path.read_bytes() == b"a new one"
        assert (s.folder / "moved.wav").read_bytes() == SAMPLE.read_bytes()
        assert names(s.archive) | {name for name in names(s.trash) if not name.startswith("info")} == set()

    play(tmp_path, act, action)


def test_a_read_only_folder_is_left_and_tried_again(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        subprocess.run(["mount", "-o", "remount,ro", str(s.folder)], check=True)
        assert reasons((await s.run())["left"]) == {"call.wav": f"{s.folder} cannot be written"}
        subprocess.run(["mount", "-o", "remount,rw", str(s.folder)], check=True)
        assert path.exists()
        await s.run()
        assert names(s.archive) == {"call.wav"}

    with mounted(tmp_path / "in", "size=1m"):
        play(tmp_path, act, "archive")


@pytest.mark.parametrize("action", ["archive", "flac", "opus"])
def test_a_full_archive_loses_nothing_says_so_and_is_tried_again(action: str, tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav", SAMPLE.read_bytes())
        _fill(s.archive / "filler")
        before = census(s.folder, s.trash)
        (reason,) = reasons((await s.run())["refused"]).values()
        assert "full" in reason or "No space left" in reason
        assert census(s.folder, s.trash) == before
        assert names(s.archive) == {"filler"}
        assert names(s.folder) == {"call.wav"}
        assert not (await s.plugin.health()).ok
        (s.archive / "filler").unlink()
        await s.run()
        assert not path.exists()
        assert len(names(s.archive)) == 1
        assert (await s.plugin.health()).ok

    with mounted(tmp_path / "archive", "size=1m"):
        play(tmp_path, act, action)


def test_where_there_is_no_trash_nothing_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("no folder")

    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        (reason,) = reasons((await s.run())["refused"]).values()
        assert reason.startswith("there is no trash on its disk")
        assert path.exists()
        (tmp_path / "home").unlink()
        await s.run()
        assert names(s.trash) == {"files/call.wav", "info/call.wav.trashinfo"}

    play(tmp_path, act, "trash")


def test_another_disk_has_a_trash_of_its_own(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("sub/call.wav")
        await s.run()
        trash = s.folder / f".Trash-{os.getuid()}"
        assert "\nPath=sub/call.wav\n" in (trash / "info/call.wav.trashinfo").read_text()
        await s.undo()
        assert path.exists()
        assert names(trash) == set()

    with mounted(tmp_path / "in", "size=1m"):
        play(tmp_path, act, "trash")


def test_a_trash_that_leads_elsewhere_is_none(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        (s.folder / "strangers").mkdir()
        (s.folder / f".Trash-{os.getuid()}").symlink_to("strangers")
        assert "is a link" in reasons((await s.run())["refused"])["call.wav"]
        assert path.exists()
        assert list((s.folder / "strangers").iterdir()) == []

    with mounted(tmp_path / "in", "size=1m"):
        play(tmp_path, act, "trash")


def test_a_full_disk_does_not_send_one_recording_after_the_other_into_its_trash(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        for number in range(4):
            await s.record(f"{number}.wav", b"%d" % number * 800_000)
            s.clock.advance(1)
        await s.run()
        await s.run()
        left = {name for name in names(s.folder) if not name.startswith(".")}
        assert left == {"1.wav", "2.wav", "3.wav"}

    with mounted(tmp_path / "in", "size=4m"):
        play(tmp_path, act, "trash", after_days=None, min_free="1.5 MB")


def test_an_archive_that_is_not_connected_is_waited_for(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        s.archive.rmdir()
        (reason,) = reasons((await s.run())["refused"]).values()
        assert "is not there: make that folder, or connect its drive" in reason
        assert path.exists()

    play(tmp_path, act, "archive")


def test_an_archive_whose_mount_point_is_empty_is_waited_for(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        subprocess.run(["umount", "--lazy", str(s.archive)], check=True)
        for _ in range(2):
            assert "connect its drive" in reasons((await s.run())["refused"])["call.wav"]
            await s.restart()
        assert path.exists()
        subprocess.run(["mount", "-t", "tmpfs", "panotti-test", str(s.archive)], check=True)
        await s.run()
        assert names(s.archive) == {"call.wav"}

    with mounted(tmp_path / "archive", "size=1m"):
        play(tmp_path, act, "archive")


def test_nothing_comes_back_to_a_mount_point_without_its_drive(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        await s.record("call.wav")
        await s.run()
        subprocess.run(["umount", "--lazy", str(s.folder)], check=True)
        assert "is its drive connected?" in reasons((await s.undo())["refused"])["call.wav"]
        assert names(s.folder) == set()
        assert names(s.archive) == {"call.wav"}
        subprocess.run(["mount", "-t", "tmpfs", "panotti-test", str(s.folder)], check=True)
        await s.undo()
        assert names(s.folder) == {"call.wav"}

    with mounted(tmp_path / "in", "size=1m"):
        play(tmp_path, act, "archive")


def test_a_recording_that_stands_in_its_archive_keeps_its_name(tmp_path: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        assert reasons((await s.run())["refused"]) == {"call.wav": "it stands in its archive already"}
        assert path.exists()

    play(tmp_path, act, "archive", tmp_path / "in")


def test_what_was_private_is_private_while_it_is_copied_to_another_disk(
    tmp_path: Path, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        path.chmod(0o640)
        seen: set[int] = set()
        copystat = shutil.copystat

        def look_at_mode(source: Path, target: Path) -> None:
            seen.add(stat.S_IMODE(target.stat().st_mode))
            copystat(source, target)

        monkeypatch.setattr(shutil, "copystat", look_at_mode)
        await s.run()
        assert seen == {0o600}
        assert stat.S_IMODE((other_disk / "call.wav").stat().st_mode) == 0o640

    play(tmp_path, act, "archive", other_disk)


def test_to_another_disk_and_back_the_bytes_and_the_time_are_the_same(tmp_path: Path, other_disk: Path) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        content, time = path.read_bytes(), path.stat().st_mtime_ns
        await s.run()
        assert (other_disk / "call.wav").read_bytes() == content
        assert (other_disk / "call.wav").stat().st_mtime_ns == time
        await s.undo()
        assert path.read_bytes() == content
        assert path.stat().st_mtime_ns == time
        assert names(other_disk) == set()

    play(tmp_path, act, "archive", other_disk)


def test_a_daemon_that_is_to_stop_does_not_wait_for_a_long_copy(
    tmp_path: Path, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")

        def copy_until_told(source: Path, target: Path, stopped: Callable[[], bool]) -> None:
            stopping.append(asyncio.run_coroutine_threadsafe(s.plugin.shutdown(), loop))
            while not stopped():
                time.sleep(0.01)
            copy(source, target, stopped)

        loop, stopping = asyncio.get_running_loop(), list[Any]()
        with monkeypatch.context() as patch:
            patch.setattr(cleaner, "copy", copy_until_told)
            assert (await s.run())["done"] == []
        await asyncio.wrap_future(stopping[0])
        assert path.exists()
        assert names(other_disk) == set()
        await s.restart()
        await s.run()
        assert names(other_disk) == {"call.wav"}
        assert not path.exists()

    play(tmp_path, act, "archive", other_disk)
