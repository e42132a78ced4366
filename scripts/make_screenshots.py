"""Makes docs/images/desktop.png: the real daemon at work on a real desktop without a screen.

python -m scripts.make_screenshots
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from contextlib import ExitStack
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
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        user, home = Path(folder) / "user", Path(folder) / "panotti"
        home.mkdir()
        (user / ".config" / "dunst").mkdir(parents=True)
        (user / ".config" / "dunst" / "dunstrc").write_text(DUNST)
        desktop = stack.enter_context(Desktop(user))
        desktop.run("xsetroot", "-solid", "#3b4a5a")
        daemon = Panotti(home, {"plugins": QUICK}, environment=desktop.environment, tray=True)
        with daemon:
            x, y = wait_until(lambda: desktop.find_colour(TEAL), "the icon is on the screen")
            for name, source in zip(NAMES, librivox_sentences(), strict=False):
                shutil.copy(source, daemon.recordings / name)
                daemon.wait_for(daemon.recordings / name, FileState.DONE)
            librivox_clip(daemon.recordings / "Thursday interview.wav", times=20)
            wait_until(lambda: daemon.status().jobs and daemon.status().jobs[0].fraction > 0.1, "it is at work")
            shutil.copy(SAMPLE, daemon.recordings / "next.wav")
            desktop.run("xdotool", "mousemove", str(x), str(y), "click", "1")
            time.sleep(SECONDS_TO_DRAW)
            desktop.run("xdotool", "mousemove", str(x - 240), str(y + 56))
            time.sleep(SECONDS_TO_DRAW)
            desktop.screenshot(Path(folder) / "screen.png")
            with Image.open(Path(folder) / "screen.png") as screen:
                screen.convert("RGB").crop(SHOWN).save(IMAGES / "desktop.png", optimize=True)
        for pid in daemon.trays():
            os.kill(pid, signal.SIGTERM)


QUICK = {"desktop_notifier": {"config": {"together_seconds": 0, "pause_seconds": 0}}}
SHOWN = (0, 0, 1000, 300)
DUNST = """
[global]
width = 420
height = 200
origin = top-left
offset = 16x44
font = Sans 10
show_indicators = no
frame_color = "#1ca39e"
[urgency_normal]
timeout = 0
background = "#20262c"
foreground = "#ffffff"
"""
NAMES = ("Monday meeting.wav", "voice memo 12.wav", "lecture 3.wav")


if __name__ == "__main__":
    main()
