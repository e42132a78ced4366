from __future__ import annotations

from pathlib import Path

import pytest

from panotti_daemon.core.plugins.manifest import read_manifest
from panotti_daemon.errors import PluginRefused
from panotti_daemon.paths import bundled
from panotti_daemon.plugin_kit.check import check
from panotti_daemon.plugin_kit.scaffold import new_plugin

MOST_LINES = 40


def test_a_new_plugin_passes_its_check_and_its_own_tests(tmp_path: Path) -> None:
    assert list(check(new_plugin("meeting_log", tmp_path), {})) == []


def test_a_new_plugin_is_switched_on_and_has_its_own_name_everywhere(tmp_path: Path) -> None:
    folder = new_plugin("meeting_log", tmp_path / "not" / "yet" / "there")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "plugin.py", "plugin.yaml", "test_plugin.py"]
    assert not [path.name for path in folder.iterdir() if "example" in path.read_text(encoding="utf-8")]
    manifest = read_manifest(folder)
    assert (manifest.name, manifest.enabled, manifest.emits) == ("meeting_log", True, ("meeting_log.noted",))
    assert [path.name for path in folder.parent.iterdir()] == ["meeting_log"]


@pytest.mark.parametrize("name", ["Meeting", "1st", "a-b", "", "../up", "a.b", "x" * 61])
def test_a_name_that_no_plugin_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PluginRefused, match="begins with a letter"):
        new_plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginRefused, match="comes with Panotti"):
        new_plugin("transcription_local", tmp_path)
    new_plugin("meeting_log", tmp_path)
    with pytest.raises(PluginRefused, match="is there already"):
        new_plugin("meeting_log", tmp_path)


def test_the_example_is_short_and_switched_off() -> None:
    example = bundled("plugins") / "example"
    assert len((example / "plugin.py").read_text(encoding="utf-8").splitlines()) < MOST_LINES
    assert not read_manifest(example).enabled
