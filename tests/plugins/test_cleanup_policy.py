from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from panotti_daemon.core.plugins import FinishedFile
from panotti_daemon.explain import dotted, explain
from plugins.cleanup_files.policy import Action, Choice, Config, Policy, Scope, choose

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FOLDER = Path("/in")
DISK = 1


def file(name: str, *, size: int = 100, days: float = 1, transcript: str | None = None) -> FinishedFile:
    at = NOW - timedelta(days=days)
    return FinishedFile(
        path=FOLDER / name,
        folder=FOLDER,
        size=size,
        mtime_ns=1,
        content_hash=name,
        recording_id=transcript or name,
        transcript_id=transcript or name,
        title=name,
        reason="done",
        finished_at=at,
        changed_at=at,
    )


def policy(action: str = "trash", **more: Any) -> Policy:
    return Policy.model_validate({"action": action, "archive": "/archive", **more})


def chosen(files: list[FinishedFile], rules: Policy, **facts: Any) -> Choice:
    free, spared = facts.pop("free", 0), facts.pop("spared", {})
    scope = Scope(FOLDER, rules, size=sum(f.size for f in files), disk=DISK, **facts)
    return choose(files, lambda _: scope, free={DISK: free}, now=NOW, spared=spared)


def names(choice: Choice) -> list[str]:
    return [due.file.path.name for due in choice.due]


recordings = st.lists(
    st.builds(
        file,
        st.uuids().map(str),
        size=st.integers(1, 1000),
        days=st.integers(0, 100),
        transcript=st.sampled_from([None, None, "call", "meeting"]),
    ),
    max_size=12,
    unique_by=lambda f: f.path,
)
spared = st.sets(st.integers(0, 11), max_size=4)


@given(recordings, spared, st.integers(0, 100))
def test_by_age_exactly_what_is_old_enough_and_not_spared_is_due(
    files: list[FinishedFile], numbers: set[int], days: int
) -> None:
    why = {files[n].path: "spared" for n in numbers if n < len(files)}
    choice = chosen(files, policy(after_days=days), spared=why)
    families = {f.transcript_id for f in files if f.path in why}
    newest = {f.transcript_id: max(g.finished_at for g in files if g.transcript_id == f.transcript_id) for f in files}
    expected = {
        f.path
        for f in files
        if f.transcript_id not in families and newest[f.transcript_id] <= NOW - timedelta(days=days)
    }
    assert {due.file.path for due in choice.due} == expected
    assert {left.file.path for left in choice.left} == {f.path for f in files} - expected


@given(recordings, spared, st.integers(0, 5000))
def test_by_size_no_more_goes_than_must_and_the_oldest_first(
    files: list[FinishedFile], numbers: set[int], limit: int
) -> None:
    why = {files[n].path: "spared" for n in numbers if n < len(files)}
    choice = chosen(files, policy(max_folder_size=f"{limit} B"), spared=why)
    gone = {due.file.transcript_id for due in choice.due}
    size = sum(f.size for f in files if f.transcript_id not in gone)
    free_to_go = {left.file.transcript_id for left in choice.left} - {f.transcript_id for f in files if f.path in why}
    assert size <= limit or not free_to_go
    if choice.due:
        last = choice.due[-1].file.transcript_id
        assert size + sum(f.size for f in files if f.transcript_id == last) > limit
    ages = [max(f.finished_at for f in files if f.transcript_id == d.file.transcript_id) for d in choice.due]
    assert ages == sorted(ages)


@given(recordings, st.integers(0, 3000), st.integers(0, 3000))
def test_by_room_no_more_goes_than_must(files: list[FinishedFile], free: int, wanted: int) -> None:
    choice = chosen(files, policy("delete", min_free=f"{wanted} B"), free=free)
    freed = sum(due.file.size for due in choice.due)
    assert free + freed >= wanted or len(choice.due) == len(files)
    if choice.due:
        last = choice.due[-1].file.transcript_id
        assert free + freed - sum(f.size for f in files if f.transcript_id == last) < wanted


@given(recordings)
def test_who_keeps_recordings_is_not_even_told_of_them(files: list[FinishedFile]) -> None:
    assert chosen(files, Policy()) == Choice()


def test_two_folders_on_one_disk_make_room_together() -> None:
    files = [file("a", days=3), file("b", days=2)]
    scopes = {f.path: Scope(f.path, policy("delete", min_free="100 B"), disk=DISK) for f in files}
    choice = choose(files, lambda f: scopes[f.path], free={DISK: 0}, now=NOW, spared={})
    assert names(choice) == ["a"]


def test_time_counts_from_the_last_news_of_a_file() -> None:
    back = file("back.wav", days=90).model_copy(update={"changed_at": NOW})
    choice = chosen([back], policy(after_days=30))
    assert [left.reason for left in choice.left] == ["it is due in 30.0 days"]


def test_why_says_the_numbers() -> None:
    def why(rules: Policy, **facts: Any) -> str:
        (due,) = chosen([file("a.wav", size=2_500_000, days=10)], rules, **facts).due
        return due.why

    assert why(policy(after_days=7)) == "it was finished 10.0 days ago"
    assert why(policy(max_folder_size="1 MB")) == "/in holds 2.5 MB, more than 1 MB"
    assert why(policy(min_free="20 GB"), free=3 * 10**9) == "its disk has 3 GB free, less than 20 GB"


def test_the_nearest_folder_decides() -> None:
    config = Config.model_validate(
        {"folders": {"/in": {"action": "trash", "after_days": 1}, "/in/private": {"action": "keep"}}}
    )
    assert config.of(file("call.wav"))[0] == FOLDER
    assert config.of(file("private/call.wav"))[1].action is Action.KEEP
    assert Config().of(file("call.wav")) == (FOLDER, Policy())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"default": {"action": "shred"}}, "default.action: must be 'keep', 'archive'"),
        ({"default": {"action": "trash"}}, "needs to know when: after_days, max_folder_size or min_free"),
        ({"default": {"action": "flac", "after_days": 1}}, "action flac needs an archive folder"),
        ({"default": {"max_folder_size": "much"}}, "default.max_folder_size: must be a size such as 500 MB or 20 GB"),
        ({"default": {"max_folder_size": 20}}, "default.max_folder_size: must be a size such as 500 MB or 20 GB"),
        ({"default": {"min_free": "20"}}, "default.min_free: must be a size such as 500 MB or 20 GB"),
        ({"default": {"after_days": 1e12}}, "default.after_days: must be at most 36525"),
        ({"default": {"after_days": math.inf}}, "default.after_days: must be at most 36525"),
        ({"default": {"archive": "~nobody-here/Archive"}}, "default.archive: cannot be used: Could not determine home"),
        ({"folders": {"Calls": {}}}, "folders.Calls: must be an absolute path, or begin with ~"),
        ({"default": {"archive": "Archive"}}, "default.archive: must be an absolute path, or begin with ~"),
        ({"folders": {"/in": {"after": 1}}}, "folders./in.after: there is no such key; did you mean after_days?"),
    ],
)
def test_a_mistake_in_the_settings_is_named_with_its_key(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Config.model_validate(settings)
    key, what = explain(raised.value, Config)
    assert said in f"{dotted(key)}: {what}"


@pytest.mark.parametrize(
    ("written", "size"),
    [("20 GB", 20 * 10**9), ("1.5tb", 15 * 10**11), ("500 MB", 5 * 10**8), ("3k", 3000), ("7 B", 7)],
)
def test_sizes_are_written_as_people_write_them(written: str, size: int) -> None:
    assert policy(min_free=written).min_free == size
