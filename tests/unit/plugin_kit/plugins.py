"""Plugins to be looked at, made of a few lines."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml

GOOD = """
    from panotti_daemon.core.plugins import BaseModel, Event, PluginBase


    class Plugin(PluginBase):
        async def handle(self, event: Event) -> list[Event]:
            return [self.create_child_event(event, "tried.done", {})]
"""


def plugin(parent: Path, code: str = GOOD, **manifest: Any) -> Path:
    """Makes the folder of a plugin named `tried`; a manifest key of None is left out."""
    folder = parent / "tried"
    folder.mkdir(parents=True)
    keys: dict[str, Any] = {
        "name": "tried",
        "version": "1.0.0",
        "api_version": 1,
        "description": "A test.",
        "subscribes": ["recording.ready"],
        "emits": ["tried.done"],
    }
    written = {key: value for key, value in (keys | manifest).items() if value is not None}
    (folder / "plugin.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
    (folder / "plugin.py").write_text(dedent(code).lstrip())
    return folder
