from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from panotti_daemon.engine.models import downloaded
from panotti_daemon.engine.models.store import ResolvedModel
from panotti_daemon.settings import EngineSettings, Settings, WatchFolder

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def model(folder: Path, days_ago: float) -> Path:
    folder.mkdir(parents=True)
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (folder / name).write_bytes(b"12345")
    os.utime(folder, times=((NOW - timedelta(days=days_ago)).timestamp(),) * 2)
    return folder


def settings(**engine: object) -> Settings:
    folder = WatchFolder(path=Path("/in"), model="small")
    return Settings(watch=(folder,), engine=EngineSettings.model_validate(engine))


def unused(models: Path, settings: Settings) -> list[str]:
    return [model.name for model in downloaded.long_unused(settings, models, NOW)]


def test_a_downloaded_model_has_a_name_a_size_and_the_time_of_its_last_use(models: Path) -> None:
    folder = model(models / "owner--name", 3)
    (found,) = downloaded.downloaded(models)
    assert (found.name, found.path, found.size) == ("owner/name", folder, 15)
    assert found.last_used == NOW - timedelta(days=3)


def test_without_a_folder_of_models_there_are_none(models: Path) -> None:
    assert downloaded.downloaded(models) == []


def test_a_link_and_half_a_download_are_not_ours(models: Path, tmp_path: Path) -> None:
    models.mkdir()
    (models / "linked").symlink_to(model(tmp_path / "elsewhere", 200))
    model(models / ".base.download", 200)
    assert downloaded.downloaded(models) == []


def test_a_model_that_is_used_is_not_unused_any_more(models: Path, tmp_path: Path) -> None:
    folder = model(models / "base", 200)
    assert unused(models, settings()) == ["base"]
    downloaded.note_use(ResolvedModel("base", folder), models)
    assert unused(models, settings()) == []


def test_the_folder_of_a_model_from_elsewhere_is_left_as_it_is(models: Path, tmp_path: Path) -> None:
    folder = model(tmp_path / "elsewhere", 200)
    before = folder.stat().st_mtime
    downloaded.note_use(ResolvedModel("elsewhere", folder), models)
    assert folder.stat().st_mtime == before


def test_only_what_nobody_used_for_long_is_named_and_never_what_the_settings_name(models: Path) -> None:
    for name, days_ago in (("base", 91), ("small", 200), ("tiny", 89)):
        model(models / name, days_ago)
    assert unused(models, settings()) == ["base"]
    assert unused(models, settings(unused_model_days=30)) == ["base", "tiny"]
    assert unused(models, settings(unused_model_days=0)) == []


def test_what_auto_would_use_next_is_not_named(models: Path) -> None:
    model(models / "tiny", 200)
    model(models / "base", 200)
    auto = Settings(watch=(WatchFolder(path=Path("/in")),))
    assert unused(models, auto) == ["tiny"]


def test_a_model_is_removed_with_all_that_is_in_it(models: Path) -> None:
    model(models / "base", 200)
    (found,) = downloaded.downloaded(models)
    downloaded.remove(found)
    assert list(models.iterdir()) == []
