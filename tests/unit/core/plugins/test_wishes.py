from __future__ import annotations

import os
from pathlib import Path

import pytest

from panotti_daemon.core.plugins.wishes import StoredWishes
from panotti_daemon.errors import SettingsError
from panotti_daemon.paths import Paths


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("PANOTTI_"):
            monkeypatch.delenv(name)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.from_environment({"PANOTTI_HOME": str(tmp_path)})
    found.create()
    return found


def test_what_a_command_sets_stands_above_the_settings_file_and_survives(paths: Paths) -> None:
    written = "plugins:\n  one:\n    # mine\n    enabled: false\n    config: {a: 1, b: 1}\n"
    paths.config_file.write_text(written)
    wishes = StoredWishes(paths)
    wishes.keep("one", {"enabled": True, "config": {"b": 2}})
    for found in (wishes, StoredWishes(paths)):
        assert found.of("one").enabled is True
        assert found.of("one").config == {"a": 1, "b": 2}
        assert found.by_command("one") == {"enabled": True, "config": {"b": 2}}
        assert found.origin("one", "config", "a") == str(paths.config_file)
        assert found.origin("one", "config", "b") == str(paths.plugin_settings / "one.yaml")
        assert found.origin("one", "config", "c") is None
    assert paths.config_file.read_text() == written
    wishes.keep("one", {})
    assert wishes.of("one").config == {"a": 1, "b": 1}
    assert list(paths.plugin_settings.iterdir()) == []


def test_the_environment_stands_above_commands(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANOTTI_PLUGINS__ONE__ENABLED", "false")
    wishes = StoredWishes(paths)
    wishes.keep("one", {"enabled": True})
    assert wishes.of("one").enabled is False
    assert wishes.origin("one", "enabled") == "environment PANOTTI_PLUGINS__ONE__ENABLED"


def test_what_the_user_writes_meanwhile_is_taken_in(paths: Paths) -> None:
    wishes = StoredWishes(paths)
    paths.config_file.write_text("plugins: {one: {enabled: false}}")
    wishes.refresh()
    assert wishes.of("one").enabled is False


def test_a_mistake_meanwhile_is_said_and_leaves_what_held(paths: Paths) -> None:
    wishes = StoredWishes(paths)
    wishes.keep("one", {"enabled": False})
    paths.config_file.write_text("plugins: [")
    with pytest.raises(SettingsError, match="is not YAML"):
        wishes.refresh()
    with pytest.raises(SettingsError, match="is not YAML"):
        wishes.keep("one", {"enabled": True})
    assert wishes.of("one").enabled is False
    paths.config_file.unlink()
    wishes.refresh()
    assert wishes.of("one").enabled is False


def test_only_the_users_own_settings_name_plugins(paths: Paths) -> None:
    paths.config_file.write_text("plugins: {one: {}}")
    wishes = StoredWishes(paths)
    wishes.keep("two", {"enabled": True})
    assert wishes.names() == ["one"]


def test_a_file_that_cannot_be_written_is_said_so(paths: Paths) -> None:
    paths.plugin_settings.touch()
    wishes = StoredWishes(paths)
    with pytest.raises(SettingsError, match="cannot be written"):
        wishes.keep("one", {"enabled": True})


def test_a_plugin_that_is_not_there_is_named_with_where_it_was_written_and_what_may_be_meant(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.config_file.write_text("plugins: {oen: {enabled: true}}")
    with pytest.raises(SettingsError) as in_the_file:
        StoredWishes(paths).check_names({"one", "two"})
    assert in_the_file.value.message == f"{paths.config_file}: plugins.oen: there is no such plugin; did you mean one?"
    paths.config_file.write_text("plugins: {one: {enabled: true}}")
    monkeypatch.setenv("PANOTTI_PLUGINS__TOW__CONFIG__A", "1")
    with pytest.raises(SettingsError) as in_the_environment:
        StoredWishes(paths).check_names({"one", "two"})
    assert in_the_environment.value.message.startswith("environment PANOTTI_PLUGINS__TOW__CONFIG__A: plugins.tow: ")


def test_what_commands_left_behind_of_a_removed_plugin_is_no_mistake(paths: Paths) -> None:
    StoredWishes(paths).keep("two", {"enabled": False})
    StoredWishes(paths).check_names({"one"})
