"""The models that Panotti has downloaded, and which of them nobody has used for long. None is removed without a yes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from panotti_daemon.engine.machine.hardware import machine
from panotti_daemon.engine.models.store import ResolvedModel, complete_folders, model_name, resolve
from panotti_daemon.errors import ModelUnavailable
from panotti_daemon.settings import Settings


@dataclass(frozen=True)
class DownloadedModel:
    name: str
    path: Path
    size: int
    """Bytes."""
    last_used: datetime


def note_use(model: ResolvedModel, models_dir: Path) -> None:
    """The time of a model's folder says when it was last used."""
    if model.path.parent == models_dir:
        with suppress(OSError):  # on a drive that is read-only nothing can be removed either
            os.utime(model.path)


def downloaded(models_dir: Path) -> list[DownloadedModel]:
    """By name. A link is not ours."""
    return [
        DownloadedModel(
            name=model_name(folder),
            path=folder,
            size=sum(file.lstat().st_size for file in folder.rglob("*")),
            last_used=datetime.fromtimestamp(folder.stat().st_mtime, UTC),
        )
        for folder in complete_folders(models_dir)
        if not folder.is_symlink()
    ]


def long_unused(settings: Settings, models_dir: Path, now: datetime) -> list[DownloadedModel]:
    """Those that were not used for `engine.unused_model_days`, and that the settings would not use next."""
    days = settings.engine.unused_model_days
    if not days:
        return []
    wanted = set(_wanted(settings, models_dir))
    return [
        model
        for model in downloaded(models_dir)
        if model.path not in wanted and model.last_used < now - timedelta(days=days)
    ]


def remove(model: DownloadedModel) -> None:
    """It is downloaded again when it is next asked for. OSError propagates."""
    shutil.rmtree(model.path)


def _wanted(settings: Settings, models_dir: Path) -> Iterator[Path]:
    here = machine(settings.engine)
    for folder in settings.watch:
        name = settings.engine.model if folder.model == "auto" else folder.model
        with suppress(ModelUnavailable):
            translate = folder.task == "translate"
            yield resolve(name, models_dir, language=folder.language, translate=translate, download=False, on=here).path
