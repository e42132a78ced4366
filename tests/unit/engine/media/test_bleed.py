from __future__ import annotations

from collections.abc import Mapping

import pytest

from panotti_daemon.engine.media.bleed import mark_bleed
from panotti_daemon.models.transcript.models import Segment, Word
from tests.unit.engine.loudness import loudness

MIC, SYSTEM = "microphone", "system"
OWN = ("I think we should wait until the spring.", "Then let us ask the landlord on Friday.")
OTHER = ("The new warehouse opens at the end of the summer.", "Three builders have been asked so far.")


def said(track: str, start: float, text: str) -> Segment:
    return Segment(
        start=start, end=start + 3, text=text, track=track, avg_logprob=0, no_speech_prob=0, compression_ratio=1
    )


def bleeding(
    segments: list[Segment], mic: Mapping[float, float], system: Mapping[float, float]
) -> list[tuple[str, str]]:
    """The track and text of what is marked."""
    ordered = sorted(segments, key=lambda segment: segment.start)
    marked = mark_bleed(ordered, {MIC: loudness(mic), SYSTEM: loudness(system)})
    assert [segment.model_copy(update={"bleed": False}) for segment in marked] == ordered
    return [(segment.track or "", segment.text) for segment in marked if segment.bleed]


CALL = [said(MIC, 2, OWN[0]), said(SYSTEM, 8, OTHER[0]), said(SYSTEM, 14, OTHER[1]), said(MIC, 20, OWN[1])]


@pytest.mark.parametrize("gains", [(0, 0), (-25, 0), (0, -25), (6, -20)])
def test_a_quiet_copy_is_bleed_however_loudly_the_tracks_were_recorded(gains: tuple[int, int]) -> None:
    copy = said(MIC, 8.2, OTHER[0])
    mic: dict[float, float] = {2: -20 + gains[0], 8: -40 + gains[0], 20: -22 + gains[0]}
    system: dict[float, float] = {8: -20 + gains[1], 14: -21 + gains[1]}
    assert bleeding([*CALL, copy], mic, system) == [(MIC, OTHER[0])]


def test_a_garbled_copy_is_bleed() -> None:
    copy = said(MIC, 8.2, "A new where house hopes at an end of summer.")
    assert bleeding([*CALL, copy], {2: -20, 8: -42, 20: -22}, {8: -20, 14: -21}) == [(MIC, copy.text)]


def test_other_words_are_no_bleed() -> None:
    aside = said(MIC, 8.2, "Could you pass me a pencil?")
    assert bleeding([*CALL, aside], {2: -20, 8: -36, 20: -22}, {8: -20, 14: -21}) == []


def test_what_is_too_quiet_to_be_understood_is_bleed_whatever_words_it_seems_to_have() -> None:
    garbage = said(MIC, 8.2, "Could you pass me a pencil?")
    assert bleeding([*CALL, garbage], {2: -20, 8: -45, 20: -22}, {8: -20, 14: -21}) == [(MIC, garbage.text)]


def test_a_word_without_a_length_is_bleed_where_it_is_too_quiet_to_be_understood() -> None:
    word = said(MIC, 8.2, "Lane?").model_copy(update={"end": 8.2})
    assert bleeding([*CALL, word], {2: -20, 8: -45, 20: -22}, {8: -20, 14: -21}) == [(MIC, word.text)]
    alone = said(MIC, 28, "Lane?").model_copy(update={"end": 28.0})
    assert bleeding([*CALL, alone], {2: -20, 8: -45, 20: -22, 28: -45}, {8: -20, 14: -21}) == []


def test_quiet_words_while_nobody_else_speaks_are_no_bleed() -> None:
    aside = said(MIC, 28, "Could you pass me a pencil?")
    assert bleeding([*CALL, aside], {2: -20, 20: -22, 28: -50}, {8: -20, 14: -21}) == []


