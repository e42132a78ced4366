from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from panotti_daemon.api.schemas import (
    Activity,
    BacklogStatus,
    FolderStatus,
    Job,
    Queue,
    RecentTranscript,
    Status,
)
from panotti_daemon.desktop.icons import IconState
from panotti_daemon.desktop.menu import Action, MenuEntry, duration, menu_for, shortened, view_of

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def status(activity: Activity = Activity.IDLE, **more: Any) -> Status:
    values = {"version": "1", "summary": "Nothing to do", "pid": 1, "started_at": NOW, "url": "", "log_file": ""}
    return Status.model_validate({**values, "activity": activity, **more})


def backlog(files: int, seconds: float) -> BacklogStatus:
    return BacklogStatus(folder="/in", files=files, audio_seconds=0, estimated_seconds=seconds)


def recent(title: str, path: str | None) -> RecentTranscript:
    return RecentTranscript(recording_id=title, title=title, finished_at=NOW, path=path)


def entry(menu: list[MenuEntry], action: Action) -> MenuEntry:
    return next(entry for entry in menu if entry.action is action)


def shape(menu: tuple[MenuEntry, ...] | list[MenuEntry]) -> list[Any]:
    return [shape(entry.children) for entry in menu]


@pytest.mark.parametrize(
    "shown",
    [
        status(),
        status(Activity.PAUSED),
        status(backlog=[backlog(3, 60)], recent=[recent("a", None)] * 9, queue=Queue(failed=2)),
    ],
)
def test_the_structure_never_changes(shown: Status) -> None:
    assert shape(menu_for(shown)) == shape(menu_for(None))


def test_without_a_daemon_only_ending_is_possible() -> None:
    enabled = [entry.label for entry in menu_for(None) if entry.action and entry.enabled and entry.visible]
    assert enabled == ["Quit Panotti", "Close tray icon"]


def test_the_first_line_is_the_summary_and_does_nothing() -> None:
    first = menu_for(status(summary="Transcribing"))[0]
    assert first == MenuEntry("Transcribing", enabled=False)


def test_pausing_and_resuming_are_one_entry_in_one_place() -> None:
    going, paused = menu_for(status()), menu_for(status(Activity.PAUSED))
    assert going.index(entry(going, Action.PAUSE)) == paused.index(entry(paused, Action.RESUME))


def test_the_backlog_is_asked_about_only_when_it_waits() -> None:
    assert not entry(menu_for(status()), Action.ACCEPT_BACKLOG).visible
    question = entry(menu_for(status(backlog=[backlog(100, 9000), backlog(20, 1800)])), Action.ACCEPT_BACKLOG)
    assert question.visible
    assert question.label == "Transcribe 120 older recordings (about 3 h)…"


def test_retrying_needs_failures() -> None:
    assert not entry(menu_for(status()), Action.RETRY_FAILED).enabled
    retry = entry(menu_for(status(queue=Queue(failed=2))), Action.RETRY_FAILED)
    assert (retry.label, retry.enabled) == ("Retry failed (2)", True)


def test_recent_transcripts_open_their_file_if_it_is_there() -> None:
    menu = menu_for(status(recent=[recent("there", "/out/there.txt"), recent("gone", None)]))
    (submenu,) = [entry for entry in menu if entry.children]
    there, gone = [child for child in submenu.children if child.visible]
    assert (there.action, there.target, there.enabled) == (Action.OPEN, "/out/there.txt", True)
    assert not gone.enabled


def test_no_more_than_five_recent_transcripts_are_shown() -> None:
    menu = menu_for(status(recent=[recent(str(number), "/out") for number in range(9)]))
    (submenu,) = [entry for entry in menu if entry.children]
    assert [child.label for child in submenu.children if child.visible] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(("output", "opened"), [("/out", "/out"), ("beside", "/in")])
def test_the_folders_are_those_of_the_first_watched_one(output: str, opened: str) -> None:
    menu = menu_for(status(folders=[FolderStatus(path="/in", output=output, state="watching")]))
    assert [entry.target for entry in menu if entry.action is Action.OPEN] == ["/in", opened]


def test_long_titles_are_cut_in_the_middle() -> None:
    cut = shortened("2026-01-02 a very long meeting about the budget of the next year.m4a")
    assert len(cut) == 48
    assert cut.startswith("2026-01-02 a very long m")
    assert cut.endswith("of the next year.m4a")
    assert shortened("short\nand\ttidy") == "short and tidy"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "about a minute"), (600, "about 10 min"), (5340, "about 89 min"), (10_800, "about 3 h")],
)
def test_durations_are_for_people(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_view_tells_the_states_apart() -> None:
    assert view_of(None).state is IconState.OFFLINE
    assert [view_of(status(activity)).state.value for activity in Activity] == [activity.value for activity in Activity]


def test_a_storm_of_progress_changes_the_icon_at_most_twenty_times() -> None:
    def fraction(done: float) -> float:
        return view_of(status(Activity.WORKING, jobs=[Job(recording_id="r", title="r", fraction=done)])).fraction

    steps = [fraction(number / 1000) for number in range(1001)]
    assert len(set(steps)) - 1 <= 20
    assert steps == sorted(steps)
