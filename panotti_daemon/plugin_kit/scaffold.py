"""Makes a new plugin out of the bundled example: it works before a word of it is changed."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from panotti_daemon.core.plugins.manifest import Name
from panotti_daemon.errors import PluginRefused
from panotti_daemon.paths import bundled
from panotti_daemon.plugin_kit.placing import place, staging

EXAMPLE = "example"
FILES = ("plugin.yaml", "plugin.py", "test_plugin.py", "README.md")
OFF = "enabled: false\n"
"""The example is off until somebody wants it; whoever makes a plugin wants it."""


def new_plugin(name: str, parent: Path) -> Path:
    """Returns the folder it made. Raises PluginRefused."""
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise PluginRefused(f"{name}: a plugin's name is made of a-z, 0-9 and _, and begins with a letter.") from None
    if (bundled("plugins") / name).exists():
        raise PluginRefused(f"{name} is the name of a plugin that comes with Panotti; take another.")
    with staging(parent) as stage:
        made = stage / name
        made.mkdir()
        for file in FILES:
            text = (bundled("plugins") / EXAMPLE / file).read_text(encoding="utf-8").replace(OFF, "")
            (made / file).write_text(re.sub(rf"\b{EXAMPLE}\b", name, text), encoding="utf-8")
        return place(made, parent / name)
