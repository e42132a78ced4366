"""What somebody wants to install: a folder, a zip or a package. None of its code is run before it was looked into."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from panotti_daemon.core.plugins.manifest import MANIFEST, Manifest, Name, read_manifest
from panotti_daemon.errors import ManifestError, PluginRefused
from panotti_daemon.plugin_kit import packages
from panotti_daemon.plugin_kit.placing import place, staging
from panotti_daemon.plugin_kit.unpacking import copy, unpack

WHEEL = ".whl"


@dataclass(frozen=True)
class Offer:
    """A plugin that is ready to be installed."""

    manifest: Manifest
    folder: Path
    """Where it is staged."""
    wheel: Path | None = None
    """The package that brings it."""

    @property
    def files(self) -> dict[str, int]:
        """Each with its size in bytes."""
        found = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in found}

    def install(self, plugins: Path, *, upgrade: bool) -> str:
        """Returns where it is now. Raises PluginRefused."""
        if self.wheel:
            return packages.install(self.wheel, upgrade=upgrade)
        return str(place(self.folder, plugins / self.manifest.name, replace=upgrade))


@contextmanager
def opened(source: str, plugins: Path) -> Iterator[Offer]:
    """Stages what the source holds, to be installed while the context lasts. Raises PluginFailed."""
    with staging(plugins) as stage:
        wheel = _wheel(source, stage)
        folder = _of_package(wheel, source, stage) if wheel else _of_folder_or_zip(source, stage)
        try:
            manifest = read_manifest(folder)
        except ManifestError as error:
            raise ManifestError(error.message.replace(str(folder), source)) from error
        yield Offer(manifest, folder, wheel)


def _wheel(source: str, stage: Path) -> Path | None:
    found = Path(source).expanduser()
    if found.exists():
        return found if found.suffix == WHEEL else None
    return packages.downloaded(source, stage)


def _of_package(wheel: Path, source: str, stage: Path) -> Path:
    held = stage / "wheel"
    unpack(wheel, held)
    folder = held.joinpath(*packages.module_of(held, source).split("."))
    return _with_manifest([folder], source)


def _of_folder_or_zip(source: str, stage: Path) -> Path:
    """Under the name that the manifest gives, whatever its folder was called."""
    found, held = Path(source).expanduser(), stage / "source"
    held.mkdir()
    if found.is_dir():
        copy(found, held)
    elif zipfile.is_zipfile(found):
        unpack(found, held)
    else:
        raise PluginRefused(f"{source} is neither a folder nor a zip.")
    inside = list(held.iterdir())
    root = _with_manifest([held, *inside] if len(inside) == 1 else [held], source)  # as in a repository's zip
    named = stage / "named"
    named.mkdir()
    return root.rename(named / _name_of(root))


def _with_manifest(folders: list[Path], source: str) -> Path:
    for folder in folders:
        if (folder / MANIFEST).is_file():
            return folder
    raise PluginRefused(f"{source} holds no plugin: there is no {MANIFEST} at its top.")


def _name_of(root: Path) -> str:
    try:
        written = yaml.safe_load((root / MANIFEST).read_text(encoding="utf-8"))
        return TypeAdapter(Name).validate_python(written["name"] if isinstance(written, dict) else None)
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, ValidationError):
        return root.name  # reading it for good will say what is wrong
