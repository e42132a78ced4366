"""Draws the mark to resources/icons: for notifications, for entries in application menus, and in all its states for the
tray on Linux.
"""

from __future__ import annotations

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from PIL import Image

from panotti_daemon.desktop.icons import STEP, IconState, draw
from panotti_daemon.desktop.pixmaps import PANEL_SIZES, name_of

ICONS = Path(__file__).parent.parent / "resources" / "icons"
NAMES = {"panotti.png": 256, "panotti-128.png": 128, "panotti-64.png": 64, "panotti-48.png": 48, "panotti-32.png": 32}


def main() -> None:
    ICONS.mkdir(parents=True, exist_ok=True)
    for name, size in NAMES.items():
        draw(IconState.IDLE, 0, size).save(ICONS / name, optimize=True)
    with ZipFile(ICONS / "tray.zip", "w", ZIP_DEFLATED) as pictures:
        for state in IconState:
            for fraction in fractions(state):
                for side in PANEL_SIZES:
                    # a ZipInfo of our own has no time: what did not change gives the same file
                    info = ZipInfo(name_of(state, fraction, side))
                    pictures.writestr(info, argb(draw(state, fraction, side)), ZIP_DEFLATED)


def fractions(state: IconState) -> list[float]:
    """Those that are drawn."""
    return [step * STEP for step in range(round(1 / STEP) + 1)] if state is IconState.WORKING else [0.0]


def argb(image: Image.Image) -> bytes:
    """The pixels as StatusNotifierItem wants them: 32 bits each, in network byte order."""
    red, green, blue, alpha = image.convert("RGBA").split()
    return Image.merge("RGBA", (alpha, red, green, blue)).tobytes()


if __name__ == "__main__":
    main()
