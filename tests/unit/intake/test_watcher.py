from __future__ import annotations

from pathlib import Path

import pytest

from panotti_daemon.intake.watcher import FolderState, State
from panotti_daemon.settings import WatchFolder


@pytest.mark.parametrize(
    ("state", "reason", "problem"),
    [
        ("missing", None, None),
        ("missing", "the folder is not there", "/in: the folder is not there"),
        ("unreadable", "Permission denied", "/in: Permission denied"),
        ("polling", "the system tells of no changes there", None),
        ("watching", None, None),
    ],
)
def test_a_folder_is_a_problem_while_nothing_of_it_is_seen_and_it_is_known_why(
    state: State, reason: str | None, problem: str | None
) -> None:
    assert FolderState(WatchFolder(path=Path("/in"), output=Path("/out")), state, reason).problem == problem
