from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from panotti_daemon.core.plugins.importing import ROOT, load_plugin_class, located, unload
from tests.unit.core.plugins.managed import plugin


def loaded() -> set[str]:
    return {name for name in sys.modules if name.startswith(f"{ROOT}.")}


def versioned(folder: Path, word: str) -> Path:
    """Of the same size whatever the word, and written within the same second."""
    files = {"helper.py": f"word = {word!r}"}
    return plugin(folder, "one", "word = word", before="from .helper import word", files=files)


def test_two_versions_live_side_by_side_with_their_helpers(tmp_path: Path) -> None:
    before = loaded()
    old: Any = load_plugin_class(versioned(tmp_path, "old"))
    new: Any = load_plugin_class(versioned(tmp_path, "new"))
    assert (old.word, new.word) == ("old", "new")
    unload(old)
    assert {sys.modules[new.__module__], sys.modules[f"{new.__module__.rpartition('.')[0]}.helper"]}
    unload(new)
    assert loaded() == before


def test_nothing_is_written_into_a_plugins_folder(tmp_path: Path) -> None:
    folder = versioned(tmp_path, "old")
    unload(load_plugin_class(folder))
    assert sorted(path.name for path in folder.iterdir()) == ["helper.py", "plugin.py", "plugin.yaml"]


def test_a_file_that_is_new_is_found(tmp_path: Path) -> None:
    folder = plugin(tmp_path, "one")
    unload(load_plugin_class(folder))
    (folder / "late.py").write_text("word = 'late'")
    (folder / "plugin.py").write_text(f"from .late import word\n{(folder / 'plugin.py').read_text()}")
    unload(load_plugin_class(folder))


def test_what_cannot_be_imported_leaves_no_modules_behind(tmp_path: Path) -> None:
    before = loaded()
    folder = plugin(tmp_path, "one", before="from . import helper\nraise ValueError", files={"helper.py": ""})
    with pytest.raises(ValueError, match=r"^$"):
        load_plugin_class(folder)
    assert loaded() == before


@pytest.mark.parametrize(
    ("helper", "where"),
    [
        ("def f(:\n  pass", "helper.py:1: SyntaxError: invalid syntax"),
        ("\n\n1 / 0", "helper.py:3: ZeroDivisionError: division by zero"),
        ("import json\njson.loads('[')", "helper.py:2: JSONDecodeError: Expecting value: line 1 column 2 (char 1)"),
        ("import no_such_module", "helper.py:1: ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_the_line_of_the_plugins_own_files_is_named(tmp_path: Path, helper: str, where: str) -> None:
    folder = plugin(tmp_path, "one", before="from . import helper", files={"helper.py": helper})
    with pytest.raises(Exception) as caught:  # noqa: PT011
        load_plugin_class(folder)
    assert located(caught.value, folder) == f"{folder}/{where}"
