from __future__ import annotations

from pathlib import Path

import pytest

from panotti_daemon.engine.models.manager import inventory, use
from panotti_daemon.errors import ModelUnavailable, SettingsError
from panotti_daemon.paths import Paths
from panotti_daemon.settings import load
from tests.hub import model_folder


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    found = Paths.from_environment({"PANOTTI_HOME": str(tmp_path)})
    found.create()
    found.config_file.write_text("# mine\nengine: {model: tiny.en, workers: 2}\n")
    return found


def test_a_choice_stands_above_the_settings_file_and_can_be_taken_back(paths: Paths) -> None:
    assert use(paths, "turbo").engine.model == "large-v3-turbo"
    assert load(paths).engine.workers == 2
    assert inventory(paths).origin == str(paths.chosen_model)
    assert use(paths, "auto").engine.model == "auto"
    assert use(paths, None).engine.model == "tiny.en"
    assert not paths.chosen_model.exists()
    assert inventory(paths).origin == str(paths.config_file)
    assert paths.config_file.read_text().startswith("# mine\n")


def test_what_is_here_or_can_be_downloaded_may_be_chosen_and_nothing_else(paths: Paths) -> None:
    own = model_folder(paths.models / "my-own")
    for name in ("my-own", str(own), "small", "somebody/their-whisper"):
        assert use(paths, name).engine.model == name
    for name in ("nonsense", "/no/such/model", "../etc", ""):
        with pytest.raises(ModelUnavailable):
            use(paths, name)
    assert load(paths).engine.model == "somebody/their-whisper"


def test_the_environment_overrules_a_choice_unless_it_says_the_same(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANOTTI_ENGINE__MODEL", "base")
    assert use(paths, "base").engine.model == "base"
    with pytest.raises(SettingsError, match="environment PANOTTI_ENGINE__MODEL says otherwise"):
        use(paths, "small")


def test_a_link_that_leads_nowhere_beside_a_model_is_no_reason_to_list_none(paths: Paths) -> None:
    own = model_folder(paths.models / "tiny")
    size = sum(file.stat().st_size for file in own.iterdir())
    (own / "LICENSE").symlink_to(paths.models / "gone")
    (listed,) = [model for model in inventory(paths).models if model.name == "tiny"]
    assert listed.size == size


def test_each_setting_and_language_of_the_folders_is_told_what_it_means(paths: Paths) -> None:
    model_folder(paths.models / "tiny")
    paths.config_file.write_text(
        "watch:\n- {path: /a, language: de}\n- {path: /b}\n- {path: /c, model: medium}\n- {path: /d, language: en}\n"
    )
    meanings = {use.folders: (use.setting, use.model, use.why) for use in inventory(paths).uses}
    assert meanings == {
        (Path("/a"),): ("auto", "tiny", "is the only one here that fits"),
        (Path("/b"),): ("auto", "tiny", "is the only one here that fits"),
        (Path("/c"),): ("medium", None, "The model 'medium' is not on this machine"),
        (Path("/d"),): ("auto", "tiny.en", "is the best one here"),
    }
