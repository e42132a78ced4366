"""Every entry of the tray's menu pressed over D-Bus, and what the real daemon and the desktop make of it.

The tests share a daemon with its tray icon, and leave it idle. What ends them stands in test_daemon_and_tray.py.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from panotti_daemon import __version__
from panotti_daemon.api.schemas import Activity
from panotti_daemon.models.recording.models import FileState
from tests.acceptance.test_crashes import crash_engine
from tests.daemon import Panotti, wait_until
from tests.desktop.desktop import Desktop, MenuRow, TrayItem
from tests.opener import noting_opener
from tests.speech import librivox_clip
from tests.watching import decodings, memo, silence, wait_for_work, watch


@dataclass
class Desk:
    desktop: Desktop
    daemon: Panotti
    drop: Path
    opened: Path
    """A file that holds what the desktop was last asked to open."""

    @property
    def menu(self) -> TrayItem:
        return self.desktop.tray_item()

    def press(self, *labels: str) -> None:
        """The last of these, once it is there; numbers behind a label do not count."""
        self.menu.press(wait_until(lambda: self.find(*labels), f"{labels} can be pressed"))

    def find(self, *labels: str) -> MenuRow | None:
        rows, found = self.menu.menu(), None
        for label in labels:
            found = next((row for row in rows if row.visible and row.enabled and row.label.startswith(label)), None)
            if found is None:
                return None
            rows = found.children
        return found

    def shows(self, *labels: str, checked: bool) -> None:
        """Until this entry of the settings is checked, or not."""
        wait_until(lambda: (row := self.find("Settings", *labels)) and row.checked is checked, f"{labels} is switched")

    def opens(self, path: Path) -> None:
        wait_until(lambda: self.opened.exists() and self.opened.read_text() == str(path), f"{path} is opened")
        self.opened.unlink()

    def is_told(self, words: str) -> None:
        wait_until(lambda: words in self.desktop.run("dunstctl", "history"), f"{words!r} is told")


@pytest.fixture(scope="module")
def desk(_desktop_programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    programs, opened = noting_opener(folder)
    drop, home = folder / "in", folder / "panotti"
    home.mkdir()
    settings = {"watch": [watch(drop)], "engine": {"idle_seconds": 0}, "backlog_limit": 0}
    silence(drop / "older.wav", 1)
    with Desktop(folder / "user") as desktop:
        environment = {**desktop.environment, "PATH": f"{programs}:{os.environ['PATH']}"}
        with Panotti(home, settings, environment=environment, tray=True) as daemon:
            wait_until(desktop.tray_items, "the icon is there")
            yield Desk(desktop, daemon, drop, opened)
        for pid in daemon.trays():
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not daemon.trays(), "the tray icon has gone")
        daemon.reap()


def test_older_recordings_are_accepted(desk: Desk) -> None:
    desk.press("Transcribe 1 older recording")
    desk.daemon.wait_for(desk.drop / "older.wav", FileState.NO_SPEECH)


def test_what_failed_is_tried_again_with_all_others_or_alone_and_shown(desk: Desk) -> None:
    source = memo(desk.drop / "call.wav", 1)
    before = decodings(desk.daemon)
    for attempt in (1, 2):
        assert crash_engine(desk.daemon, source, before + attempt).state is FileState.WAITING
        desk.press("Failed", "Retry all")
    assert crash_engine(desk.daemon, source, before + 3).state is FileState.FAILED
    desk.press("Failed (1)", "call.wav", "Show in folder")
    desk.opens(desk.drop)
    desk.press("Failed (1)", "call.wav", "Retry")
    desk.daemon.wait_for(source, FileState.DONE)


def test_a_recent_transcript_is_opened_copied_and_shown(desk: Desk) -> None:
    desk.daemon.wait_for(memo(desk.drop / "interview.wav", 2), FileState.DONE)
    transcript = desk.daemon.transcripts / "interview.txt"
    desk.press("Recent transcripts", "interview", "Open")
    desk.opens(transcript)
    desk.press("Recent transcripts", "interview", "Show in folder")
    desk.opens(transcript.parent)
    desk.press("Recent transcripts", "interview", "Copy text")
    wait_until(lambda: desk.desktop.clipboard() == transcript.read_text(), "the text is on the clipboard")


def test_what_waits_is_taken_first_or_cancelled(desk: Desk) -> None:
    first, second, third = (silence(desk.drop / f"{name}.wav", ord(name)) for name in "abc")
    desk.press("Pause", "Until resumed")
    for path in (first, second, third):
        desk.daemon.wait_for(path, FileState.READY)
    desk.press("Queue (3)", "c", "Transcribe next")
    wait_until(lambda: desk.daemon.status().queued[0].title == "c", "c is next")
    desk.press("Queue (3)", "a", "Cancel")
    desk.daemon.wait_for(first, FileState.CANCELLED)
    desk.press("Resume")
    for path in (second, third):
        desk.daemon.wait_for(path, FileState.NO_SPEECH)


def test_what_runs_is_cancelled(desk: Desk) -> None:
    librivox_clip(desk.drop / "lecture.wav", times=8)
    wait_for_work(desk.daemon, "lecture")
    desk.press("Queue (1)", "lecture", "Cancel")
    desk.daemon.wait_for(desk.drop / "lecture.wav", FileState.CANCELLED)
    wait_until(lambda: desk.daemon.status().activity is Activity.IDLE, "it has ended")


def test_a_pause_lasts_as_long_as_its_entry_says(desk: Desk) -> None:
    now = datetime.now().astimezone()
    for way, earliest, latest in (
        ("For 1 hour", now + timedelta(minutes=59), now + timedelta(minutes=70)),
        ("Until tomorrow", now, now + timedelta(days=2)),
    ):
        desk.press("Pause", way)
        pause = wait_until(lambda: desk.daemon.status().pause, "it pauses")
        assert pause.until
        assert earliest < pause.until < latest
        desk.press("Resume")
        wait_until(lambda: desk.daemon.status().activity is Activity.IDLE, "it goes on")


def test_the_folders_are_opened(desk: Desk) -> None:
    desk.press("Open recordings folder")
    desk.opens(desk.drop)
    desk.press("Open transcripts folder")
    desk.opens(desk.daemon.transcripts)


def test_notifications_are_switched_off_and_on(desk: Desk) -> None:
    for wanted in (False, True):
        desk.press("Settings", "Notifications")
        desk.shows("Notifications", checked=wanted)
        assert runs(desk, "desktop_notifier") is wanted


def test_plugins_are_switched_on_and_off(desk: Desk) -> None:
    for wanted in (True, False):
        desk.press("Settings", "Plugins", "example")
        desk.shows("Plugins", "example", checked=wanted)
        assert runs(desk, "example") is wanted


def runs(desk: Desk, plugin: str) -> bool:
    return next(found.state == "running" for found in desk.daemon.status().plugins if found.name == plugin)


def test_a_model_is_chosen(desk: Desk) -> None:
    for label, setting in (("tiny.en", "tiny.en"), ("Automatic", "auto")):
        desk.press("Settings", "Model", label)
        desk.shows("Model", label, checked=True)
        assert desk.daemon.get("/models")["setting"] == setting


def test_a_model_is_got_and_what_went_wrong_is_shown(desk: Desk) -> None:
    desk.press("Settings", "Model", "Get more", "base, ")
    (download,) = wait_until(lambda: desk.daemon.status().downloads, "it is tried")
    wait_until(lambda: desk.find("Settings", "Model", "Get more", "base: "), "it has no network, and says so")
    assert download.model == "base"


def test_start_at_login_is_switched_on_and_off(desk: Desk) -> None:
    for wanted in (True, False):
        desk.press("Settings", "Start at login")
        desk.shows("Start at login", checked=wanted)
        status = json.loads(desk.daemon.command("autostart", "status", "--json").stdout)
        assert status["state"] == ("enabled" if wanted else "disabled")


def test_a_start_at_login_that_was_set_elsewhere_is_seen_when_the_menu_is_opened(desk: Desk) -> None:
    for command in ("enable", "disable"):
        assert desk.daemon.command("autostart", command).returncode == 0
        desk.menu.open()
        desk.shows("Start at login", checked=command == "enable")


def test_health_and_version_are_told(desk: Desk) -> None:
    desk.press("About Panotti")
    desk.is_told(f"Panotti {__version__}")
    desk.press("Check health")
    findings = json.loads(desk.daemon.command("doctor", "--json").stdout)
    desk.is_told("All is well" if all(found["ok"] for found in findings) else "panotti doctor")
