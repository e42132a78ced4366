"""Panotti's mark, drawn at any size and in every state of the tray icon.

The Panotti of old maps are people with ears as large as themselves: a head between two great ears, which are also
the two sides of a sound wave. It is drawn from a few primitives, so that each size gets strokes that suit it.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

STEP = 0.05
"""Progress is drawn in steps this large: a recording redraws the icon twenty times, not a thousand."""

TEAL = (28, 163, 158)
AMBER = (240, 150, 20)
RED = (225, 60, 50)
GREY = (140, 146, 150)
WHITE = (255, 255, 255)
SLATE = (105, 112, 118)

SUPERSAMPLING = 8

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]


class IconState(StrEnum):
    IDLE = "idle"
    WORKING = "working"
    PAUSED = "paused"
    TROUBLE = "trouble"
    OFFLINE = "offline"


def quantised(fraction: float) -> float:
    """The fraction that is drawn, a multiple of STEP in 0..1."""
    return round(max(0.0, min(1.0, fraction)) / STEP) * STEP


def draw(state: IconState, fraction: float, size: int) -> Image.Image:
    """The icon as RGBA of `size` by `size`; `fraction` counts only while working. Shared: never draw on it."""
    return _draw(state, quantised(fraction) if state is IconState.WORKING else 0.0, size)


@lru_cache(maxsize=32)
def _draw(state: IconState, fraction: float, size: int) -> Image.Image:
    canvas = Canvas(size)
    match state:
        case IconState.IDLE:
            canvas.mark(TEAL)
        case IconState.WORKING:
            canvas.mark(TEAL, scale=0.74)
            canvas.ring(fraction)
        case IconState.PAUSED:
            canvas.mark(TEAL)
            canvas.badge(AMBER)
            canvas.bars()
        case IconState.TROUBLE:
            canvas.mark(TEAL)
            canvas.badge(RED)
            canvas.exclamation()
        case IconState.OFFLINE:
            canvas.mark(GREY)
            canvas.badge(SLATE)
            canvas.cross()
    return canvas.image()


class Canvas:
    """Draws in units of the icon's side, with the origin in its middle and y downwards: everything is in -0.5..0.5."""

    def __init__(self, size: int) -> None:
        from PIL import Image, ImageDraw  # here, because the daemon knows the icons' names and draws none

        self._size = size
        self._pixels = size * SUPERSAMPLING
        self._image = Image.new("RGBA", (self._pixels, self._pixels))
        self._pen = ImageDraw.Draw(self._image)
        self._hairline = max(1.0, size / 32) / size
        """A pixel of a small icon, more of a large one: gaps and outlines that survive scaling down."""

    def image(self) -> Image.Image:
        from PIL import Image

        return self._image.resize((self._size, self._size), Image.Resampling.BOX)

    def mark(self, colour: Colour, scale: float = 1.0) -> None:
        """A face between two ears."""
        gap = max(self._hairline * 0.8, 0.04)
        head = (0.185 * scale, 0.28 * scale)
        for side in (-1, 1):
            self._ellipse((side * 0.28 * scale, 0), (0.22 * scale, 0.43 * scale), colour)
            self._ellipse((side * 0.305 * scale, 0), (0.095 * scale, 0.25 * scale), None)
        self._ellipse((0, 0), (head[0] + gap, head[1] + gap), None)
        self._ellipse((0, 0), head, colour)
        eye = 0.076 * scale
        if eye * self._size < 1.4:
            return  # the two would run into one
        radius = max(0.036 * scale, self._hairline * 0.62)
        for side in (-1, 1):
            self._ellipse((side * eye, -0.035 * scale), (radius, radius * 1.25), None)

    def ring(self, fraction: float) -> None:
        width = max(self._hairline * 1.8, 0.07)
        box = self._box((0, 0), (0.5, 0.5))
        pen_width = round(width * self._pixels)
        self._pen.arc(box, 0, 360, fill=(*GREY, 110), width=pen_width)
        if fraction > 0:
            self._pen.arc(box, -90, -90 + 360 * fraction, fill=(*AMBER, 255), width=pen_width)

    def badge(self, colour: Colour) -> None:
        self._ellipse((0.25, 0.25), (0.25 + self._hairline,) * 2, None)
        self._ellipse((0.25, 0.25), (0.25, 0.25), colour)

    def bars(self) -> None:
        """On whole pixels: in a small panel the two would melt into one."""
        width = max(1, round(0.07 * self._size)) / self._size
        for x in (0.15, 0.28):
            left = round((x + 0.5) * self._size) / self._size - 0.5
            self._rectangle((left, 0.13, left + width - 1 / self._pixels, 0.37), WHITE)

    def exclamation(self) -> None:
        self._rectangle((0.215, 0.09, 0.285, 0.275), WHITE)
        self._rectangle((0.215, 0.335, 0.285, 0.405), WHITE)

    def cross(self) -> None:
        for side in (-1, 1):
            ends = [self._point(0.25 + 0.1 * side * end, 0.25 + 0.1 * end) for end in (-1, 1)]
            self._pen.line(ends, fill=WHITE, width=round(0.065 * self._pixels))

    def _ellipse(self, middle: tuple[float, float], radii: tuple[float, float], colour: Colour | None) -> None:
        """None cuts a hole."""
        self._pen.ellipse(self._box(middle, radii), fill=(0, 0, 0, 0) if colour is None else (*colour, 255))

    def _rectangle(self, box: Box, colour: Colour) -> None:
        self._pen.rectangle([self._point(*box[:2]), self._point(*box[2:])], fill=(*colour, 255))

    def _box(self, middle: tuple[float, float], radii: tuple[float, float]) -> list[tuple[float, float]]:
        (x, y), (rx, ry) = middle, radii
        return [self._point(x - rx, y - ry), self._point(x + rx, y + ry)]

    def _point(self, x: float, y: float) -> tuple[float, float]:
        return ((x + 0.5) * self._pixels, (y + 0.5) * self._pixels)
