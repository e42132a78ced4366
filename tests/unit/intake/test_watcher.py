from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from panotti_daemon.intake.watcher import (
    NETWORK_POLL_SECONDS,
    FolderState,
    Scan,
    State,
    Watcher,
    as_scanned,
    polling_seconds,
)
from panotti_daemon.settings import WatchFolder


class Receiver:
    async def scanned(self, folder: WatchFolder, scan: Scan) -> None:
        raise NotImplementedError

    async def hinted(self, folder: WatchFolder, paths: set[Path]) -> None:
        raise NotImplementedError

    def folders_changed(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("state", "reason", "problem"),
    [
        ("missing", None, None),
        ("missing", "the folder is not there", "/in: the folder is not there"),
        ("unreadable", "Permission denied", "/in: Permission denied"),
        ("polling", "the system tells of no changes there", None),
        ("watching", None, None),
    ],
)
def test_a_folder_is_a_problem_while_nothing_of_it_is_seen_and_it_is_known_why(
    state: State, reason: str | None, problem: str | None
) -> None:
    assert FolderState(WatchFolder(path=Path("/in"), output=Path("/out")), state, reason).problem == problem


def test_a_folder_reached_by_a_link_is_polled_where_its_network_drive_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "share"
    (share / "calls").mkdir(parents=True)
    (tmp_path / "link").symlink_to(share / "calls")
    mounted = SimpleNamespace(mountpoint=str(share), fstype="cifs")
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [mounted])
    link = WatchFolder(path=tmp_path / "link", output=tmp_path)
    beside = WatchFolder(path=tmp_path, output=tmp_path)
    assert polling_seconds(link) == NETWORK_POLL_SECONDS
    assert polling_seconds(beside) is None


@pytest.mark.parametrize(("name", "outputs"), [("Texts", "texts"), ("cafe\u0301", "caf\u00e9")])
def test_a_folder_of_outputs_is_left_out_however_the_settings_spell_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, outputs: str
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    folder = WatchFolder(path=tmp_path, output=tmp_path / outputs)
    watcher = Watcher([folder], Receiver(), rescan_seconds=1, left_out=[tmp_path / outputs])
    assert watcher.is_left_out(tmp_path / name / "call.wav", tmp_path)
    assert not watcher.is_left_out(tmp_path / "other" / "call.wav", tmp_path)


def test_of_two_folders_whose_names_differ_in_their_spelling_alone_each_has_its_own_files(tmp_path: Path) -> None:
    folders = [WatchFolder(path=tmp_path / name, output=tmp_path) for name in ("cafe\u0301", "caf\u00e9")]
    watcher = Watcher(folders, Receiver(), rescan_seconds=1, left_out=[])
    assert [watcher.folder_of(folder.path / "call.wav") for folder in folders] == folders


def test_a_file_in_a_folder_inside_another_belongs_to_it_however_the_settings_spell_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    outer = WatchFolder(path=tmp_path / "calls", output=tmp_path)
    inner = WatchFolder(path=tmp_path / "Calls" / "inner", output=tmp_path)
    watcher = Watcher([outer, inner], Receiver(), rescan_seconds=1, left_out=[])
    assert watcher.folder_of(tmp_path / "calls" / "Inner" / "call.wav") == inner


def test_an_event_is_a_hint_at_what_a_scan_finds_also_where_the_folder_is_a_link() -> None:
    assert as_scanned("/mnt/calls/a/b.wav", "/mnt/calls", Path("/in")) == Path("/in/a/b.wav")
    assert as_scanned("/b.wav", "/", Path("/")) == Path("/b.wav")


def test_an_event_that_names_the_folder_in_another_way_is_no_hint() -> None:
    assert as_scanned("/Users/ann/Calls/b.wav", "/Users/ann/calls", Path("/Users/ann/calls")) is None
