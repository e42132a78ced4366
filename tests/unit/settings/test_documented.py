"""The examples of docs/settings.md, as a user would copy them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from panotti_daemon import plain_yaml
from panotti_daemon.paths import Paths
from panotti_daemon.settings import load

DOCUMENT = Path(__file__).parents[3] / "docs" / "settings.md"
ROW = re.compile(r"^\| `([a-zA-Z_.]+)` \|.*\| `([^`]+)`[^|]*\|$", re.MULTILINE)
OF_THIS_MACHINE = {"engine.affinity"}
EXAMPLES = [row for row in ROW.findall(DOCUMENT.read_text(encoding="utf-8")) if row[0] not in OF_THIS_MACHINE]
LISTS = {"watch": {"path": "/in"}, "engine.remote.servers": {"url": "http://gpu.lan"}}
"""What each item of these needs besides."""


def place(key: str, value: Any) -> tuple[str, Any]:
    """A key that can be set by itself, and its value."""
    for name, needed in LISTS.items():
        if key.startswith(f"{name}."):
            return name, [needed | {key.removeprefix(f"{name}."): value}]
    return key.replace("NAME", "example"), value


def in_the_file(key: str, value: Any) -> str:
    for part in reversed(key.split(".")):
        value = {part: value}
    return yaml.safe_dump(value)


@pytest.mark.parametrize(("key", "example"), EXAMPLES)
def test_an_example_can_be_set_in_the_file_and_in_the_environment(
    key: str, example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.upper().startswith("PANOTTI_"):
            monkeypatch.delenv(name)
    paths = Paths.from_environment({"PANOTTI_HOME": str(tmp_path)})
    paths.create()
    name, value = place(key, plain_yaml.parse(example))
    paths.config_file.write_text(in_the_file(name, value))
    from_the_file = load(paths).model_dump()
    paths.config_file.unlink()
    variable = f"PANOTTI_{name.replace('.', '__').upper()}"
    monkeypatch.setenv(variable, json.dumps(value) if isinstance(value, list | dict) else example)
    from_the_environment = load(paths).model_dump()
    if ".config." not in key:  # what a plugin makes of text, it alone knows
        assert from_the_environment == from_the_file


def test_every_setting_has_an_example() -> None:
    rows = re.findall(r"^\| `[a-zA-Z_.]+` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(EXAMPLES) == len(rows) - len(OF_THIS_MACHINE)
