from __future__ import annotations

import sys
from pathlib import Path

import pytest

from panotti_daemon.spelling import is_within


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("/in", "/in", True),
        ("/in/a/b.wav", "/in", True),
        ("/in/a", "/", True),
        ("/inner/a", "/in", False),
        ("/in", "/in/a", False),
        ("/cafe\u0301/a", "/caf\u00e9", True),
    ],
)
def test_a_path_is_within_a_folder_or_is_it(path: str, folder: str, expected: bool) -> None:
    assert is_within(Path(path), Path(folder)) is expected


@pytest.mark.parametrize(("platform", "expected"), [("darwin", True), ("win32", True), ("linux", False)])
def test_capitals_count_where_file_systems_tell_them_apart(
    monkeypatch: pytest.MonkeyPatch, platform: str, expected: bool
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert is_within(Path("/Calls/Straße/a"), Path("/calls/STRASSE")) is expected
