from __future__ import annotations

import re
from pathlib import Path

import pytest

from panotti_daemon.cli.first_run import commented_settings, welcome
from panotti_daemon.paths import Paths
from panotti_daemon.settings import load


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.from_environment({"PANOTTI_HOME": str(tmp_path / "home")})
    found.create()
    return found


def test_the_first_run_writes_settings_and_says_where(paths: Paths) -> None:
    defaults = load(paths)
    where, login = welcome(paths)
    assert str(paths.config_file) in where
    assert "panotti autostart enable" in login
    assert str(paths.recordings) in paths.config_file.read_text()
    assert load(paths).model_dump() == defaults.model_dump()


def test_what_is_commented_out_is_what_holds(paths: Paths) -> None:
    defaults = load(paths)
    uncommented = re.sub(r"^# (?=\s*(?:- )?[a-z_]+:)", "", commented_settings(paths), flags=re.MULTILINE)
    assert uncommented.count("\n#") < commented_settings(paths).count("\n#") - 10
    paths.config_file.write_text(uncommented)
    shown = load(paths)
    assert (shown.watch, shown.engine) == (defaults.watch, defaults.engine)
    assert (shown.polite, shown.tray) == (defaults.polite, defaults.tray)


def test_settings_that_are_there_are_left_alone(paths: Paths) -> None:
    paths.config_file.write_text("rescan_seconds: 60\n")
    assert welcome(paths) == []
    assert paths.config_file.read_text() == "rescan_seconds: 60\n"


def test_only_the_first_run_writes_settings(paths: Paths) -> None:
    paths.database.touch()
    assert welcome(paths) == []
    assert not paths.config_file.exists()


def test_a_home_that_takes_no_settings_is_no_obstacle(paths: Paths) -> None:
    paths.config.rmdir()
    paths.config.touch()
    (line,) = welcome(paths)
    assert "could not be written" in line
