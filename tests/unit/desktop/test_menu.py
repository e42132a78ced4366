from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from panotti_daemon.api.model_schemas import ListedModel, ModelInventory, ModelUse
from panotti_daemon.api.schemas import (
    Activity,
    BacklogStatus,
    Failure,
    FolderStatus,
    Job,
    ModelDownload,
    PluginStatus,
    Queue,
    QueuedRecording,
    RecentTranscript,
    Status,
)
from panotti_daemon.desktop.icons import IconState
from panotti_daemon.desktop.menu import Action, MenuEntry, duration, menu_for, shortened, tomorrow_morning, view_of

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def status(activity: Activity = Activity.IDLE, **more: Any) -> Status:
    values = {"version": "1", "summary": "Nothing to do", "pid": 1, "started_at": NOW, "url": "", "log_file": ""}
    return Status.model_validate({**values, "activity": activity, **more})


def backlog(files: int, seconds: float) -> BacklogStatus:
    return BacklogStatus(folder="/in", files=files, audio_seconds=0, estimated_seconds=seconds)


def recent(title: str, path: str | None) -> RecentTranscript:
    return RecentTranscript(recording_id=title, title=title, finished_at=NOW, path=path)


def everything(menu: Iterable[MenuEntry]) -> Iterator[MenuEntry]:
    """In reading order, as far as it can be seen."""
    for entry in menu:
        if entry.visible:
            yield entry
            yield from everything(entry.children)


def entry(menu: list[MenuEntry], action: Action) -> MenuEntry:
    return next(entry for entry in everything(menu) if entry.action is action)


def submenu(menu: list[MenuEntry], beginning: str) -> list[MenuEntry]:
    found = next(entry for entry in everything(menu) if entry.label.startswith(beginning))
    return [child for child in found.children if child.visible]


def labels(entries: Iterable[MenuEntry]) -> list[str]:
    return [entry.label for entry in entries]


def shape(menu: tuple[MenuEntry, ...] | list[MenuEntry]) -> list[Any]:
    return [shape(entry.children) for entry in menu]


@pytest.mark.parametrize(
    "shown",
    [
        status(),
        status(Activity.PAUSED),
        status(
            backlog=[backlog(3, 60)],
            recent=[recent("a", None)] * 9,
            queue=Queue(failed=2, ready=30),
            queued=[QueuedRecording(recording_id="r", title="r")] * 5,
            jobs=[Job(recording_id="j", title="j")],
            failures=[Failure(recording_id=None, path="/a", reason="no")],
            plugins=[PluginStatus(name=f"p{number}", state="running") for number in range(20)],
        ),
    ],
)
def test_the_structure_never_changes(shown: Status) -> None:
    models = inventory("mine", SMALL, TINY, LARGE)
    assert shape(menu_for(None)) == shape(menu_for(shown)) == shape(menu_for(shown, models=models))


def test_without_a_daemon_only_ending_is_possible() -> None:
    enabled = [entry.label for entry in menu_for(None) if entry.action and entry.enabled and entry.visible]
    assert enabled == ["Check health", "About Panotti", "Quit Panotti", "Close tray icon"]
    assert not next(entry for entry in menu_for(None) if entry.label == "Pause").enabled


def test_the_first_line_is_the_summary_and_does_nothing() -> None:
    first = menu_for(status(summary="Transcribing"))[0]
    assert first == MenuEntry("Transcribing", enabled=False)


def test_pausing_has_three_ways_and_gives_its_place_to_resuming() -> None:
    going, paused = menu_for(status()), menu_for(status(Activity.PAUSED))
    assert labels(submenu(going, "Pause")) == ["For 1 hour", "Until tomorrow", "Until resumed"]
    assert "Resume" not in labels(everything(going))
    assert "Resume" in labels(everything(paused))
    assert "Pause" not in labels(everything(paused))


def test_tomorrow_begins_in_the_morning_after_the_next_midnight() -> None:
    late, later = datetime(2026, 3, 1, 23, 50).astimezone(), datetime(2026, 3, 2, 0, 10).astimezone()
    assert tomorrow_morning(late) == datetime(2026, 3, 2, 6).astimezone()
    assert tomorrow_morning(later) == datetime(2026, 3, 3, 6).astimezone()


def test_the_backlog_is_asked_about_only_when_it_waits() -> None:
    assert Action.ACCEPT_BACKLOG not in [entry.action for entry in everything(menu_for(status()))]
    question = entry(menu_for(status(backlog=[backlog(100, 9000), backlog(20, 1800)])), Action.ACCEPT_BACKLOG)
    assert question.label == "Transcribe 120 older recordings (about 3 h)…"


def test_the_queue_shows_what_runs_and_what_comes_next() -> None:
    queued = [QueuedRecording(recording_id=f"r{number}", title=f"call {number}") for number in range(5)]
    job = Job(recording_id="j", title="interview", fraction=0.42)
    menu = menu_for(status(Activity.WORKING, jobs=[job], queued=queued, queue=Queue(ready=12)))
    rows = submenu(menu, "Queue (13)")
    assert labels(rows) == ["interview, 42%", "call 0", "call 1", "call 2", "call 3", "and 8 more"]
    running, waiting = rows[0], rows[1]
    assert [(e.label, e.action, e.target) for e in running.children if e.visible] == [("Cancel", Action.CANCEL, "j")]
    assert [(e.label, e.action, e.target) for e in waiting.children if e.visible] == [
        ("Transcribe next", Action.TRANSCRIBE_NEXT, "r0"),
        ("Cancel", Action.CANCEL, "r0"),
    ]


def test_an_empty_queue_says_so() -> None:
    assert labels(submenu(menu_for(status()), "Queue")) == ["Nothing waits"]


