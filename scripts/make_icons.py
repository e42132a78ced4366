"""Writes the mark to resources/icons, for notifications and for entries in application menus."""

from __future__ import annotations

from pathlib import Path

from panotti_daemon.desktop.icons import IconState, draw

ICONS = Path(__file__).parent.parent / "resources" / "icons"
NAMES = {"panotti.png": 256, "panotti-128.png": 128, "panotti-64.png": 64, "panotti-48.png": 48, "panotti-32.png": 32}

if __name__ == "__main__":
    ICONS.mkdir(parents=True, exist_ok=True)
    for name, size in NAMES.items():
        draw(IconState.IDLE, 0, size).save(ICONS / name, optimize=True)
