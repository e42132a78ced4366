"""Finds what is wrong with a plugin before the daemon does, with the file and the line or key of every mistake."""

from __future__ import annotations

import ast
import importlib.util
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from panotti_daemon.core.events.types import EVENTS
from panotti_daemon.core.plugins.dependencies import accepts
from panotti_daemon.core.plugins.manifest import MANIFEST, Manifest, read_manifest
from panotti_daemon.errors import ManifestError
from panotti_daemon.explain import suggest
from panotti_daemon.plugin_kit.processes import run_python

IMPORT_SECONDS = 30.0
TEST_SECONDS = 300.0
PROMISED = "panotti_daemon.core.plugins"
PROMISED_TO_TESTS = "panotti_daemon.testing"
PYTEST = ["-m", "pytest", "-q", "--tb=short", "--show-capture=no", "-p", "no:cacheprovider", "--import-mode=importlib"]
NO_TESTS = 5
"""The exit status of pytest when it finds none."""
SHOWN_LINES = 40


@dataclass(frozen=True)
class Finding:
    text: str
    is_warning: bool = False

    def __str__(self) -> str:
        return f"warning: {self.text}" if self.is_warning else self.text


def check(folder: Path, others: Mapping[str, Manifest], *, with_tests: bool = True) -> Iterator[Finding]:
    """`others` are the plugins that it may depend on and hear from. What rests on something broken is not looked at."""
    try:
        manifest = read_manifest(folder)
    except ManifestError as error:
        yield Finding(error.message)
        if not (folder / MANIFEST).exists():
            return
        manifest = None
    in_files = list(_files(folder, manifest))
    yield from in_files
    if manifest is None or any(not finding.is_warning for finding in in_files):
        return
    yield from _names(folder / MANIFEST, manifest, others)
    loaded = list(_inspected(folder))
    yield from loaded
    if with_tests and all(finding.is_warning for finding in loaded):
        yield from _tested(folder)


def _files(folder: Path, manifest: Manifest | None) -> Iterator[Finding]:
    for file in sorted(folder.rglob("*.py")):
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except SyntaxError as error:
            yield Finding(f"{file}:{error.lineno}: {error.msg}")
            continue
        except (OSError, ValueError) as error:
            yield Finding(f"{file}: cannot be read: {error}")
            continue
        is_test = file.name.startswith("test_") or file.name == "conftest.py"
        yield from _imports(file, tree, {PROMISED, PROMISED_TO_TESTS} if is_test else {PROMISED})
        if manifest and not is_test:
            yield from _emitted(file, tree, manifest)


def _imports(file: Path, tree: ast.Module, promised: set[str]) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        for name in names:
            is_ours = name.split(".")[0] == PROMISED.split(".")[0]
            if is_ours and not any(name == p or name.startswith(f"{PROMISED_TO_TESTS}.") for p in promised):
                yield Finding(f"{file}:{node.lineno}: imports {name}; only {PROMISED} is promised to stay", True)


def _emitted(file: Path, tree: ast.Module, manifest: Manifest) -> Iterator[Finding]:
    """Names of events that stand in the code as they are."""
    positions = {"create_child_event": 1, "create": 0}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        position = positions.get(node.func.attr, len(node.args))
        name = node.args[position] if position < len(node.args) else None
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str) or "." not in name.value:
            continue
        if not any(fnmatchcase(name.value, pattern) for pattern in manifest.emits):
            is_own = name.value.startswith(f"{manifest.name}.")
            text = f"{file}:{node.lineno}: emits {name.value}, which {MANIFEST} does not name under `emits`"
            yield Finding(text, is_warning=is_own)


def _names(file: Path, manifest: Manifest, others: Mapping[str, Manifest]) -> Iterator[Finding]:
    for name, versions in manifest.dependencies.items():
        other = others.get(name)
        if other is None:
            yield Finding(f"{file}: dependencies.{name}: there is no such plugin{suggest(name, others)}")
        elif not accepts(versions, other):
            yield Finding(f"{file}: dependencies.{name}: {versions} is wanted, and {other.version} is there")
    emitted = {*EVENTS, *manifest.emits, *(name for other in others.values() for name in other.emits)}
    emitted |= {f"{name}.error" for name in (manifest.name, *others)}
    for pattern in manifest.subscribes:
        if not any(fnmatchcase(name, pattern) for name in emitted):
            yield Finding(f"{file}: subscribes: nobody here emits {pattern}{suggest(pattern, emitted)}", True)


def _inspected(folder: Path) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory() as temporary:
        answer = Path(temporary, "answer.json")
        ended = run_python(["-m", "panotti_daemon.plugin_kit.inspection", folder, answer], seconds=IMPORT_SECONDS)
        if ended.status is None:
            yield Finding(f"{folder / 'plugin.py'}: importing it took longer than {IMPORT_SECONDS:g} s")
        elif answer.exists():
            yield from (Finding(*found) for found in json.loads(answer.read_text(encoding="utf-8")))
        else:
            told = f":\n{_last_lines(ended.output)}" if ended.output.strip() else ""
            yield Finding(f"{folder / 'plugin.py'}: importing it ended the process (status {ended.status}){told}")


def _tested(folder: Path) -> Iterator[Finding]:
    if not list(folder.rglob("test_*.py")):
        yield Finding(f"{folder}: it has no tests", True)
    elif importlib.util.find_spec("pytest") is None:
        yield Finding("its tests were not run: pytest is not installed", True)
    else:
        ended = run_python([*PYTEST, "--rootdir", folder, folder], seconds=TEST_SECONDS, folder=folder)
        if ended.status is None:
            yield Finding(f"{folder}: its tests took longer than {TEST_SECONDS:g} s")
        elif ended.status not in (0, NO_TESTS):
            yield Finding(f"{folder}: its tests fail:\n{_last_lines(ended.output)}")


def _last_lines(output: str) -> str:
    return "\n".join(output.strip().splitlines()[-SHOWN_LINES:])
