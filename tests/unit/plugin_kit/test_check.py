from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from panotti_daemon.core.plugins.manifest import Manifest
from panotti_daemon.plugin_kit import check as checking
from panotti_daemon.plugin_kit.check import Finding, check
from panotti_daemon.plugin_kit.inspection import inspected
from tests.unit.plugin_kit.plugins import GOOD, plugin

HEAD = "from panotti_daemon.core.plugins import *\nclass Plugin(PluginBase):\n"


def looked_at(folder: Path, others: Mapping[str, Manifest] | None = None) -> list[Finding]:
    return list(check(folder, others or {}, with_tests=False))


def test_every_wrong_key_of_a_manifest_is_named_with_what_was_expected(tmp_path: Path) -> None:
    folder = plugin(tmp_path, version="one", descripton="A test.", description=None, max_attempts=0)
    [finding] = looked_at(folder)
    assert finding.text.startswith(f"{folder / 'plugin.yaml'}: ")
    assert "version: must be a version such as 1.0.0 (it is 'one')" in finding.text
    assert "description: is missing" in finding.text
    assert "max_attempts: must be at least 1 (it is 0)" in finding.text
    assert "descripton: there is no such key; did you mean description?" in finding.text


def test_of_a_folder_that_is_no_plugin_nothing_else_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def it(:\n")
    (finding,) = check(tmp_path, {})
    assert finding.text == f"{tmp_path / 'plugin.yaml'} cannot be read: No such file or directory"


def test_a_line_that_is_no_python_is_named(tmp_path: Path) -> None:
    folder = plugin(tmp_path, "import this\nclass Plugin(:\n    pass\n")
    assert looked_at(folder) == [Finding(f"{folder / 'plugin.py'}:2: invalid syntax")]


def test_an_error_at_import_is_named_with_its_line(tmp_path: Path) -> None:
    folder = plugin(tmp_path, "x = 1\ny = x / 0\n")
    assert looked_at(folder) == [Finding(f"{folder / 'plugin.py'}:2: ZeroDivisionError: division by zero")]


def test_code_that_ends_its_process_is_found_out(tmp_path: Path) -> None:
    folder = plugin(tmp_path, "import os\nprint('so long', flush=True)\nos._exit(7)\n")
    [finding] = looked_at(folder)
    assert finding.text == f"{folder / 'plugin.py'}: importing it ended the process (status 7):\nso long"


def test_code_that_never_ends_is_found_out_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "IMPORT_SECONDS", 2.0)
    code = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    folder = plugin(tmp_path, code)
    assert looked_at(folder) == [Finding(f"{folder / 'plugin.py'}: importing it took longer than 2 s")]


def test_imports_that_may_break_with_the_next_version_are_warned_of(tmp_path: Path) -> None:
    code = "import panotti_daemon.settings\nfrom panotti_daemon.core.events.bus import EventBus\n" + dedent(GOOD)
    folder = plugin(tmp_path, code)
    (folder / "test_plugin.py").write_text("from panotti_daemon.testing import host\nimport panotti_daemon.clock\n")
    only = "only panotti_daemon.core.plugins is promised to stay"
    assert looked_at(folder) == [
        Finding(f"{folder / 'plugin.py'}:1: imports panotti_daemon.settings; {only}", is_warning=True),
        Finding(f"{folder / 'plugin.py'}:2: imports panotti_daemon.core.events.bus; {only}", is_warning=True),
        Finding(f"{folder / 'test_plugin.py'}:2: imports panotti_daemon.clock; {only}", is_warning=True),
    ]


def test_an_event_that_the_manifest_does_not_name_is_found_in_the_code(tmp_path: Path) -> None:
    folder = plugin(tmp_path, GOOD.replace("tried.done", "other.done"))
    emitted = f"{folder / 'plugin.py'}:6: emits other.done, which plugin.yaml does not name under `emits`"
    assert looked_at(folder) == [Finding(emitted)]


def test_an_event_of_its_own_that_the_manifest_does_not_name_is_warned_of(tmp_path: Path) -> None:
    [finding] = looked_at(plugin(tmp_path, emits=[]))
    assert "emits tried.done, which plugin.yaml does not name" in finding.text
    assert finding.is_warning


def test_dependencies_are_looked_up(tmp_path: Path) -> None:
    folder = plugin(tmp_path, dependencies={"tagger": ">=2", "speaker": ">=1"})
    tagger = Manifest(name="tagger", version="1.4", api_version=1, description="Tags.")
    wrong = [finding.text for finding in looked_at(folder, {"tagger": tagger})]
    file = folder / "plugin.yaml"
    assert wrong == [
        f"{file}: dependencies.tagger: >=2 is wanted, and 1.4 is there",
        f"{file}: dependencies.speaker: there is no such plugin; allowed: tagger",
    ]


def test_an_event_that_nobody_emits_is_warned_of(tmp_path: Path) -> None:
    tagger = Manifest(name="tagger", version="1", api_version=1, description="Tags.", emits=("tagger.tagged",))
    wanted = ["transcription_local.complete", "tagger.tagged", "tagger.error", "*.error", "cleanup_files.*"]
    [finding] = looked_at(plugin(tmp_path, subscribes=wanted), {"tagger": tagger})
    assert finding.is_warning
    assert "nobody here emits transcription_local.complete; did you mean transcription_local.completed?" in finding.text


@pytest.mark.parametrize(
    ("body", "line", "what"),
    [
        ("    def handle(self, event): pass", ":3", "handle() must be `async def`"),
        ("    def health(self): pass\n    async def handle(self, event): pass", ":3", "health() must be `async def`"),
        ("    pass", "", "it subscribes to events, but its class has no handle()"),
    ],
)
def test_a_class_that_cannot_work_is_found_out(tmp_path: Path, body: str, line: str, what: str) -> None:
    folder = plugin(tmp_path, HEAD + body)
    assert list(inspected(folder)) == [(f"{folder / 'plugin.py'}{line}: {what}", False)]


def test_a_file_without_the_class_is_found_out(tmp_path: Path) -> None:
    [(text, is_warning)] = inspected(plugin(tmp_path, "class Plug: pass"))
    assert "must hold a class Plugin(PluginBase)" in text
    assert not is_warning


def test_settings_are_held_against_their_model(tmp_path: Path) -> None:
    body = (
        "    class Config(BaseModel):\n        times: int\n        word: str\n    async def handle(self, event): pass\n"
    )
    folder = plugin(tmp_path, HEAD + body, config={"times": "often"})
    assert list(inspected(folder)) == [
        (f"{folder / 'plugin.yaml'}: config.times: must be a whole number (it is 'often')", False),
        (
            f"{folder / 'plugin.yaml'}: config.word: has no default; the plugin starts only once its user has set it",
            True,
        ),
    ]


def test_a_plugin_that_hears_nothing_is_warned_of(tmp_path: Path) -> None:
    [(text, is_warning)] = inspected(plugin(tmp_path, subscribes=[]))
    assert text.endswith("subscribes: is empty, so that handle() is never called")
    assert is_warning


def test_a_test_that_fails_is_a_mistake_and_none_at_all_a_warning(tmp_path: Path) -> None:
    folder = plugin(tmp_path)
    assert list(check(folder, {})) == [Finding(f"{folder}: it has no tests", is_warning=True)]
    (folder / "test_plugin.py").write_text("def test_it():\n    assert 1 == 2\n")
    [finding] = check(folder, {})
    assert "its tests fail" in finding.text
    assert "test_plugin.py:2" in finding.text
    assert sorted(path.name for path in folder.iterdir()) == ["plugin.py", "plugin.yaml", "test_plugin.py"]
