from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from panotti_daemon.engine.media.audio import SAMPLE_RATE
from panotti_daemon.engine.media.loudness import STEP, Loudness, Voices, voices
from tests.unit.engine.loudness import SECONDS, loudness

OWN_TURNS, OTHER_TURNS = (2, 12, 22), (7, 17, 27)
STEPS = SECONDS * SAMPLE_RATE // STEP


def turns(starts: Iterable[float], level: float) -> dict[float, float]:
    return dict.fromkeys(starts, level)


def told(here: Loudness, there: Loudness) -> Voices | None:
    return voices(here.levels(0, STEPS), there.levels(0, STEPS))


def test_levels_are_those_of_the_steps_asked_for() -> None:
    track = loudness({8: -20.0, 30: -10.0}, floor=-60.0)
    assert track.levels(82, 108) == pytest.approx(-20, abs=0.5)
    assert track.levels(20, 60) == pytest.approx(-60, abs=0.5)
    assert track.levels(302, 328) == pytest.approx(-10, abs=0.5)


def test_behind_the_end_of_a_track_there_is_silence() -> None:
    levels = loudness({SECONDS - 3: -20}).levels(STEPS - 20, STEPS + 20)
    assert levels[:18] == pytest.approx(-20, abs=0.5)
    assert levels[22:] == pytest.approx(-100)


def test_what_a_sound_card_adds_to_every_sample_is_not_heard() -> None:
    plain, shifted = loudness({8: -40}), loudness({8: -40}, offset=0.1)
    assert shifted.levels(0, STEPS) == pytest.approx(plain.levels(0, STEPS), abs=0.1)


def test_levels_are_the_same_whatever_is_asked_for_with_them() -> None:
    track = loudness({8: -20, 30: -10})
    whole = track.levels(0, STEPS)
    assert [float(track.levels(step, step + 1)[0]) for step in range(STEPS)] == pytest.approx(whole.tolist())


def test_of_an_empty_track_everything_is_silence() -> None:
    assert Loudness().levels(5, 8) == pytest.approx(-100)


@pytest.mark.parametrize("bleed", [(-50, -50), (-12, -50), (-50, -20), (-15, -15)])
@pytest.mark.parametrize("gains", [(0, 0), (-18, 4), (4, -25)])
def test_voices_are_told_however_loudly_the_tracks_were_recorded_and_whatever_they_hear(
    bleed: tuple[float, float], gains: tuple[float, float]
) -> None:
    """Both speak at -20 dB."""
    mine, yours = (-20 + gain for gain in gains)
    here = turns(OWN_TURNS, mine) | turns(OTHER_TURNS, mine + bleed[0])
    there = turns(OTHER_TURNS, yours) | turns(OWN_TURNS, yours + bleed[1])
    found = told(loudness(here, floor=-95), loudness(there, floor=-95))
    assert found
    assert (found.mine, found.yours, found.bleed) == pytest.approx((mine, yours, -bleed[0]), abs=1)


@pytest.mark.parametrize(("echo", "bleed"), [(-35, 15), (-30, 10), (-23, None)])
def test_moments_in_which_an_echo_has_not_come_yet_are_no_voice(echo: float, bleed: float | None) -> None:
    """There is digital silence where nobody plays anything, and so nothing is further apart."""
    own, other = range(1, 39, 6), range(4, 39, 6)
    here = loudness(turns(own, -20) | turns(other, -60), floor=-65, seconds=2)
    there = loudness(turns(other, -20) | turns((start + 0.3 for start in own), echo), floor=-200, seconds=2)
    found = told(there, here)
    assert (found and found.bleed) == (bleed and pytest.approx(bleed, abs=1))


def test_a_side_that_says_little_has_a_voice() -> None:
    long = [turn + more for turn in OTHER_TURNS for more in (0, 3)]
    found = told(loudness(turns(long, -35) | {36: -20}), loudness(turns(long, -20)))
    assert found
    assert (found.mine, found.yours, found.bleed) == pytest.approx((-20, -20, 15), abs=1)


@pytest.mark.parametrize("bleed", [-10, -25, -45])
def test_somebody_who_only_listens_has_no_voice(bleed: float) -> None:
    assert told(loudness(turns(OTHER_TURNS, -20 + bleed)), loudness(turns(OTHER_TURNS, -20))) is None


def test_silence_has_no_voices() -> None:
    assert told(loudness({}), loudness({})) is None


def test_a_click_is_no_voice() -> None:
    here, there = loudness(turns(OTHER_TURNS, -35)), loudness(turns(OTHER_TURNS, -20))
    here.add(np.resize(np.array([-0.5, 0.5], dtype=np.float32), STEP))
    assert voices(here.levels(0, STEPS + 10), there.levels(0, STEPS + 10)) is None


def test_what_both_say_at_once_is_as_loud_as_their_voices() -> None:
    here = loudness(turns(OWN_TURNS, -40) | turns(OTHER_TURNS, -55) | {32: -41})
    there = loudness(turns(OTHER_TURNS, -20) | turns(OWN_TURNS, -35) | {32: -21})
    found = told(here, there)
    assert found
    quieter = found.quieter(here.levels(0, STEPS), there.levels(0, STEPS))
    assert quieter[335] == pytest.approx(0, abs=1)
    assert quieter[85] == pytest.approx(found.bleed, abs=1)
