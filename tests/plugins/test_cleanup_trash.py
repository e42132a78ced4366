from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plugins.cleanup_files.trash import Spot, remove_info, spot_for, write_info

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def test_a_name_that_is_taken_by_a_file_or_only_by_its_info_gets_a_number(tmp_path: Path) -> None:
    call = tmp_path / "call.wav"
    first = spot_for(call, tmp_path / "holding")
    assert first.info
    write_info(first.info, call, AT)
    second = spot_for(call, tmp_path / "holding")
    assert second.file.name == "call (2).wav"
    second.file.touch()
    assert spot_for(call, tmp_path / "holding").file.name == "call (3).wav"


def test_a_trash_that_all_users_of_a_disk_share_is_used_if_it_is_safe(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "panotti-test", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted")
    try:
        shared = disk / ".Trash"
        shared.mkdir()
        assert spot_for(disk / "call.wav", tmp_path).file.parents[1] == disk / f".Trash-{os.getuid()}"
        shared.chmod(0o1777)
        assert spot_for(disk / "call.wav", tmp_path).file.parents[1] == shared / str(os.getuid())
        shared.rmdir() if not any(shared.iterdir()) else shutil.rmtree(shared)
        shared.symlink_to(tmp_path)
        assert spot_for(disk / "call.wav", tmp_path).file.parents[1] == disk / f".Trash-{os.getuid()}"
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_the_info_of_somebody_else_is_not_removed(tmp_path: Path) -> None:
    info = spot_for(tmp_path / "call.wav", tmp_path).info
    assert info
    info.write_text("[Trash Info]\nPath=/elsewhere/call.wav\nDeletionDate=2026-03-01T12:00:00\n")
    remove_info(info, tmp_path / "call.wav")
    assert info.exists()


def test_our_own_info_is_removed_and_none_is_no_error(tmp_path: Path) -> None:
    info = spot_for(tmp_path / "call.wav", tmp_path).info
    assert info
    write_info(info, tmp_path / "call.wav", AT)
    remove_info(info, tmp_path / "call.wav")
    assert not info.exists()
    remove_info(info, tmp_path / "call.wav")


def test_an_info_has_the_time_of_where_the_computer_is_and_is_removed_from_anywhere(
    tmp_path: Path, travel: Callable[[str], None]
) -> None:
    info = spot_for(tmp_path / "call.wav", tmp_path).info
    assert info
    travel("EST5")
    write_info(info, tmp_path / "call.wav", AT)
    assert info.read_text().endswith("DeletionDate=2026-03-01T07:00:00\n")
    travel("JST-9")
    remove_info(info, tmp_path / "call.wav")
    assert not info.exists()


def test_where_a_systems_trash_gives_nothing_back_panotti_holds_the_file_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert spot_for(tmp_path / "call.wav", tmp_path / "held") == Spot(tmp_path / "held" / "call.wav")
    (tmp_path / "held" / "call.wav").touch()
    assert spot_for(tmp_path / "call.wav", tmp_path / "held").file.name == "call (2).wav"
