from __future__ import annotations

import pytest
from PIL import Image, ImageChops, ImageStat

from panotti_daemon.desktop.icons import STEP, IconState, draw, quantised
from panotti_daemon.desktop.pixmaps import PANEL_SIZES, pixmaps
from scripts.make_icons import argb

ROUNDING = 2.0
"""Of 255, on average: versions of Pillow round differently."""


def test_pixels_are_alpha_red_green_blue() -> None:
    assert argb(Image.new("RGBA", (2, 1), (1, 2, 3, 4))) == bytes((4, 1, 2, 3)) * 2


@pytest.mark.parametrize("state", IconState)
def test_what_the_panel_is_given_is_what_would_be_drawn(state: IconState) -> None:
    for fraction in (0.0, quantised(0.37), 1.0) if state is IconState.WORKING else (0.0,):
        given = pixmaps(state, fraction)
        assert [pixmap.side for pixmap in given] == [*PANEL_SIZES]
        for pixmap in given:
            size = (pixmap.side, pixmap.side)
            drawn = Image.frombytes("RGBA", size, argb(draw(state, fraction, pixmap.side)))
            difference = ImageChops.difference(drawn, Image.frombytes("RGBA", size, pixmap.pixels))
            assert max(ImageStat.Stat(difference).mean) < ROUNDING, "run scripts/make_icons.py"


def test_every_step_of_progress_has_its_picture() -> None:
    steps = {quantised(number / 1000) for number in range(1001)}
    assert len({pixmaps(IconState.WORKING, step) for step in steps}) == round(1 / STEP) + 1
