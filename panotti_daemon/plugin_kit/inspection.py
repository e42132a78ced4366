"""Looks at a plugin from within a process of its own: to import it is to run it, and it may do anything.

`python -m panotti_daemon.plugin_kit.inspection FOLDER ANSWER` writes the findings to the file ANSWER, as JSON.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from panotti_daemon.core.plugins.importing import load_plugin_class, located
from panotti_daemon.core.plugins.interface import PluginBase
from panotti_daemon.core.plugins.manifest import Manifest, read_manifest
from panotti_daemon.explain import dotted, explain_all

COROUTINES = ("initialize", "handle", "health", "act", "shutdown")


def inspected(folder: Path) -> Iterator[tuple[str, bool]]:
    """What is wrong, each with whether it is only a warning."""
    manifest = read_manifest(folder)
    try:
        plugin_class = load_plugin_class(folder)
    except BaseException as error:  # sys.exit at import, too
        yield located(error, folder), False
        return
    yield from _methods(plugin_class, manifest, folder)
    yield from _settings(plugin_class, manifest, folder)


def _methods(plugin_class: type[PluginBase], manifest: Manifest, folder: Path) -> Iterator[tuple[str, bool]]:
    for name in COROUTINES:
        method = getattr(plugin_class, name)
        if not inspect.iscoroutinefunction(method):
            yield f"{_line_of(method, folder)}: {name}() must be `async def`", False
    if manifest.subscribes and plugin_class.handle is PluginBase.handle:
        yield f"{folder / 'plugin.py'}: it subscribes to events, but its class has no handle()", False
    if not manifest.subscribes and plugin_class.handle is not PluginBase.handle:
        yield f"{folder / 'plugin.yaml'}: subscribes: is empty, so that handle() is never called", True


def _settings(plugin_class: type[PluginBase], manifest: Manifest, folder: Path) -> Iterator[tuple[str, bool]]:
    try:
        plugin_class.Config.model_validate(manifest.config)
    except ValidationError as error:
        for key, what in explain_all(error, plugin_class.Config):
            where = f"{folder / 'plugin.yaml'}: {dotted(['config', *key])}"
            if what == "is missing":
                yield f"{where}: has no default; the plugin starts only once its user has set it", True
            else:
                yield f"{where}: {what}", False


def _line_of(method: object, folder: Path) -> str:
    code = getattr(method, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else str(folder / "plugin.py")


if __name__ == "__main__":
    findings = list(inspected(Path(sys.argv[1])))
    Path(sys.argv[2]).write_text(json.dumps(findings), encoding="utf-8")
