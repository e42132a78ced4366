from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from panotti_daemon import lookout
from panotti_daemon.core.events.types import Attention
from panotti_daemon.errors import ModelUnavailable
from panotti_daemon.intake.watcher import FolderState
from panotti_daemon.lookout import Lookout
from panotti_daemon.settings import WatchFolder
from tests.unit.core.events.scene import Recorder, Scene, play

NO_MODEL = "The model 'large-v3' is not on this machine"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "panotti.db"


class Watched:
    """One folder, as the watcher sees it."""

    def __init__(self) -> None:
        self.state = FolderState(WatchFolder(path=Path("/in"), output=Path("/out")), "watching")

    def goes(self, reason: str = "the folder is not there") -> None:
        self.state.state, self.state.reason = "missing", reason

    def comes_back(self) -> None:
        self.state.state, self.state.reason = "watching", None

    def lookout(self, s: Scene, *disks: Path) -> Lookout:
        return Lookout(s.database, s.bus, s.clock, folders=lambda: [self.state], disks=disks)


async def told(s: Scene) -> list[str]:
    """What was told, in words: `+` begins, `-` ends."""
    attentions = [event.read(Attention) for event in await s.events("daemon.attention")]
    return [f"{'-' if attention.over else '+'} {attention.title}" for attention in attentions]


async def looks(lookout: Lookout, times: int) -> None:
    for _ in range(times):
        await lookout.look()


def test_a_folder_that_is_gone_is_told_once_and_once_when_it_is_back(path: Path) -> None:
    async def act(s: Scene) -> None:
        watched = Watched()
        looking = watched.lookout(s)
        watched.goes()
        await looks(looking, 5)
        assert await told(s) == ["+ in is gone"]

        watched.comes_back()
        await looks(looking, 5)
        assert await told(s) == ["+ in is gone", "- in is gone"]
        began, ended = await s.events("daemon.attention")
        assert (ended.cause_id, ended.correlation_id) == (began.id, began.id)
        assert began.data["message"] == "/in: the folder is not there."

    play(path, act)


def test_what_lasts_but_a_moment_is_neither_a_problem_nor_its_end(path: Path) -> None:
    async def act(s: Scene) -> None:
        watched = Watched()
        looking = watched.lookout(s)
        await looks(looking, 2)
        watched.goes()
        await looks(looking, 1)
        watched.comes_back()
        await looks(looking, 2)
        assert await told(s) == []

        watched.goes()
        await looks(looking, 2)
        watched.comes_back()
        await looks(looking, 1)
        watched.goes()
        await looks(looking, 2)
        assert await told(s) == ["+ in is gone"]

    play(path, act)


def test_a_restart_tells_nothing_again_and_what_has_ended_meanwhile(path: Path) -> None:
    async def act(s: Scene) -> None:
        watched = Watched()
        watched.goes()
        await looks(watched.lookout(s), 2)
        await looks(watched.lookout(s), 3)
        assert await told(s) == ["+ in is gone"]

        watched.comes_back()
        await looks(watched.lookout(s), 2)
        assert await told(s) == ["+ in is gone", "- in is gone"]

    play(path, act)


def test_a_model_that_is_missing_is_told_until_nothing_waits_for_it(path: Path) -> None:
    async def act(s: Scene) -> None:
        looking = Watched().lookout(s)
        s.subscribe("transcription_local", Recorder(ModelUnavailable(NO_MODEL)), "recording.happened")
        await s.publish("recording.happened")
        await s.until("waiting")
        await looks(looking, 2)
        [began] = await s.events("daemon.attention")
        assert (began.data["title"], began.data["message"]) == ("Recordings have to wait", NO_MODEL)

        await s.bus.wake_waiting((await s.only()).correlation_id)
        await s.until("done")
        await looks(looking, 2)
        assert await told(s) == ["+ Recordings have to wait", "- Recordings have to wait"]

    play(path, act)


def test_what_waits_for_a_folder_that_is_gone_is_not_told_beside_it(path: Path) -> None:
    async def act(s: Scene) -> None:
        watched = Watched()
        watched.goes()
        looking = watched.lookout(s)
        s.subscribe("transcription_local", Recorder(ModelUnavailable("/in is not there")), "recording.happened")
        await s.publish("recording.happened")
        await s.until("waiting")
        await looks(looking, 2)
        assert await told(s) == ["+ in is gone"]

    play(path, act)


def test_a_disk_that_is_nearly_full_is_told_once_until_there_is_ample_room(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(path.parent).free

    def nearly_full(limit: int) -> None:
        monkeypatch.setattr(lookout, "NEARLY_FULL", limit)
        monkeypatch.setattr(lookout, "NEARLY_FULL_PART", 1)

    async def act(s: Scene) -> None:
        folder = path.parent / "transcripts"
        folder.mkdir()
        looking = Watched().lookout(s, path.parent, folder, path.parent / "gone")
        nearly_full(2 * free)
        await looks(looking, 2)
        assert await told(s) == ["+ The disk is nearly full"]
        assert looking.full_disks[0].endswith(f" are left for {path.parent}. Without room, recordings have to wait.")

        nearly_full(free * 3 // 4)
        await looks(looking, 2)
        assert len(looking.full_disks) == 1
        nearly_full(0)
        await looks(looking, 2)
        assert await told(s) == ["+ The disk is nearly full", "- The disk is nearly full"]
        assert looking.full_disks == []

    play(path, act)


def test_a_small_disk_is_not_full_for_being_small(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(s: Scene) -> None:
        looking = Watched().lookout(s, path.parent)
        monkeypatch.setattr(lookout, "NEARLY_FULL", 2**60)
        await looks(looking, 2)
        disk = shutil.disk_usage(path.parent)
        assert bool(looking.full_disks) is (disk.free < disk.total / 20)

    play(path, act)


def test_what_was_told_is_stored_with_its_event_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(s: Scene) -> None:
        watched = Watched()
        watched.goes()
        looking = watched.lookout(s)
        await looks(looking, 1)

        class NoRoom:
            async def event_stored(self, *_: object) -> None:
                raise OSError("no room")

        with monkeypatch.context() as patch:
            patch.setattr(s.bus, "_projections", [NoRoom()])
            with pytest.raises(OSError, match="no room"):
                await looking.look()
        assert await told(s) == []
        await looking.look()
        assert await told(s) == ["+ in is gone"]

    play(path, act)
