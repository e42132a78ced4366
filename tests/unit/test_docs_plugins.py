"""The authors' page is complete, and every piece of code on it works."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml

from panotti_daemon import testing
from panotti_daemon.core import plugins as public
from panotti_daemon.core.events import circuit, handlers
from panotti_daemon.core.events.types import EVENTS
from panotti_daemon.core.plugins import Context, Event, PluginBase, limits, transitions
from panotti_daemon.core.plugins.discovery import ENTRY_POINTS
from panotti_daemon.core.plugins.manifest import Manifest
from panotti_daemon.paths import bundled
from panotti_daemon.plugin_kit.check import check
from panotti_daemon.plugin_kit.scaffold import new_plugin
from panotti_daemon.settings import Settings
from panotti_daemon.testing import PluginHost, event_for, host
from tests.tutorial import EDITS, apply, changed_lines

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "plugins.md").read_text(encoding="utf-8")
CODE = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", PAGE, flags=re.DOTALL | re.MULTILINE))
"""What stands in the text as code, without the blocks."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def rows(text: str) -> dict[str, str]:
    """The rest of each row of a section's tables, by the first code in it."""
    return dict(re.findall(r"^\| `([^`]+)`(.*)$", text, re.MULTILINE))


def written(folder: Path, manifest: str, code: str) -> Path:
    plugin = folder / str(yaml.safe_load(manifest)["name"])
    plugin.mkdir()
    (plugin / "plugin.yaml").write_text(manifest)
    (plugin / "plugin.py").write_text(code)
    return plugin


PLUGINS = list(zip(blocks("yaml"), [code for code in blocks("python") if "class Plugin" in code], strict=True))
TESTS = [code for code in blocks("python") if "def test_" in code]


def test_the_example_on_the_page_is_the_bundled_one() -> None:
    example = bundled("plugins") / "example"
    files = [(example / name).read_text(encoding="utf-8") for name in ("plugin.yaml", "plugin.py")]
    assert PLUGINS[0] == tuple(files)


@pytest.mark.parametrize(("manifest", "code"), PLUGINS, ids=lambda text: text.splitlines()[0])
def test_every_plugin_on_the_page_is_whole(tmp_path: Path, manifest: str, code: str) -> None:
    folder = written(tmp_path, manifest, code)
    assert [str(found) for found in check(folder, {})] == [f"warning: {folder}: it has no tests"]


def test_the_plugin_with_a_secret_says_when_nobody_answers_it(tmp_path: Path) -> None:
    folder = written(tmp_path, *PLUGINS[1])

    async def main() -> None:
        nobody = {"url": "http://127.0.0.1:9/"}
        async with host(folder, config=nobody, secrets={"token": "sesame"}) as hosted:
            with pytest.raises(public.Unavailable, match="does not answer"):
                await hosted.deliver(event_for("transcription_local.completed"))
            assert not (await hosted.plugin.health()).ok
            assert await hosted.plugin.act("told", {}) == []

    asyncio.run(main())


def test_every_test_on_the_page_passes(tmp_path: Path) -> None:
    folder = written(tmp_path, *PLUGINS[0])
    assert TESTS
    for number, code in enumerate(TESTS):
        (folder / f"test_{number}.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", str(folder)]
    ended = subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


def test_every_key_of_a_manifest_is_told_with_its_default() -> None:
    told = rows(section("The manifest"))
    assert list(told) == list(Manifest.model_fields)
    for name, field in Manifest.model_fields.items():
        shown = re.match(r" \| (?:`([^`]*)`)? *\| ", told[name])
        assert shown, name
        default = None if field.is_required() else field.default
        assert yaml.safe_load(shown[1] or "null") == (list(default) if isinstance(default, tuple) else default), name


def test_every_method_of_a_plugin_is_told() -> None:
    methods = [name for name, value in vars(PluginBase).items() if inspect.isfunction(value) and name[0] != "_"]
    assert sorted(row.partition("(")[0] for row in rows(section("The class"))) == sorted(methods)


def test_everything_that_a_plugin_reaches_is_told() -> None:
    told = rows(section("What it may reach"))
    assert list(told) == [field.name for field in fields(Context)]
    for name, kind in get_type_hints(Context).items():
        if getattr(kind, "_is_protocol", False):
            offered = [word for word in vars(kind) if not word.startswith("_")]
            assert not [word for word in offered if f"`{word}(" not in told[name]], name


def test_everything_that_a_plugin_may_import_is_told_once() -> None:
    told = re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", section("What it may import"), re.MULTILINE)))
    assert sorted(told) == sorted(public.__all__)


def test_every_event_is_told_with_its_data_and_a_way_to_its_fields() -> None:
    told = re.findall(r"^\| \[`([^`]+)`\]\(events\.md#([^)]+)\) \| `(\w+)`", section("Events"), re.MULTILINE)
    assert {name: data for name, _, data in told} == {
        **{name: model.__name__ for name, model in EVENTS.items()},
        "PLUGIN.error": "PluginError",
    }
    headings = re.findall(r"^## `(.+)`$", (DOCS / "events.md").read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9_ -]", "", heading.lower()) for heading in headings}
    assert {anchor for _, anchor, _ in told} <= anchors


def test_all_that_tests_may_use_is_told() -> None:
    assert not [name for name in testing.__all__ if not any(re.search(rf"\b{name}\b", code) for code in CODE)]
    members = {name for name in vars(PluginHost) if name[0] != "_"} - {"start", "stop"}
    members |= set(inspect.signature(PluginHost).parameters) & {"clock", "services"} | {"plugin", "errors"}
    text = section("Tests")
    assert not [name for name in members if not re.search(rf"`{name}\W", text)]


def test_the_numbers_on_the_page_hold() -> None:
    text = section("When something goes wrong")
    assert f"{limits.MOST_BYTES // 1024} KB" in text
    assert f"return {handlers.MOST_FOLLOW_ONS} events" in text
    assert f"{limits.EVENTS_A_SECOND:.0f} events and {limits.ANNOUNCEMENTS_A_SECOND:.0f} announcements a" in text
    assert f"After {circuit.FAILURES} failures in a row" in text
    assert f"after {Settings.model_fields['plugins_block_seconds'].default:g} s Panotti starts itself" in text
    assert f"Has {transitions.INITIALIZE_SECONDS:.0f} s" in rows(section("The class"))["initialize()"]
    assert f"Has {transitions.SHUTDOWN_SECONDS:.0f} s" in rows(section("The class"))["shutdown()"]


def test_the_package_on_the_page_has_the_entry_point_that_is_looked_for() -> None:
    [project] = blocks("toml")
    assert tomllib.loads(project)["project"]["entry-points"][ENTRY_POINTS] == {"meeting_log": "meeting_log"}


def test_the_edits_of_the_tutorial_fit_a_new_plugin_and_leave_it_whole(tmp_path: Path) -> None:
    assert changed_lines(EDITS) == 5
    folder = new_plugin("meeting_log", tmp_path)
    apply(folder, EDITS)
    assert list(check(folder, {})) == []

    async def main() -> Event:
        config = {"diary": str(tmp_path / "diary.md")}
        async with host(folder, config=config) as hosted:
            assert await hosted.deliver(event_for("transcription_local.completed", {"metadata": {"duration": 4}})) == []
            [noted] = await hosted.deliver(event_for("transcription_local.completed"))
            return noted

    assert asyncio.run(main()).data["line"].endswith("1:02, Hello Ann. How are you?\n")
