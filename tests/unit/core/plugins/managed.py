"""Plugins made for a test, in the hands of a manager on a real bus and database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from textwrap import dedent
from typing import Any, cast

import structlog
import yaml

from panotti_daemon.core.plugins.loading import Loader
from panotti_daemon.core.plugins.manager import PluginManager
from panotti_daemon.core.plugins.ports import DaemonPorts
from panotti_daemon.core.plugins.protocol import Context
from panotti_daemon.core.plugins.secrets import Secrets
from panotti_daemon.core.plugins.wishes import Wishes
from panotti_daemon.settings import PluginSettings
from tests.unit.core.events.scene import Scene, scene

RUNNING = ("running", None)


def plugin(
    parent: Path,
    name: str,
    body: str = "",
    *,
    before: str = "",
    files: dict[str, str] | None = None,
    **manifest: Any,
) -> Path:
    """Makes a plugin's folder, or makes it anew; `body` stands in its class."""
    folder = parent / name
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"name": name, "version": "1.0.0", "api_version": 1, "description": "A test."}
    (folder / "plugin.yaml").write_text(yaml.safe_dump(keys | manifest))
    lines = [
        "import asyncio, sys",
        "from panotti_daemon.core.plugins import *",
        dedent(before),
        f"note = lambda what: sys.panotti_seen.append('{name} ' + what)",
        "class Plugin(PluginBase):",
        "    async def initialize(self): note('initialize')",
        "    async def handle(self, event): note(event.name)",
        "    async def shutdown(self): note('shutdown')",
        *("    " + line for line in dedent(body).splitlines()),
    ]
    (folder / "plugin.py").write_text("\n".join(lines))
    for file, content in (files or {}).items():
        (folder / file).write_text(dedent(content))
    return folder


def context(name: str) -> Context:
    nothing: dict[str, Any] = dict.fromkeys((field.name for field in fields(Context)), cast(Any, None))
    return Context(**nothing | {"log": structlog.get_logger(name)})


@asynccontextmanager
async def managed(
    tmp_path: Path,
    *folders: Path,
    settings: dict[str, PluginSettings] | None = None,
    wishes: Wishes | None = None,
    secrets: Secrets | None = None,
    **options: Any,
) -> AsyncIterator[tuple[PluginManager, Scene]]:
    """Plugins that have started, out of these folders."""
    async with scene(tmp_path / "panotti.db") as s:
        loader = Loader(context, DaemonPorts(s.bus, s.database), wishes or Wishes(settings), secrets)
        manager = PluginManager(s.bus, loader, folders or (tmp_path / "plugins",), s.clock, **options)
        manager.register()
        await manager.start()
        try:
            yield manager, s
        finally:
            await s.bus.stop(grace_seconds=0)
            await manager.stop()


def outcome(tmp_path: Path, *folders: Path, **options: Any) -> dict[str, tuple[str, str | None]]:
    """State and reason of each plugin once all have started."""

    async def main() -> dict[str, tuple[str, str | None]]:
        async with managed(tmp_path, *folders, **options) as (manager, _):
            return {name: (record.state.value, record.reason) for name, record in manager.records.items()}

    return asyncio.run(main())
