from __future__ import annotations

import sys
from pathlib import Path

import pytest

from panotti_daemon.errors import PanottiError
from panotti_daemon.paths import Paths, bundled


def test_panotti_home_holds_everything(tmp_path: Path) -> None:
    paths = Paths.from_environment({"PANOTTI_HOME": str(tmp_path)})
    places = (
        paths.config_file,
        paths.database,
        paths.log_file,
        paths.runtime_file,
        paths.recordings,
        paths.transcripts,
    )
    assert all(place.is_relative_to(tmp_path) for place in places)


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Paths.from_environment({"PANOTTI_HOME": "home"}).database == tmp_path / "home" / "data" / "panotti.db"


def test_our_own_folders_are_closed_to_other_users(tmp_path: Path) -> None:
    paths = Paths.from_environment({"PANOTTI_HOME": str(tmp_path)})
    paths.create()
    for folder in (paths.config, paths.data, paths.state, paths.cache, paths.runtime):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_home_that_cannot_be_made_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PanottiError, match="file/config cannot be made: Not a directory"):
        Paths.from_environment({"PANOTTI_HOME": str(tmp_path / "file")}).create()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have one")
def test_without_a_login_session_the_token_is_not_put_where_anybody_could_prepare_the_folder() -> None:
    paths = Paths.from_environment({})
    assert paths.runtime == paths.state / "run"


@pytest.mark.parametrize("name", ["plugins", "resources"])
def test_what_comes_with_panotti_is_found_in_a_checkout(name: str) -> None:
    assert bundled(name).is_dir()
