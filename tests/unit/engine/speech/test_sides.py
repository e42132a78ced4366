from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panotti_daemon.engine.media.audio import SAMPLE_RATE
from panotti_daemon.engine.media.loudness import Loudness
from panotti_daemon.engine.speech.sides import Sides
from panotti_daemon.engine.speech.windows import Stretch
from tests.unit.engine.loudness import SECONDS, loudness

BLEED = -15.0
MINE = loudness({2: -20, 8: -20 + BLEED, 11: -20, 20: -20 + BLEED})
YOURS = loudness({2: -20 + BLEED, 8: -20, 11: -20 + BLEED, 20: -20})


def stretch(start: float, end: float) -> Stretch:
    return Stretch(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))


def parts(here: Loudness, others: list[Loudness], start: float, end: float) -> list[tuple[float, float, bool]]:
    """Where each begins and ends, in seconds, and whether it is foreign."""
    found = Sides(here, others).divided(stretch(start, end))
    return [(part.start / SAMPLE_RATE, part.end / SAMPLE_RATE, part.foreign) for part in found]


@pytest.mark.parametrize(
    ("here", "there", "foreign"), [(MINE, YOURS, [True, False]), (YOURS, MINE, [False, True])], ids=["mine", "yours"]
)
def test_where_the_other_side_takes_over_speech_is_cut(here: Loudness, there: Loudness, foreign: list[bool]) -> None:
    found = parts(here, [there], 7.7, 14.3)
    assert [part[2] for part in found] == foreign
    assert (found[0][0], found[-1][1]) == (7.7, 14.3)
    assert found[0][1] == found[1][0] == pytest.approx(11, abs=0.4)


def test_it_is_cut_in_the_pause_between_both() -> None:
    mine, yours = loudness({2: -20, 8: -35, 12: -20}), loudness({2: -35, 8: -20, 12: -35})
    (_, cut, _), _ = parts(mine, [yours], 8, 15)
    assert 11 <= cut <= 12


def test_what_the_other_one_says_in_the_silence_around_speech_is_no_part() -> None:
    mine, yours = loudness({2: -20}), loudness({5: -20})
    padded = stretch(1.7, 5.8)
    assert [part.foreign for part in Sides(mine, [yours]).divided(padded)] == [False, True]
    known = replace(padded, silent_before=SAMPLE_RATE * 3 // 10, silent_behind=SAMPLE_RATE * 8 // 10)
    assert list(Sides(mine, [yours]).divided(known)) == [known]


def test_what_both_say_at_once_is_ones_own() -> None:
    mine = loudness({2: -20, 8: -35, 20: -23})
    yours = loudness({2: -35, 8: -20, 20: -20})
    assert parts(mine, [yours], 20, 23) == [(20, 23, False)]
    assert parts(yours, [mine], 20, 23) == [(20, 23, False)]


def test_of_several_tracks_any_may_be_heard() -> None:
    mine, second = loudness({2: -20, 8: -35, 14: -35}), loudness({2: -60, 8: -20, 14: -60})
    third = loudness({2: -60, 8: -60, 14: -20})
    assert [foreign for *_, foreign in parts(mine, [second, third], 2, 5)] == [False]
    assert [foreign for *_, foreign in parts(mine, [second, third], 8, 11)] == [True]
    assert [foreign for *_, foreign in parts(mine, [second, third], 14, 17)] == [True]


def test_one_track_alone_has_no_foreign_speech() -> None:
    assert parts(MINE, [], 2, 14.3) == [(2, 14.3, False)]


def test_silence_stays_known_at_the_edges_of_what_was_cut() -> None:
    whole = Stretch(round(7.7 * SAMPLE_RATE), round(14.3 * SAMPLE_RATE), silent_before=4800, silent_behind=3200)
    first, second = Sides(MINE, [YOURS]).divided(whole)
    assert (first.silent_before, first.silent_behind) == (4800, 0)
    assert (second.silent_before, second.silent_behind) == (0, 3200)


@given(st.integers(0, SECONDS * SAMPLE_RATE), st.integers(1, 20 * SAMPLE_RATE))
def test_nothing_is_lost_by_cutting(start: int, length: int) -> None:
    found = list(Sides(MINE, [YOURS]).divided(Stretch(start, start + length)))
    edges = [edge for part in found for edge in (part.start, part.end)]
    assert (edges[0], edges[-1]) == (start, start + length)
    assert edges[1:-1:2] == edges[2::2]
    assert all(map(len, found))
