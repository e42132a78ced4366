"""Imports a plugin's code, so that two versions of it can live side by side while one takes over from the other."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from itertools import count
from pathlib import Path
from types import CodeType, ModuleType

from panotti_daemon.core.events.handlers import describe
from panotti_daemon.core.plugins.discovery import CODE
from panotti_daemon.core.plugins.interface import PluginBase
from panotti_daemon.errors import PluginFailed

ROOT = "panotti_plugins"

_numbers = count(1)


class _FreshSource(SourceFileLoader):
    """Always from the source: bytecode kept from before overlooks an edit within the same second."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _PluginFinder(MetaPathFinder):
    """Finds `plugin.py` and its neighbours below the package that each loading makes."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{ROOT}.") or path is None:
            return None
        loaders = (ExtensionFileLoader, EXTENSION_SUFFIXES), (_FreshSource, [".py"])
        # a new finder each time: one that is kept overlooks new files within the same second
        found = (FileFinder(folder, *loaders).find_spec(fullname) for folder in path)
        return next((spec for spec in found if spec), None)


def load_plugin_class(folder: Path) -> type[PluginBase]:
    """Imports the plugin's code afresh, as part of a package of its own, so that it may import its neighbours
    relatively. Raises PluginFailed, and whatever the code raises."""
    if not (folder / CODE).is_file():
        raise PluginFailed(f"{folder / CODE} is not there")
    if not any(isinstance(finder, _PluginFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _PluginFinder())
    sys.modules.setdefault(ROOT, _package(ROOT))
    package = f"{ROOT}.{folder.name}_{next(_numbers)}"
    sys.modules[package] = _package(package, folder)
    try:
        plugin_class = getattr(_import(f"{package}.{Path(CODE).stem}", folder), "Plugin", None)
        if not (isinstance(plugin_class, type) and issubclass(plugin_class, PluginBase)):
            raise PluginFailed(f"{folder / CODE} must hold a class Plugin(PluginBase)")
    except BaseException:
        _forget(package)
        raise
    return plugin_class


def plugin_of(module: str) -> str | None:
    """The plugin that a module belongs to, if any."""
    root, _, rest = module.partition(".")
    return rest.partition(".")[0].rpartition("_")[0] or None if root == ROOT else None


def unload(plugin_class: type[PluginBase]) -> None:
    """Forgets the modules of a version that nobody uses any more."""
    _forget(".".join(plugin_class.__module__.split(".")[:2]))


def located(error: BaseException, folder: Path) -> str:
    """What went wrong, and, where it came out of the plugin's own files, in which line."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    line = line_of(error, folder)
    return f"{line}: {describe(error)}" if line else describe(error)


def line_of(error: BaseException, folder: Path) -> str | None:
    """The last line of the plugin's own files that the error came through."""
    for raised in (error, error.__cause__):
        frames = traceback.extract_tb(raised.__traceback__) if raised else []
        for frame in reversed(frames):
            if Path(frame.filename).is_relative_to(folder):
                return f"{frame.filename}:{frame.lineno}"
    return None


def _import(name: str, folder: Path) -> ModuleType:
    spec = _PluginFinder().find_spec(name, [str(folder)])
    assert spec
    assert spec.loader
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _package(name: str, *folders: Path) -> ModuleType:
    package = ModuleType(name)
    package.__path__ = [str(folder) for folder in folders]
    return package


def _forget(package: str) -> None:
    if not package.startswith(f"{ROOT}."):
        return
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
