"""Wherever cleanup is broken off, the recording is whole in one place afterwards."""

from __future__ import annotations

import io
import os
import wave
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from panotti_daemon.testing import event_for
from plugins.cleanup_files.cleaner import Cleaner
from tests.plugins.cleanup_scene import ACTIONS, Scene, census, names, play
from tests.speech import SAMPLE


@pytest.fixture(autouse=True)
def _trash_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def _moment_of_speech() -> bytes:
    with wave.open(str(SAMPLE)) as sample:
        frames = sample.readframes(sample.getframerate() // 5)
        content = io.BytesIO()
        with wave.open(content, "wb") as clip:
            clip.setparams(sample.getparams())
            clip.writeframes(frames)
    return content.getvalue()


class PowerCut(BaseException):
    pass


class Power:
    """Goes out at the n-th change of the file system, and stays out."""

    CHANGES = ("rename", "replace", "link", "unlink", "utime", "fsync")

    def __init__(self, patch: pytest.MonkeyPatch, watched: tuple[Path, ...]) -> None:
        self._patch = patch
        self._watched = tuple(str(folder) for folder in watched)
        self.left = 10**9

    def cut_at(self, number: int) -> None:
        self.left = number
        for name in self.CHANGES:
            self._patch.setattr(os, name, self._metered(getattr(os, name)))

    def is_out(self) -> bool:
        self._patch.undo()
        return self.left < 0

    def _metered(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def metered(*arguments: Any, **options: Any) -> Any:
            if isinstance(arguments[0], int) or str(arguments[0]).startswith(self._watched):
                self.left -= 1
                if self.left < 0:
                    raise PowerCut
            return change(*arguments, **options)

        return metered


async def _until_power_cut(work: Awaitable[Any]) -> None:
    try:
        await work
    except PowerCut:
        return


@pytest.mark.parametrize("is_elsewhere", [False, True], ids=["one disk", "two disks"])
@pytest.mark.parametrize("action", ACTIONS)
def test_wherever_the_power_goes_the_recording_is_whole_in_one_place_afterwards(
    action: str, is_elsewhere: bool, tmp_path: Path, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = _moment_of_speech()
    cuts = 0
    for cut in range(100):
        base = tmp_path / str(cut)
        archive = other_disk / str(cut) if is_elsewhere else base / "archive"
        for folder in (base, archive):
            folder.mkdir(parents=True)
        monkeypatch.setenv("XDG_DATA_HOME", str(base / "home"))
        is_out = False

        async def act(s: Scene, cut: int = cut, archive: Path = archive) -> None:
            nonlocal is_out
            path = await s.record("call.wav", content)
            before = census(s.folder)
            with monkeypatch.context() as patch:
                power = Power(patch, (s.folder, archive, s.trash))
                power.cut_at(cut)
                await _until_power_cut(s.run())
                is_out = power.is_out()
            await s.restart()
            await s.run(include_earlier=True)
            assert not path.exists()
            kept = census(s.folder, archive, s.trash)
            assert kept & before == (Counter() if action == "delete" else before)
            assert not [name for name in names(s.folder) | names(archive) if "panotti" in name]
            if action != "delete":
                with monkeypatch.context() as patch:
                    power = Power(patch, (s.folder, archive, s.trash))
                    power.cut_at(cut)
                    await _until_power_cut(s.undo())
                    is_out = power.is_out() or is_out
                await s.restart()
                await s.plan()
                await s.run()
                if not path.exists():
                    await s.undo()
                assert path.read_bytes() == content
                assert names(s.folder) == {"call.wav"}
                assert names(archive) | names(s.trash) == set()

        play(base, act, action, archive)
        cuts += is_out
        if not is_out:
            break
    assert cuts >= 3


def cut_power(*_: Any) -> Any:
    raise PowerCut


async def break_off(s: Scene, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Runs until the cleaner would do this, as a crash does."""
    with monkeypatch.context() as patch:
        patch.setattr(Cleaner, at, cut_power)
        with pytest.raises(PowerCut):
            await s.run()


def test_a_trash_that_was_emptied_after_a_crash_takes_nothing_else_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(s: Scene) -> None:
        await s.record("call.wav", SAMPLE.read_bytes())
        await break_off(s, monkeypatch, "_is_done")
        for path in (s.trash / "files/call.wav", s.trash / "info/call.wav.trashinfo"):
            path.unlink()
        await s.restart()
        await s.run()
        assert names(s.archive) == {"call.flac"}
        assert [entry["step"] for entry in await s.journal()] == ["done"]

    play(tmp_path, act, "flac")


@pytest.mark.parametrize("action", ["archive", "flac", "trash", "delete"])
def test_a_recording_that_was_on_its_way_is_waited_for_while_its_drive_is_away(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav", SAMPLE.read_bytes())
        await break_off(s, monkeypatch, "_put_away")
        s.folder.rename(tmp_path / "away")
        await s.restart()
        await s.run()
        assert [entry["step"] for entry in await s.journal()] == ["doing"]
        assert "is on its way" in (await s.plugin.health()).message
        (tmp_path / "away").rename(s.folder)
        await s.restart(default={"action": "keep"})
        await s.run()
        assert path.read_bytes() == SAMPLE.read_bytes()
        assert names(s.folder) == {"call.wav"}

    play(tmp_path, act, action)


def test_what_somebody_else_took_away_was_not_deleted_by_cleanup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(s: Scene) -> None:
        path = await s.record("call.wav")
        await break_off(s, monkeypatch, "_claim")
        path.unlink()
        await s.restart()
        await s.run()
        assert await s.journal() == []

    play(tmp_path, act, "delete")


def test_what_is_forgotten_after_a_crash_leaves_the_journal_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(s: Scene) -> None:
        await s.record("call.wav")
        (file,) = await s.library.finished()
        await break_off(s, monkeypatch, "_is_done")
        await s.plugin.handle(event_for("recording.forgotten", {"recording_id": file.recording_id}))
        assert await s.journal() == []
        assert names(s.archive) == {"call.wav"}

    play(tmp_path, act, "archive")
