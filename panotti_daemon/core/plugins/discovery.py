"""Where plugins are looked for: the bundled folder, the user's, and installed distributions. Nothing is imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import structlog

from panotti_daemon.core.plugins.manifest import MANIFEST

log = structlog.get_logger(__name__)

CODE = "plugin.py"
ENTRY_POINTS = "panotti.plugins"


def discover(parents: Iterable[Path]) -> Iterator[Path]:
    """The folder of every plugin, the first of a name before others of that name. What only looks like a plugin is
    named, too: reading its manifest will say what it lacks."""
    for parent in parents:
        try:
            yield from sorted(folder for folder in parent.iterdir() if _looks_like_a_plugin(folder))
        except FileNotFoundError:
            continue
        except OSError as error:
            log.error("plugin folder cannot be read", folder=str(parent), reason=error.strerror)
    yield from (_folder_of(entry_point.module) for entry_point in entry_points(group=ENTRY_POINTS))


def _looks_like_a_plugin(folder: Path) -> bool:
    if folder.name.startswith((".", "__")):
        return False
    try:
        is_dangling = folder.is_symlink() and not folder.exists()
        return is_dangling or (folder.is_dir() and any((folder / name).exists() for name in (MANIFEST, CODE)))
    except OSError:  # a folder that keeps us out
        return True


def _folder_of(module: str) -> Path:
    """Of an installed package, without importing it; one that is not there will have no manifest either."""
    top, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0] if locations else top, *inner)
