from __future__ import annotations

import pytest

from panotti_daemon.desktop.icons import IconState, draw


@pytest.mark.parametrize("state", IconState)
@pytest.mark.parametrize("size", [16, 22, 64, 256])
def test_every_state_fills_every_size(state: IconState, size: int) -> None:
    image = draw(state, 0.5, size)
    assert (image.mode, image.size) == ("RGBA", (size, size))
    box = image.getchannel("A").getbbox()
    assert box is not None
    assert box[2] - box[0] > 0.9 * size


def test_no_two_states_look_alike() -> None:
    assert len({draw(state, 0.5, 22).tobytes() for state in IconState}) == len(IconState)


def test_what_looks_the_same_is_drawn_once() -> None:
    assert draw(IconState.WORKING, 0.42, 22) is draw(IconState.WORKING, 0.41, 22)
    assert draw(IconState.IDLE, 0.1, 22) is draw(IconState.IDLE, 0.9, 22)


def test_progress_is_drawn_in_twenty_steps() -> None:
    assert len({draw(IconState.WORKING, number / 1000, 22).tobytes() for number in range(1001)}) == 21


@pytest.mark.parametrize("fraction", [-1.0, 2.0])
def test_progress_beyond_its_ends_is_drawn_as_the_end(fraction: float) -> None:
    assert draw(IconState.WORKING, fraction, 22) is draw(IconState.WORKING, min(1.0, max(0.0, fraction)), 22)
