"""What the design says of the whole: who may import whom, what the daemon never loads, and what the docs must tell."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import yaml
from pydantic import BaseModel

from panotti_daemon.cli.main import app
from panotti_daemon.core.events.types import ANNOUNCEMENTS, EVENTS, Payload, PluginError
from panotti_daemon.settings import Settings
from tests.daemon import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "panotti_daemon"
DOCS = ROOT / "docs"

LEAVES = {
    "",
    "choices",
    "clock",
    "errors",
    "explain",
    "hours",
    "ids",
    "logs",
    "loopback",
    "loops",
    "paths",
    "plain_yaml",
    "process",
    "settings",
    "sizes",
    "spelling",
    "watchdog",
}
MAY_IMPORT: dict[str, set[str]] = {
    "settings": set(),
    "models": set(),
    "core.events": {"models"},
    "core.plugins": {"models", "core.events"},
    "testing": {"models", "core.events", "core.plugins"},
    "plugin_kit": {"core.events", "core.plugins"},
    "engine": {"models", "core.plugins"},
    "intake": {"models", "core.events", "core.plugins", "engine"},
    "pausing": {"models", "core.events", "engine"},
    "api": {"models", "core.events", "core.plugins", "engine", "intake", "pausing"},
    "lookout": {"models", "core.events", "intake"},
    "client": {"api.schemas", "api.model_schemas", "api.plugin_schemas"},
    "desktop": {"client", "api.schemas", "api.model_schemas"},
    "housekeeping": {"models", "plugin_kit", "engine", "desktop"},
    "doctor": {"models", "engine", "api", "client", "desktop"},
    "app": {
        "models",
        "core.events",
        "core.plugins",
        "plugin_kit",
        "engine",
        "intake",
        "pausing",
        "api",
        "desktop",
        "housekeeping",
        "lookout",
    },
    "cli": {
        "models",
        "core.plugins",
        "plugin_kit",
        "engine",
        "intake",
        "api.schemas",
        "api.model_schemas",
        "api.plugin_schemas",
        "client",
        "desktop",
        "app",
        "doctor",
    },
    "__main__": {"cli", "desktop"},
}
"""Each part, and what of the package it may import besides itself and the leaves."""
LEAVES_MAY_IMPORT = {
    "explain": set(),
    "hours": {"clock"},
    "ids": {"errors"},
    "logs": {"settings"},
    "loops": {"errors"},
    "paths": {"errors"},
}

ENGINE_CHILD = {
    "engine.machine.gpu",
    "engine.media.audio",
    "engine.media.bleed",
    "engine.media.encode",
    "engine.media.loudness",
    "engine.media.noise",
    "engine.media.same_sound",
    "engine.media.tracks",
    "engine.remote.job",
    "engine.remote.packing",
    "engine.speech.hearing",
    "engine.speech.sides",
    "engine.speech.silero",
    "engine.speech.windows",
    "engine.whisper.decoder",
    "engine.whisper.job",
    "engine.whisper.loading",
    "engine.whisper.shelf",
    "engine.whisper.transcriber",
    "engine.whisper.words",
    "engine.worker",
}
MODEL_CODE = {"faster_whisper", "ctranslate2", "av", "onnxruntime", "numpy", "tokenizers", "huggingface_hub"}
MODEL_CODE_USERS = ENGINE_CHILD | {"engine.models.download"}
GUI_USERS = {"desktop.tray", "desktop.dbus_icon", "desktop.dbus_menu"}
NOT_IN_THE_DAEMON = (MODEL_CODE | {"pystray", "PIL", "gi", "Xlib", "tkinter", "torch", "httpx2", "rich"}) - {
    "tokenizers"
}

MOST_LINES = 400


def modules() -> Iterator[tuple[str, Path]]:
    for path in PACKAGE.rglob("*.py"):
        yield ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip("."), path


MODULES = dict(modules())


@cache
def imports(module: str) -> frozenset[str]:
    """Everything that a module imports anywhere in it, by full name."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def own_imports(module: str) -> set[str]:
    """The modules of the package among them."""
    names = {name.removeprefix("panotti_daemon").lstrip(".") for name in imports(module) if is_ours(name)}
    return {name if name in MODULES else name.rpartition(".")[0] for name in names}


def is_ours(name: str) -> bool:
    return name.split(".")[0] == "panotti_daemon"


def is_within(module: str, parts: set[str]) -> bool:
    return any(module == part or module.startswith(f"{part}.") for part in parts if part) or module in parts


def part_of(module: str) -> str:
    return next((part for part in MAY_IMPORT if is_within(module, {part})), "")


@pytest.mark.parametrize("module", sorted(set(MODULES) - {""}))
def test_imports_point_one_way(module: str) -> None:
    if module in LEAVES and module not in MAY_IMPORT:
        allowed = LEAVES_MAY_IMPORT.get(module, set()) | {""}
    elif module == "core":
        allowed = set()
    else:
        part = part_of(module)
        assert part, f"{module} belongs to no part: name it here"
        allowed = MAY_IMPORT[part] | {part} | LEAVES
    assert not [name for name in own_imports(module) if not is_within(name, allowed)]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_the_engines_child_imports_model_code(module: str) -> None:
    used = {name.split(".")[0] for name in imports(module)} & MODEL_CODE
    assert not used or module in MODEL_CODE_USERS
    if module not in MODEL_CODE_USERS:
        assert not own_imports(module) & ENGINE_CHILD


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_the_tray_imports_pystray(module: str) -> None:
    used = {name.split(".")[0] for name in imports(module)}
    assert "pystray" not in used or module in GUI_USERS


