"""The models that there are, which of them are here, and which ones the settings would use now, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from panotti_daemon.engine.machine.hardware import Machine, machine
from panotti_daemon.engine.models.catalog import KNOWN, english_only
from panotti_daemon.engine.models.store import (
    ResolvedModel,
    Source,
    damaged_models,
    local_models,
    names_best_first,
    resolve,
)
from panotti_daemon.errors import PanottiError
from panotti_daemon.paths import Paths
from panotti_daemon.settings import Settings, Sources, origin


@dataclass(frozen=True)
class ListedModel:
    name: str
    size: int | None
    """Bytes on the disk, or of the download."""
    english_only: bool
    source: Source | None = None
    """None: it is not here."""
    path: Path | None = None
    damage: str | None = None
    last_used: datetime | None = None
    """Of one that Panotti downloaded."""


@dataclass(frozen=True)
class Use:
    """What a setting means now, for what is spoken."""

    setting: str
    language: str
    translate: bool
    """Into English."""
    folders: tuple[Path, ...]
    """Those that are concerned; none: all others."""
    model: str | None
    why: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inventory:
    setting: str
    """`engine.model`."""
    origin: str | None
    """Where that was written; None: nowhere."""
    machine: str
    models: tuple[ListedModel, ...]
    """The best first."""
    uses: tuple[Use, ...]


def take_inventory(paths: Paths, settings: Settings, sources: Sources) -> Inventory:
    """Looks at the disk, and asks nobody."""
    here = machine(settings.engine)
    return Inventory(
        setting=settings.engine.model,
        origin=origin(["engine", "model"], sources),
        machine=here.description,
        models=tuple(_listed(paths.models)),
        uses=tuple(uses(paths.models, settings, here)),
    )


def uses(models_dir: Path, settings: Settings, on: Machine) -> Iterator[Use]:
    """One for each setting, language and task that folders have; first that of those that name no model."""
    wishes: dict[tuple[str, str, bool], list[Path]] = {}
    for folder in settings.watch:
        own = folder.model if folder.model != "auto" else settings.engine.model
        wishes.setdefault((own, folder.language, folder.task == "translate"), []).append(folder.path)
    for (setting, language, translate), folders in wishes.items():
        try:
            found = resolve(setting, models_dir, language=language, translate=translate, download=False, on=on)
        except PanottiError as error:
            yield Use(setting, language, translate, tuple(folders), None, error.message)
        else:
            why = found.why or "is what the settings name"
            yield Use(setting, language, translate, tuple(folders), found.name, why, found.warnings)


def _listed(models_dir: Path) -> Iterator[ListedModel]:
    usable = {found.name: (found, None) for found in local_models(models_dir)}
    damaged = {found.name: (found, damage) for found, damage in damaged_models(models_dir)}
    here: dict[str, tuple[ResolvedModel, str | None]] = {**damaged, **usable}
    for name in names_best_first(models_dir):
        if name not in here:
            yield ListedModel(name, KNOWN[name].megabytes * 1_000_000, english_only(name))
            continue
        found, damage = here[name]
        used = found.path.stat().st_mtime if found.source is Source.PANOTTI else None
        yield ListedModel(
            name=name,
            size=sum(file.stat().st_size for file in found.path.iterdir() if file.is_file()),
            english_only=found.english_only,
            source=found.source,
            path=found.path,
            damage=damage,
            last_used=datetime.fromtimestamp(used, UTC) if used else None,
        )
