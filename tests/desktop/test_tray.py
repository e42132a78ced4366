from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from panotti_daemon.api.schemas import (
    Activity,
    BacklogStatus,
    Failure,
    FolderStatus,
    Job,
    PluginStatus,
    Queue,
    QueuedRecording,
    RecentTranscript,
)
from panotti_daemon.desktop.icons import TEAL
from panotti_daemon.paths import Paths
from tests.daemon import PATIENCE
from tests.desktop.desktop import Desktop, end, wait_for
from tests.desktop.scripted_daemon import NOW, ScriptedDaemon, status

TRAY = "import sys; from panotti_daemon.paths import Paths; from panotti_daemon.desktop.tray import main;" + (
    "sys.exit(main(Paths.from_environment()))"
)
OFFLINE = [
    "Panotti is not running",
    "Queue",
    "Recent transcripts",
    "Failed",
    "Open recordings folder",
    "Open transcripts folder",
    "Pause",
    "Settings",
    "Check health",
    "About Panotti",
    "Quit Panotti",
    "Close tray icon",
]

StartTray = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def paths(home: Path) -> Paths:
    return Paths.from_environment({"PANOTTI_HOME": str(home)})


@pytest.fixture
def daemon(paths: Paths) -> Iterator[ScriptedDaemon]:
    with ScriptedDaemon(paths) as running:
        yield running


@pytest.fixture
def start_tray(desktop: Desktop, home: Path, tmp_path: Path) -> Iterator[StartTray]:
    """Starts a tray, whose xdg-open notes its argument in the file `opened`."""
    programs = tmp_path / "bin"
    programs.mkdir()
    opener = programs / "xdg-open"
    opened = tmp_path / "opened"
    opener.write_text(f'#!/bin/sh\nprintf %s "$1" > "{opened}.new"\nmv "{opened}.new" "{opened}"\n')
    opener.chmod(0o755)
    path = f"{programs}{os.pathsep}{desktop.environment['PATH']}"
    with ExitStack() as started:
        yield lambda: started.enter_context(running_tray(desktop, home, PATH=path))
    wait_for(lambda: not desktop.tray_items(), "the tray is empty again")