def test_the_same_words_at_another_time_are_no_bleed() -> None:
    repeated = said(MIC, 28, OTHER[0])
    assert bleeding([*CALL, repeated], {2: -20, 20: -22, 28: -42}, {8: -20, 14: -21, 28: -20}) == []


def test_what_both_say_at_once_is_no_bleed() -> None:
    both = [said(MIC, 26, "Yes, okay."), said(SYSTEM, 26.3, "Yes, okay.")]
    assert bleeding([*CALL, *both], {2: -20, 20: -22, 26: -23}, {8: -20, 14: -21, 26: -20}) == []


def test_of_somebody_who_only_listens_everything_is_bleed() -> None:
    copies = [said(MIC, 8.2, OTHER[0]), said(MIC, 14.2, OTHER[1])]
    assert bleeding([*CALL[1:3], *copies], {8: -45, 14: -46}, {8: -20, 14: -21}) == [(MIC, OTHER[0]), (MIC, OTHER[1])]


def test_the_side_that_was_copied_throughout_keeps_its_words() -> None:
    copies = [said(MIC, 8.2, OTHER[0]), said(MIC, 14.2, OTHER[1])]
    found = bleeding([*CALL, *copies], {2: -15, 8: -35, 14: -36, 20: -16}, {8: -45, 14: -45})
    assert found == [(MIC, OTHER[0]), (MIC, OTHER[1])]


def test_bleed_in_both_directions_is_found() -> None:
    copies = [
        said(SYSTEM, 2.2, OWN[0]),
        said(MIC, 8.2, OTHER[0]),
        said(SYSTEM, 20.2, OWN[1]),
        said(MIC, 14.2, OTHER[1]),
    ]
    found = bleeding(
        [*CALL, *copies],
        {2: -20, 8: -45, 14: -46, 20: -21},
        {2: -46, 8: -21, 14: -20, 20: -45},
    )
    assert found == [(SYSTEM, OWN[0]), (MIC, OTHER[0]), (MIC, OTHER[1]), (SYSTEM, OWN[1])]


def test_of_a_segment_that_holds_both_sides_only_the_copy_is_marked() -> None:
    both = said(MIC, 8, f"{OTHER[0]} {OWN[1]}")
    spoken = both.text.split()
    words = tuple(
        Word(start=8 + number / 4, end=8.2 + number / 4, text=f" {word}", probability=1)
        for number, word in enumerate(spoken)
    )
    segments = [said(MIC, 2, OWN[0]), said(SYSTEM, 8, OTHER[0]), both.model_copy(update={"end": 14.0, "words": words})]
    mic, system = loudness({2: -20, 8: -42, 11: -20}), loudness({8: -20})

    copy, own = [segment for segment in mark_bleed(segments, {MIC: mic, SYSTEM: system}) if segment.words]

    assert [(copy.text, copy.bleed), (own.text, own.bleed)] == [(OTHER[0], True), (OWN[1], False)]
    assert copy.words + own.words == words
    for part in (copy, own):
        assert "".join(word.text for word in part.words).strip() == part.text
        assert (part.start, part.end) == (part.words[0].start, part.words[-1].end)


def test_what_looks_like_a_copy_on_both_tracks_is_lost_on_neither() -> None:
    both = [said(SYSTEM, 20, OWN[1]), said(MIC, 23.5, OWN[1])]
    assert bleeding([*CALL[:3], *both], {2: -20, 20: -20, 23: -42}, {8: -20, 14: -21, 20: -42, 23: -20}) == []


def test_a_recording_of_one_track_has_no_bleed() -> None:
    segments = (said(MIC, 2, OWN[0]), said(MIC, 6, OWN[0]))
    assert mark_bleed(segments, {MIC: loudness({2: -20, 6: -50})}) == segments


def test_nothing_said_is_nothing_marked() -> None:
    assert mark_bleed((), {MIC: loudness({}), SYSTEM: loudness({})}) == ()
