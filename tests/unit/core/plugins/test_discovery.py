from __future__ import annotations

import os
from pathlib import Path

import pytest

from panotti_daemon.core.plugins.discovery import discover
from tests.unit.core.plugins.managed import outcome, plugin


def names(*parents: Path) -> list[str]:
    return [folder.name for folder in discover(parents)]


def test_parents_are_looked_through_in_their_order_and_a_missing_one_is_none(tmp_path: Path) -> None:
    plugin(tmp_path / "second", "a")
    plugin(tmp_path / "first", "z")
    plugin(tmp_path / "first", "b")
    assert names(tmp_path / "first", tmp_path / "nowhere", tmp_path / "second") == ["b", "z", "a"]


def test_what_is_no_plugin_is_left_alone(tmp_path: Path) -> None:
    for name in (".git", "__pycache__", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / ".git" / "plugin.yaml").touch()
    (tmp_path / "plugin.yaml").touch()
    assert names(tmp_path) == []


def test_a_linked_folder_is_a_plugin_and_a_link_to_nowhere_a_broken_one(tmp_path: Path) -> None:
    source = plugin(tmp_path / "elsewhere", "linked")
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "linked").symlink_to(source)
    (tmp_path / "plugins" / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "plugins" / "itself").symlink_to(tmp_path / "plugins" / "itself")
    found = outcome(tmp_path)
    assert found["linked"] == ("running", None)
    for name in ("dangling", "itself"):
        state, reason = found[name]
        assert state == "failed"
        assert str(reason).startswith(f"{tmp_path / 'plugins' / name / 'plugin.yaml'} cannot be read: ")


def test_code_without_a_manifest_is_named(tmp_path: Path) -> None:
    (plugin(tmp_path / "plugins", "bare") / "plugin.yaml").unlink()
    manifest = tmp_path / "plugins" / "bare" / "plugin.yaml"
    assert outcome(tmp_path) == {"bare": ("failed", f"{manifest} cannot be read: No such file or directory")}


def test_a_parent_that_cannot_be_read_keeps_no_other_from_being_looked_through(tmp_path: Path) -> None:
    (tmp_path / "a_file").touch()
    plugin(tmp_path / "plugins", "fine")
    assert names(tmp_path / "a_file", tmp_path / "plugins") == ["fine"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_plugin_that_keeps_us_out_is_named(tmp_path: Path) -> None:
    folder = plugin(tmp_path / "plugins", "locked")
    folder.chmod(0)
    try:
        assert outcome(tmp_path)["locked"][0] == "failed"
    finally:
        folder.chmod(0o700)
