"""Makes the pictures in docs/images: the real daemon at work on a real desktop without a screen, light and dark.

python -m scripts.make_screenshots
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from panotti_daemon.desktop.icons import TEAL
from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.desktop.desktop import Desktop
from tests.speech import SAMPLE, librivox_clip, librivox_sentences

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SECONDS_TO_DRAW = 1.5


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    for look in LOOKS:
        with tempfile.TemporaryDirectory() as folder:
            take(look, Path(folder))


def take(look: Look, folder: Path) -> None:
    user, home = folder / "user", folder / "panotti"
    home.mkdir()
    (user / ".config" / "dunst").mkdir(parents=True)
    (user / ".config" / "dunst" / "dunstrc").write_text(DUNST.format(look=look))
    with ExitStack() as stack:
        desktop = stack.enter_context(Desktop(user, GTK_THEME=look.theme))
        desktop.run("xsetroot", "-solid", look.desktop)
        daemon = stack.enter_context(Panotti(home, {"plugins": QUICK}, environment=desktop.environment, tray=True))
        stack.callback(end_trays, daemon)
        wait_until(lambda: int(desktop.run("dunstctl", "count", "displayed")), "the first run has explained itself")
        desktop.run("dunstctl", "close-all")
        wait_until(lambda: not int(desktop.run("dunstctl", "count", "displayed")), "that is gone")
        x, y = wait_until(lambda: desktop.find_colour(TEAL), "the icon is on the screen")
        for name, source in zip(NAMES, librivox_sentences(), strict=False):
            shutil.copy(source, daemon.recordings / name)
            daemon.wait_for(daemon.recordings / name, FileState.DONE)
        librivox_clip(daemon.recordings / "Thursday interview.wav", times=20)
        wait_until(lambda: daemon.status().jobs and daemon.status().jobs[0].fraction > 0.1, "it is at work")
        shutil.copy(SAMPLE, daemon.recordings / "next.wav")
        wait_until(lambda: daemon.status().queued, "something waits")
        desktop.run("xdotool", "mousemove", str(x), str(y), "click", "1")
        time.sleep(SECONDS_TO_DRAW)
        desktop.run("xdotool", "mousemove", *AWAY_FROM_THE_TOOL_TIP)
        for name, keys in PICTURES.items():
            for key in keys:
                desktop.run("xdotool", "key", key)
            time.sleep(SECONDS_TO_DRAW)
            desktop.screenshot(folder / "screen.png")
            with Image.open(folder / "screen.png") as screen:
                screen.convert("RGB").crop(SHOWN).save(IMAGES / f"{name}{look.suffix}.png", optimize=True)
            desktop.run("dunstctl", "close-all")  # they are in the first picture


def end_trays(daemon: Panotti) -> None:
    for pid in daemon.trays():
        os.kill(pid, signal.SIGTERM)


@dataclass(frozen=True)
class Look:
    suffix: str
    theme: str
    desktop: str
    background: str
    foreground: str


LOOKS = (
    Look("", "Adwaita", "#8fa3b5", "#fafafa", "#202020"),
    Look("-dark", "Adwaita:dark", "#3b4a5a", "#20262c", "#ffffff"),
)
PICTURES = {
    "desktop": ["Down", "Down", "Right"],
    "desktop-settings": ["Left", "Left", *["Down"] * 5, "Right", "Down", "Down", "Right"],
}
"""By their names, each with the keys that go on from the menu of the one before."""
AWAY_FROM_THE_TOOL_TIP = ("100", "600")
QUICK = {"desktop_notifier": {"config": {"together_seconds": 0, "pause_seconds": 0}}}
SHOWN = (0, 0, 1000, 440)
DUNST = """
[global]
width = 420
height = 200
origin = top-left
offset = 16x168
font = Sans 10
show_indicators = no
show_age_threshold = -1
frame_color = "#1ca39e"
[urgency_normal]
timeout = 0
background = "{look.background}"
foreground = "{look.foreground}"
"""
NAMES = ("Monday meeting.wav", "voice memo 12.wav", "lecture 3.wav")


if __name__ == "__main__":
    main()
