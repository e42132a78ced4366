"""The real daemon and its tray icon on a real desktop, from `panotti run` to Quit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from panotti_daemon.api.schemas import Activity
from panotti_daemon.models.recording.models import FileState
from tests.daemon import PATIENCE, Panotti, wait_until
from tests.desktop.desktop import Desktop, TrayItem
from tests.speech import SAMPLE


@pytest.fixture
def at_desk(desktop: Desktop, panotti: Callable[..., Panotti]) -> Iterator[Panotti]:
    """A daemon started from a terminal on the desktop, which brings its tray icon with it."""
    daemon = panotti(
        {"plugins": {"desktop_notifier": {"config": {"together_seconds": 0}}}},
        environment=desktop.environment,
        tray=True,
    )
    with daemon:
        yield daemon
    for pid in daemon.trays():
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not daemon.trays(), "the tray icon has gone")
    daemon.reap()


def icon(desktop: Desktop) -> TrayItem:
    wait_until(lambda: len(desktop.tray_items()) == 1, "there is one icon")
    return desktop.tray_item()


def title(desktop: Desktop) -> str:
    return str(icon(desktop).labels()[0])


def recent_transcripts(desktop: Desktop) -> list[str]:
    return [row.label for row in icon(desktop).row("Recent transcripts").children if row.visible and row.enabled]


def test_run_brings_an_icon_whose_menu_pauses_and_resumes_the_daemon(desktop: Desktop, at_desk: Panotti) -> None:
    item = icon(desktop)
    wait_until(lambda: "Pause" in item.labels(), "the icon has found the daemon")

    item.click("Pause", "Until resumed")
    wait_until(lambda: at_desk.status().activity is Activity.PAUSED, "the daemon pauses")
    wait_until(lambda: "Resume" in item.labels(), "the menu says so")

    item.click("Resume")
    wait_until(lambda: at_desk.status().activity is Activity.IDLE, "the daemon goes on")


def test_a_transcript_is_shown_in_the_menu_and_as_a_notification(desktop: Desktop, at_desk: Panotti) -> None:
    dropped = at_desk.recordings / "interview.wav"
    shutil.copy(SAMPLE, dropped)
    at_desk.wait_for(dropped, FileState.DONE)
    wait_until(lambda: recent_transcripts(desktop) == ["interview"], "the menu has the transcript")
    (told,) = wait_until(lambda: at_desk.events("desktop_notification.completed"), "it was notified")
    assert told["status"] == "accepted by the server"
    assert told["title"] == "interview is transcribed"


def test_a_daemon_that_is_killed_and_started_again_keeps_its_one_icon(desktop: Desktop, at_desk: Panotti) -> None:
    item = icon(desktop)
    (tray,) = at_desk.trays()
    wait_until(lambda: "Pause" in item.labels(), "the icon has found the daemon")

    at_desk.kill()
    wait_until(lambda: "not running" in title(desktop), "the icon shows that it is offline")
    at_desk.start()

    wait_until(lambda: title(desktop).startswith("Idle"), "the icon has found the new daemon")
    assert at_desk.trays() == [tray]
    assert icon(desktop) == item


def test_an_icon_that_is_killed_ten_times_leaves_the_daemon_alone_and_can_be_started_again(
    desktop: Desktop, at_desk: Panotti
) -> None:
    icon(desktop)
    assert at_desk.process
    daemon = psutil.Process(at_desk.process.pid)
    for _ in range(10):
        (tray,) = at_desk.trays()
        os.kill(tray, signal.SIGKILL)
        wait_until(lambda: not desktop.tray_items(), "the icon has gone")
        assert at_desk.status().activity is Activity.IDLE
        at_desk.spawn("tray")
        wait_until(lambda: title(desktop).startswith("Idle"), "the new icon has found the daemon")
    assert [child.cmdline() for child in daemon.children()] == []


def test_a_module_in_the_folder_of_the_terminal_does_not_stand_in_for_a_library_of_the_icon(
    desktop: Desktop, at_desk: Panotti
) -> None:
    icon(desktop).click("Close tray icon")
    wait_until(lambda: not at_desk.trays(), "the icon has gone")
    (at_desk.home / "queue.py").write_text("raise SystemExit")
    start = "from panotti_daemon.desktop.tray import *; start_detached(Paths.from_environment())"
    command = [sys.executable, "-P", "-c", start]
    subprocess.run(command, env=at_desk.environment, cwd=at_desk.home, check=True)
    wait_until(lambda: title(desktop).startswith("Idle"), "the icon is there")


def test_closing_leaves_the_daemon_and_quitting_ends_both(desktop: Desktop, at_desk: Panotti) -> None:
    icon(desktop).click("Close tray icon")
    wait_until(lambda: not at_desk.trays(), "the icon has gone")
    assert at_desk.status().activity is Activity.IDLE
    at_desk.spawn("tray")
    item = icon(desktop)
    wait_until(lambda: "Pause" in item.labels(), "the icon has found the daemon")
    assert at_desk.process
    item.click("Quit Panotti")
    assert at_desk.process.wait(PATIENCE) == 0
    wait_until(lambda: not at_desk.trays(), "the icon has gone, too")


def test_without_a_desktop_everything_else_works_and_one_line_says_so(panotti: Callable[..., Panotti]) -> None:
    with panotti(tray=True) as daemon:
        lines = daemon.output.read_text().splitlines()
        assert len([line for line in lines if line.strip().startswith("Tray icon: none: there is no display")]) == 1
        dropped = daemon.recordings / "memo.wav"
        shutil.copy(SAMPLE, dropped)
        daemon.wait_for(dropped, FileState.DONE)
        assert daemon.trays() == []
        (told,) = wait_until(lambda: daemon.events("desktop_notification.completed"), "a notification was tried")
        assert told["status"] == "no server"