def test_failures_tell_their_reason_and_can_be_retried_one_by_one_or_all() -> None:
    failure = Failure(recording_id=None, path="/in/broken.mp4", reason="it holds no sound")
    menu = menu_for(status(queue=Queue(failed=2), failures=[failure]))
    row, all_of_them = submenu(menu, "Failed (2)")
    assert row.label == "broken.mp4"
    assert [(e.label, e.action, e.target, e.enabled) for e in row.children] == [
        ("it holds no sound", None, None, False),
        ("Retry", Action.RETRY, "/in/broken.mp4", True),
        ("Show in folder", Action.SHOW_IN_FOLDER, "/in/broken.mp4", True),
    ]
    assert (all_of_them.action, all_of_them.enabled) == (Action.RETRY_FAILED, True)


@pytest.mark.parametrize(("queue", "possible"), [(Queue(), False), (Queue(failed=1), True), (Queue(waiting=1), True)])
def test_retrying_all_needs_something_that_failed_or_waits(queue: Queue, possible: bool) -> None:
    assert entry(menu_for(status(queue=queue)), Action.RETRY_FAILED).enabled is possible


def test_a_recent_transcript_can_be_opened_copied_and_shown_if_it_is_there() -> None:
    menu = menu_for(status(recent=[recent("there", "/out/there.txt"), recent("gone", None)]))
    there, gone = submenu(menu, "Recent")
    assert [(e.label, e.action, e.target, e.enabled) for e in there.children] == [
        ("Open", Action.OPEN, "/out/there.txt", True),
        ("Copy text", Action.COPY_TEXT, "there", True),
        ("Show in folder", Action.SHOW_IN_FOLDER, "/out/there.txt", True),
    ]
    assert [e.enabled for e in gone.children] == [False, True, False]  # the text itself is stored


def test_no_more_than_five_recent_transcripts_are_shown() -> None:
    menu = menu_for(status(recent=[recent(str(number), "/out") for number in range(9)]))
    assert labels(submenu(menu, "Recent")) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("starts", "action", "checked", "enabled"),
    [
        (True, Action.START_AT_LOGIN_NO_MORE, True, True),
        (False, Action.START_AT_LOGIN, False, True),
        (None, Action.START_AT_LOGIN, False, False),
    ],
)
def test_starting_at_login_is_a_check_mark(starts: bool | None, action: Action, checked: bool, enabled: bool) -> None:
    row = submenu(menu_for(status(), starts), "Settings")[0]
    assert (row.label, row.action, row.checked, row.enabled) == ("Start at login", action, checked, enabled)


def test_notifications_and_plugins_are_check_marks() -> None:
    plugins = [
        PluginStatus(name="transcription_local", state="running"),
        PluginStatus(name="desktop_notifier", state="disabled"),
    ]
    _, notifications, _, others = submenu(menu_for(status(plugins=plugins)), "Settings")
    assert (notifications.label, notifications.action, notifications.target, notifications.checked) == (
        "Notifications",
        Action.ENABLE_PLUGIN,
        "desktop_notifier",
        False,
    )
    assert [(e.label, e.action, e.checked) for e in others.children if e.visible] == [
        ("transcription_local", Action.DISABLE_PLUGIN, True)
    ]


def inventory(setting: str, *models: ListedModel) -> ModelInventory:
    use = ModelUse(setting="auto", language="en", folders=[], model="small", why="it is the best that is here")
    return ModelInventory(setting=setting, machine="two cores", models=list(models), uses=[use])


SMALL = ListedModel(name="small", english_only=False, source="panotti")
TINY = ListedModel(name="tiny.en", english_only=True, source="starter")
LARGE = ListedModel(name="large-v3", size=3_100_000_000, english_only=False)


def test_the_models_that_are_here_are_chosen_by_turns() -> None:
    damaged = ListedModel(name="medium", english_only=False, source="cache", damage="a file is cut short")
    rows = submenu(menu_for(status(), models=inventory("tiny.en", SMALL, TINY, LARGE, damaged)), "Model")
    choices = [row for row in rows if row.radio]
    assert [(row.label, row.checked, row.target) for row in choices] == [
        ("Automatic (small)", False, "auto"),
        ("small", False, "small"),
        ("tiny.en", True, "tiny.en"),
    ]
    assert {row.action for row in choices} == {Action.USE_MODEL}


def test_a_model_in_the_settings_that_is_not_here_is_shown_and_cannot_be_chosen() -> None:
    rows = submenu(menu_for(status(), models=inventory("/models/mine", SMALL)), "Model")
    assert [(row.label, row.checked, row.enabled) for row in rows if row.radio] == [
        ("Automatic (small)", False, True),
        ("/models/mine", True, False),
        ("small", False, True),
    ]


@pytest.mark.parametrize(
    ("downloads", "label", "action"),
    [
        ([], "large-v3, 3.1 GB", Action.PULL_MODEL),
        ([ModelDownload(model="large-v3", fraction=0.42)], "Cancel large-v3, 42%", Action.CANCEL_PULL),
        ([ModelDownload(model="large-v3", problem="no network")], "large-v3: no network", Action.PULL_MODEL),
    ],
)
def test_more_models_can_be_got(downloads: list[ModelDownload], label: str, action: Action) -> None:
    (row,) = submenu(menu_for(status(downloads=downloads), models=inventory("auto", SMALL, LARGE)), "Get more")
    assert (row.label, row.action, row.target) == (label, action, "large-v3")


def test_a_plugin_with_a_problem_says_so_in_its_row() -> None:
    unwell = PluginStatus(name="hello", state="running", problem="The plugin hello is not well: no network")
    (row,) = submenu(menu_for(status(plugins=[unwell])), "Plugins")
    assert (row.label, row.action) == ("The plugin hello is not well: no network", Action.DISABLE_PLUGIN)


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
