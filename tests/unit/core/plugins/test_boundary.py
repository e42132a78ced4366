from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from panotti_daemon.core import plugins as public
from panotti_daemon.paths import bundled

FILES = sorted(bundled("plugins").glob("*/**/*.py"))


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_bundled_plugins_import_only_what_every_plugin_may(file: Path) -> None:
    ours = {name for name in imports(file) if name.split(".")[0] == "panotti_daemon"}
    promised = {"panotti_daemon.core.plugins"}
    assert ours <= (promised | {"panotti_daemon.testing"} if file.name.startswith("test_") else promised)


def test_what_plugins_may_import_is_there() -> None:
    assert FILES
    assert all(hasattr(public, name) for name in public.__all__)
    assert list(public.__all__) == sorted(public.__all__)