@contextmanager
def running_tray(desktop: Desktop, home: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**desktop.environment, "PANOTTI_HOME": str(home), **environment}
    command = (sys.executable, "-W", "error", "-c", TRAY)
    with subprocess.Popen(
        command, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            end(process)


def error_of(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=PATIENCE)[1]


def test_the_icon_registers_with_the_panel_and_has_pixels(
    desktop: Desktop, daemon: ScriptedDaemon, start_tray: StartTray
) -> None:
    start_tray()
    item = desktop.tray_item()
    wait_for(lambda: item.property("Title") == "Panotti: Nothing to do", "the status is shown")
    assert item.property("Id") == "panotti"
    assert item.property("Status") == "Active"
    assert item.property("ItemIsMenu") is True
    assert item.property("ToolTip") == ("", [], "Panotti: Nothing to do", "")
    pixmaps = item.property("IconPixmap")
    assert [width for width, _, _ in pixmaps] == [22, 24, 32, 48]
    assert all(len(pixels) == width * height * 4 and any(pixels) for width, height, pixels in pixmaps)


def test_the_menu_says_what_the_daemon_says(desktop: Desktop, daemon: ScriptedDaemon, start_tray: StartTray) -> None:
    daemon.show(
        status(
            Activity.WORKING,
            "Transcribing interview_1.m4a, 42 %",
            jobs=[Job(recording_id="r", title="interview_1", fraction=0.42)],
            queue=Queue(failed=3),
            recent=[RecentTranscript(recording_id="a", title="Monday call", finished_at=NOW, path="/tmp/monday.txt")],
            backlog=[BacklogStatus(folder="/in", files=120, audio_seconds=90_000, estimated_seconds=10_800)],
        )
    )
    start_tray()
    item = desktop.tray_item()
    wait_for(lambda: item.labels()[0] == "Transcribing interview__1.m4a, 42 %", "the status is shown")
    assert item.labels() == [
        "Transcribing interview__1.m4a, 42 %",
        "Transcribe 120 older recordings (about 3 h)…",
        "Queue (1)",
        "Recent transcripts",
        "Failed (3)",
        *OFFLINE[4:9],
        "About Panotti 0.1.0",
        *OFFLINE[10:],
    ]
    assert not item.row("Transcribing interview__1.m4a, 42 %").enabled
    assert [row.label for row in item.row("Recent transcripts").children if row.visible] == ["Monday call"]
    item.click("Transcribe 120 older recordings (about 3 h)…")
    item.click("Failed (3)", "Retry all")
    wait_for(lambda: len(daemon.posts) == 2, "both requests came")
    assert sorted(daemon.posts) == ['/backlog {"accept":true,"folder":null}', "/retry"]


def test_pause_becomes_resume_in_place(desktop: Desktop, daemon: ScriptedDaemon, start_tray: StartTray) -> None:
    start_tray()
    item = desktop.tray_item()
    wait_for(lambda: item.labels()[0] == "Nothing to do", "the status is shown")
    revision, labels = item.menu_revision(), item.labels()
    item.click("Pause", "Until resumed")
    wait_for(lambda: "Resume" in item.labels(), "the entry has changed")
    assert daemon.posts == ['/pause {"until":null}']
    assert item.labels()[1:] == [label.replace("Pause", "Resume") for label in labels[1:]]
    assert item.menu_revision() == revision
    item.click("Resume")
    wait_for(lambda: "Pause" in item.labels(), "the entry has changed back")
    assert daemon.posts[1:] == ["/resume"]
    assert item.menu_revision() == revision


def test_every_entry_asks_the_daemon_for_what_it_says(
    desktop: Desktop, daemon: ScriptedDaemon, start_tray: StartTray
) -> None:
    daemon.show(
        status(
            Activity.WORKING,
            "Working",
            jobs=[Job(recording_id="j", title="interview", fraction=0.5)],
            queued=[QueuedRecording(recording_id="q", title="call")],
            queue=Queue(ready=1, failed=1),
            failures=[Failure(recording_id=None, path="/in/broken.mp4", reason="it holds no sound")],
            plugins=[
                PluginStatus(name="desktop_notifier", state="running"),
                PluginStatus(name="example", state="disabled"),
            ],
        )
    )
    start_tray()
    item = desktop.tray_item()
    wait_for(lambda: item.labels()[0] == "Working", "the status is shown")
    assert item.row("Settings", "Notifications").checked
    assert not item.row("Settings", "Plugins", "example").checked
    pressed = {
        ("Queue (2)", "interview, 50%", "Cancel"): "/recordings/j/cancel",
        ("Queue (2)", "call", "Transcribe next"): "/recordings/q/now",
        ("Queue (2)", "call", "Cancel"): "/recordings/q/cancel",
        ("Failed (1)", "broken.mp4", "Retry"): '/ledger/retry {"path":"/in/broken.mp4"}',
        ("Settings", "Notifications"): "/plugins/desktop_notifier/disable",
        ("Settings", "Plugins", "example"): "/plugins/example/enable",
    }
    for labels, post in pressed.items():
        item.click(*labels)
        wait_for(partial(daemon.posts.__contains__, post), f"the daemon was asked for {post}")
    item.click("Pause", "For 1 hour")
    wait_for(lambda: any(post.startswith('/pause {"until":"20') for post in daemon.posts), "it is paused for a while")


def test_a_transcripts_text_can_be_copied(desktop: Desktop, daemon: ScriptedDaemon, start_tray: StartTray) -> None:
    recent = [RecentTranscript(recording_id="a", title="Monday call", finished_at=NOW, path="/tmp/monday.txt")]
    daemon.show(status(recent=recent))
    start_tray()
    item = desktop.tray_item()
    wait_for(lambda: item.labels()[0] == "Nothing to do", "the status is shown")
    item.click("Recent transcripts", "Monday call", "Copy text")
    wait_for(lambda: desktop.clipboard() == "Guten Morgen, Zoë.\n", "the text is on the clipboard")


def test_trouble_asks_for_attention(desktop: Desktop, daemon: ScriptedDaemon, start_tray: StartTray) -> None:
    start_tray()
    item = desktop.tray_item()
    daemon.show(status(Activity.TROUBLE, "The output folder cannot be written"))
    wait_for(lambda: item.property("Status") == "NeedsAttention", "the icon asks for attention")
    daemon.show(status())
    wait_for(lambda: item.property("Status") == "Active", "it no longer does")


def test_a_daemon_that_went_away_is_shown_as_such_and_found_again(
    desktop: Desktop, paths: Paths, start_tray: StartTray
) -> None:
    with ScriptedDaemon(paths):
        start_tray()
        item = desktop.tray_item()
        wait_for(lambda: item.labels()[0] == "Nothing to do", "the status is shown")
    wait_for(lambda: item.labels() == OFFLINE, "the daemon is shown as gone")
    assert not item.row("Pause").enabled
    with ScriptedDaemon(paths, status(summary="Back again")):
        wait_for(lambda: item.labels()[0] == "Back again", "the new daemon is found")
    assert desktop.tray_items() == [item]


def test_a_tray_that_was_killed_and_started_again_shows_one_icon(
    desktop: Desktop, daemon: ScriptedDaemon, start_tray: StartTray
) -> None:
    end(start_tray(), signal.SIGKILL)
    first = start_tray()
    item = desktop.tray_item()
    end(first, signal.SIGKILL)
    wait_for(lambda: not desktop.tray_items(), "the icon of the dead is gone")
    start_tray()
    assert desktop.tray_item() != item


def test_a_second_tray_for_the_same_home_says_so_and_ends(desktop: Desktop, start_tray: StartTray) -> None:
    start_tray()
    item = desktop.tray_item()
    second = start_tray()
    assert error_of(second) == "The tray icon is already there.\n"
    assert second.returncode == 3
    assert desktop.tray_items() == [item]


def test_termination_takes_the_icon_away_and_is_no_failure(desktop: Desktop, start_tray: StartTray) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        tray = start_tray()
        desktop.tray_item()
        tray.send_signal(number)
        assert error_of(tray) == ""
        assert tray.returncode == 0
        wait_for(lambda: not desktop.tray_items(), "the icon is gone")


def test_close_ends_the_tray_only_and_quit_ends_both(
    desktop: Desktop, daemon: ScriptedDaemon, start_tray: StartTray
) -> None:
    tray = start_tray()
    desktop.tray_item().click("Close tray icon")
    assert tray.wait(PATIENCE) == 0
    assert daemon.posts == []
    wait_for(lambda: not desktop.tray_items(), "the icon is gone")
    tray = start_tray()
    desktop.tray_item().click("Quit Panotti")
    assert tray.wait(PATIENCE) == 0
    assert daemon.posts == ["/shutdown"]


def test_quit_without_a_daemon_ends_the_tray(desktop: Desktop, start_tray: StartTray) -> None:
    tray = start_tray()
    desktop.tray_item().click("Quit Panotti")
    assert tray.wait(PATIENCE) == 0


def test_folders_are_opened_by_the_desktop(
    desktop: Desktop, daemon: ScriptedDaemon, start_tray: StartTray, tmp_path: Path
) -> None:
    recordings, transcripts = tmp_path / "my recordings", tmp_path / "my transcripts"
    for folder in (recordings, transcripts):
        folder.mkdir()
    daemon.show(status(folders=[FolderStatus(path=str(recordings), output=str(transcripts), state="watching")]))
    start_tray()
    item = desktop.tray_item()
    wait_for(lambda: item.row("Open recordings folder").enabled, "the folders are known")
    opened = tmp_path / "opened"
    item.click("Open recordings folder")
    wait_for(lambda: opened.exists() and opened.read_text() == str(recordings), "the recordings were opened")
    item.activate()
    wait_for(lambda: opened.read_text() == str(transcripts), "the transcripts were opened")


def test_a_panel_that_asks_for_more_than_a_socket_holds_gets_it_all(
    desktop: Desktop, daemon: ScriptedDaemon, start_tray: StartTray
) -> None:
    start_tray()
    item = desktop.tray_item()
    assert len(set(map(len, item.all_properties(times=150)))) == 1
    assert desktop.tray_items() == [item]


def test_a_click_opens_the_menu(
    desktop: Desktop, daemon: ScriptedDaemon, start_tray: StartTray, tmp_path: Path
) -> None:
    daemon.show(
        status(
            Activity.WORKING, "Transcribing interview.m4a, 42 %", jobs=[Job(recording_id="r", title="i", fraction=0.42)]
        )
    )
    start_tray()
    item = desktop.tray_item()
    wait_for(lambda: item.labels()[0].startswith("Transcribing"), "the status is shown")
    x, y = wait_for(lambda: desktop.find_colour(TEAL), "the icon is on the screen")
    windows = desktop.windows()
    desktop.run("xdotool", "mousemove", str(x), str(y), "click", "1")
    wait_for(lambda: desktop.windows() > windows, "a menu is open")
    desktop.screenshot(tmp_path / "menu.png")
    desktop.run("xdotool", "key", "Escape")
    wait_for(lambda: desktop.windows() == windows, "the menu is closed")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "No tray icon: there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set).\n"),
        (
            {"DISPLAY": ":77"},
            "No tray icon: there is no D-Bus session bus (DBUS_SESSION_BUS_ADDRESS is not set).\n",
        ),
    ],
)
def test_without_a_desktop_it_says_so_and_fails(environment: dict[str, str], message: str, home: Path) -> None:
    result = subprocess.run(
        (sys.executable, "-W", "error", "-c", TRAY),
        env={"PANOTTI_HOME": str(home), **environment},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (1, message)


def test_a_panel_that_comes_late_or_comes_back_gets_the_icon(own_desktop: Desktop, home: Path) -> None:
    own_desktop.stop_panel()
    with running_tray(own_desktop, home):
        own_desktop.start_panel()
        item = own_desktop.tray_item()
        own_desktop.stop_panel()
        own_desktop.start_panel()
        assert own_desktop.tray_item() == item


def test_a_bus_that_goes_away_ends_the_tray(own_desktop: Desktop, home: Path) -> None:
    with running_tray(own_desktop, home) as tray:
        own_desktop.tray_item()
        own_desktop.stop_bus()
        # dbus-fast may say more, of messages that it could not send
        assert "No tray icon: The desktop's session bus is gone.\n" in error_of(tray)
        assert tray.returncode == 1
