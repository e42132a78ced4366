"""The tray icon's pictures as D-Bus wants them, drawn beforehand by scripts/make_icons.py.

A process that stays all day does without the drawing library, which would take a tenth of its memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from zipfile import ZipFile

from panotti_daemon.desktop.icons import IconState
from panotti_daemon.paths import bundled

PANEL_SIZES = (22, 24, 32, 48)


@dataclass(frozen=True)
class Pixmap:
    side: int
    pixels: bytes
    """Alpha, red, green and blue, a byte each."""


@lru_cache(maxsize=len(IconState))
def pixmaps(state: IconState, fraction: float) -> tuple[Pixmap, ...]:
    """The icon in several sizes, smallest first: a panel takes the one that fits. `fraction` is one that is drawn."""
    with ZipFile(bundled("resources") / "icons" / "tray.zip") as pictures:
        return tuple(Pixmap(side, pictures.read(name_of(state, fraction, side))) for side in PANEL_SIZES)


def name_of(state: IconState, fraction: float, side: int) -> str:
    return f"{state}-{fraction:.0%}-{side}"