def test_the_tray_knows_of_the_package_only_the_client_and_its_own_folder() -> None:
    allowed = {"client", "api.schemas", "api.model_schemas", "choices", "errors", "logs", "paths", "desktop"}
    assert not [name for name in own_imports("desktop.tray") if not is_within(name, allowed)]


def test_the_running_daemon_has_loaded_no_gui_and_no_model_code(tmp_path: Path) -> None:
    """The real daemon with its bundled plugins; it tells at its end what it has loaded."""
    code = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted({name.split(".")[0] for name in sys.modules}))))
sys.argv = ["panotti", "run", "--port", "0", "--no-tray"]
from panotti_daemon.__main__ import main
main()
"""
    environment = {**os.environ, "PANOTTI_HOME": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: (tmp_path / "run" / "daemon.json").exists() or process.poll() is not None, "it runs")
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=PATIENCE)
    loaded = set(json.loads(output.splitlines()[-1]))
    assert "panotti_plugins" in loaded
    assert not loaded & NOT_IN_THE_DAEMON


def test_no_file_grows_past_what_one_subject_needs() -> None:
    lengths = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in MODULES.values()
    }
    assert not {name for name, lines in lengths.items() if lines > MOST_LINES}


def section(page: str, heading: str) -> str:
    """The text of a page under a heading of the second level."""
    text = (DOCS / page).read_text(encoding="utf-8")
    assert f"\n## {heading}\n" in text, f"{page} does not tell of {heading}"
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


def leaves_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and inner.__name__ != "RecordingData":
            yield from leaves_of(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize("name", [*EVENTS, "PLUGIN.error"])
def test_every_event_is_documented_with_its_version_and_every_field(name: str) -> None:
    model: type[Payload] = EVENTS.get(name, PluginError)
    text = section("events.md", f"`{name}`")
    assert text.lstrip().startswith(f"Version {model.payload_version}. ")
    assert first_cells(text) == list(leaves_of(model))


def test_the_documentation_of_events_tells_of_recordings_and_announcements() -> None:
    from panotti_daemon.core.events.models import Event
    from panotti_daemon.core.events.types import RecordingData

    assert first_cells(section("events.md", "What every event has")) == list(Event.model_fields)
    recording = first_cells(section("events.md", "A recording"))
    assert recording == [f"recording.{name}" for name in RecordingData.model_fields]
    announcements = section("events.md", "Announcements")
    assert first_cells(announcements) == list(ANNOUNCEMENTS)
    for model in ANNOUNCEMENTS.values():
        assert f"version {model.payload_version}" in announcements
        assert not [field for field in model.model_fields if f"`{field}`" not in announcements]


def settings_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with its default, the items of `watch` and `plugins` among them."""
    for name, field in model.model_fields.items():
        models = [t for t in (field.annotation, *types_in(field.annotation)) if isinstance(t, type)]
        inner = next((t for t in models if issubclass(t, BaseModel)), None)
        if inner is None:
            yield prefix + name, field.get_default()
        else:
            yield from settings_keys(inner, f"{prefix}{name}." + ("NAME." if name == "plugins" else ""))


def types_in(annotation: Any) -> Iterator[Any]:
    for argument in get_args(annotation):
        yield argument
        yield from types_in(argument)


def bundled_settings() -> Iterator[tuple[str, Any]]:
    for manifest in sorted((ROOT / "plugins").glob("*/plugin.yaml")):
        for key, default in (yaml.safe_load(manifest.read_text(encoding="utf-8")).get("config") or {}).items():
            yield f"plugins.{manifest.parent.name}.config.{key}", default


ROWS = re.findall(
    r"^\| `([^`]+)` \| (?:`([^`]*)`)? *\|", (DOCS / "settings.md").read_text(encoding="utf-8"), re.MULTILINE
)


def test_every_setting_is_documented_and_no_other() -> None:
    assert sorted(key for key, _ in ROWS) == sorted(key for key, _ in [*settings_keys(), *bundled_settings()])


@pytest.mark.parametrize(("key", "default"), [*settings_keys(), *bundled_settings()])
def test_the_documented_default_of_a_setting_is_its_default(key: str, default: Any) -> None:
    documented = yaml.safe_load(dict(ROWS)[key] or "null")
    if key == "watch.output":
        assert (default, documented) == (None, "~/Transcripts")
    elif key in ("watch.path", "engine.remote.servers.url"):
        assert documented is None
    else:
        assert documented == json.loads(json.dumps(default))


def commands(command: Any, name: str = "panotti") -> Iterator[tuple[str, list[str]]]:
    """Every command that does something, with its options."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
    for word, sub in (inner or {}).items():
        yield from commands(sub, f"{name} {word}")


@pytest.mark.parametrize(("name", "options"), list(commands(typer.main.get_command(app))))
def test_every_command_is_documented_with_its_options(name: str, options: list[str]) -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    rows = [row for row in text.splitlines() if row.startswith((f"| `{name}`", f"| `{name} "))]
    assert rows, f"docs/commands.md does not tell of {name}"
    assert not [option for option in options if f"`{option}" not in rows[0]]


def test_no_command_is_documented_that_is_not_there() -> None:
    there = {name for name, _ in commands(typer.main.get_command(app))} | {"panotti"}
    for usage in first_cells((DOCS / "commands.md").read_text(encoding="utf-8")):
        if usage.startswith("panotti"):
            words = [word for word in usage.split() if word.islower() and not word.startswith("-")]
            assert " ".join(words) in there, usage
