from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panotti_daemon.models.transcript.breaks import columns
from panotti_daemon.models.transcript.captions import GAP, HANG, LONGEST, SHORTEST, Caption, Utterance, captions
from panotti_daemon.models.transcript.models import Word

ENGLISH = ["the", "a", "of", "to", "and", "I", "Anna", "Smith", "went", "home.", "really?", "well,", "Dr.", "3.14", "–"]
UNSPACED = ["今日はいい天気ですね。", "「ニュース」", "我们讨论人工智能", "สวัสดีครับวันนี้อากาศดีมากครับและพรุ่งนี้ก็เหมือนกัน"]
OTHERS = ["مرحبا", "שלום,", "नमस्ते।", "안녕하세요", "e\u0301te\u0301", "\U0001f600", "♪", "..."]
LONG = ["Donaudampfschifffahrtsgesellschaftskapitänsmützenband", "https://example.org/" + "x" * 100]
WORDS = st.sampled_from([*ENGLISH, *UNSPACED, *OTHERS, *LONG])
LINES = {"en": 42, "ja": 26, "zh": 32, "ko": 32, "th": 35}


def spoken(text: str, start: float = 0.0, *, pace: float = 0.3, silence: float = 0.0) -> Utterance:
    """Every word takes as long as the others, with as much silence behind it."""
    words = [
        Word(
            start=start + number * (pace + silence),
            end=start + number * (pace + silence) + pace,
            text=f" {word}",
            probability=1,
        )
        for number, word in enumerate(text.split())
    ]
    return Utterance(start, words[-1].end, text, words)


def lines(*said: Utterance, language: str = "en", duration: float = 1000.0, indent: int = 0) -> list[tuple[str, ...]]:
    return [caption.lines for caption in captions(said, language=language, duration=duration, indent=indent)]


def times(*said: Utterance, duration: float = 1000.0) -> list[tuple[int, int]]:
    return [(caption.start, caption.end) for caption in captions(said, language="en", duration=duration)]


@st.composite
def tracks(draw: st.DrawFn) -> list[Utterance]:
    """Utterances one after the other, with the times of their words or without."""
    said, now = [], 0.0
    for words in draw(st.lists(st.lists(WORDS, min_size=1, max_size=40), max_size=5)):
        now += draw(st.sampled_from([0.0, 0.05, 0.6, 3.0]))
        pace = draw(st.sampled_from([0.02, 0.3, 1.5]))
        utterance = spoken(" ".join(words), now, pace=pace, silence=draw(st.sampled_from([0.0, 0.5, 1.5])))
        now = utterance.end
        said.append(utterance if draw(st.booleans()) else Utterance(utterance.start, now, utterance.text))
    return said


def letters(texts: Sequence[str]) -> str:
    return "".join("".join(texts).split())


@settings(deadline=None)
@given(tracks(), st.sampled_from(sorted(LINES)), st.sampled_from([0, 10, 500]))
def test_every_word_is_shown_once_in_order_and_in_its_room(said: list[Utterance], language: str, indent: int) -> None:
    found = captions(said, language=language, duration=0.0, indent=indent)
    room = LINES[language]

    assert letters([line for caption in found for line in caption.lines]) == letters([u.text for u in said])
    assert all(1 <= len(caption.lines) <= 2 and all(caption.lines) for caption in found)
    assert all(columns(line) <= room for caption in found for line in caption.lines)
    assert all(columns(caption.lines[0]) <= room - min(indent, room // 2) for caption in found)


@settings(deadline=None)
@given(tracks(), st.sampled_from([0.0, 1000.0]))
def test_captions_follow_each_other_while_somebody_speaks(said: list[Utterance], duration: float) -> None:
    found = captions(said, language="en", duration=duration)
    speech_ends = 1000 * max((u.end for u in said), default=0.0)

    assert all(0 < caption.end - caption.start <= LONGEST for caption in found)
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert all(caption.end <= max(1000 * duration, speech_ends) + len(found) for caption in found)
    assert all(caption.end <= speech_ends + HANG + len(found) for caption in found)


@settings(deadline=None)
@given(st.lists(st.builds(Utterance, st.floats(-9, 9e5), st.floats(-9, 9e5), st.text(min_size=1)), max_size=5))
def test_times_that_make_no_sense_give_captions_all_the_same(said: list[Utterance]) -> None:
    found = captions(said, language="en", duration=1.0)

    assert all(0 <= caption.start < caption.end for caption in found)
    assert all(before.end <= after.start for before, after in pairwise(found))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("That is one line that just about fits it.", [("That is one line that just about fits it.",)]),
        (
            "We had everything before us, we had nothing before us.",
            [("We had everything before us,", "we had nothing before us.")],
        ),
        (
            "The numbers that we saw in the report look much better this year.",
            [("The numbers that we saw", "in the report look much better this year.")],
        ),
        (
            "And then the old man walked slowly towards the beautiful house on the hill.",
            [("And then the old man walked slowly", "towards the beautiful house on the hill.")],
        ),
        (
            "It is somewhat surprising that Elizabeth Bennet married him.",
            [("It is somewhat surprising", "that Elizabeth Bennet married him.")],
        ),
        (
            "The train left early this morning. Nobody had expected it to do that.",
            [("The train left early this morning.",), ("Nobody had expected it to do that.",)],
        ),
    ],
)
def test_lines_end_where_a_reader_would_pause(text: str, shown: list[tuple[str, ...]]) -> None:
    assert lines(spoken(text)) == shown


def test_short_answers_stand_together_rather_than_flash() -> None:
    assert lines(spoken("Yes."), spoken("Okay.", 0.35), spoken("Fine.", 0.7)) == [("Yes. Okay. Fine.",)]


def test_a_silence_ends_a_caption() -> None:
    assert lines(spoken("I thought"), spoken("it was yours.", 3.0)) == [("I thought",), ("it was yours.",)]


def test_a_name_is_not_torn_apart() -> None:
    first, second = lines(spoken("Yesterday in the afternoon my friend Dr. John Smith called again."))[0]

    assert "Dr. John Smith" in first or "Dr. John Smith" in second


def test_the_first_line_leaves_room_for_the_speaker() -> None:
    assert lines(spoken("That is one line that just about fits it."), indent=12) == [
        ("That is one line", "that just about fits it.")
    ]


def test_a_word_longer_than_a_line_goes_on_in_the_next() -> None:
    assert lines(spoken("x" * 100)) == [("x" * 42, "x" * 42), ("x" * 16,)]


def test_right_to_left_text_stays_in_its_logical_order() -> None:
    text = "قال إنه سيأتي غدا، ثم ذهب إلى البيت في آخر الشارع الطويل."

    (shown,) = lines(spoken(text), language="ar")
    assert " ".join(shown) == text
    assert shown[0] == "قال إنه سيأتي غدا،"


def test_a_language_without_spaces_breaks_between_words_as_far_as_they_can_be_told() -> None:
    said = Utterance(0, 8, "天気予報によると、午後から雨が降るそうです。「ニュース」を見ました。")

    shown = [c.lines for c in captions([said], language="ja", duration=9, joint="")]
    assert shown == [("天気予報によると、", "午後から雨が降るそうです。"), ("「ニュース」を見ました。",)]


def test_no_line_begins_with_a_mark_that_stands_apart() -> None:
    shown = lines(spoken("Est-ce que tu veux vraiment partir avec moi ? Je ne sais pas encore !"), language="fr")

    assert shown == [("Est-ce que tu veux", "vraiment partir avec moi ?"), ("Je ne sais pas encore !",)]


def test_a_caption_lasts_from_its_first_word_to_its_last() -> None:
    said = spoken("One two three four five.", 2.0, pace=0.5)

    assert times(said) == [(2000, 4500)]


def test_a_caption_stays_until_it_is_read_where_nobody_speaks() -> None:
    hurried = spoken("This was said so quickly that nobody could have read it.", 1.0, pace=0.2)

    assert times(hurried, spoken("Then, much later.", 9.0))[0] == (1000, round(1000 + 1000 * 55 / 17))
    assert times(spoken("Yes.", 1.0)) == [(1000, 1000 + SHORTEST)]


def test_a_caption_outlasts_the_speech_by_no_more_than_a_moment() -> None:
    hurried = spoken("This was said so quickly that nobody could have read it.", pace=0.01)

    assert times(hurried) == [(0, 110 + HANG)]


def test_a_caption_never_outlasts_the_recording() -> None:
    assert times(spoken("Bye.", 9.5), duration=9.9) == [(9500, 9900)]


def test_short_gaps_are_closed_but_for_two_frames() -> None:
    first, second = spoken("The train left early this morning."), spoken("Nobody had expected it.", 2.1)

    assert times(first, second)[0] == (0, 2100 - GAP)


def test_times_come_from_the_words_where_they_are_known() -> None:
    text = "The train left early this morning. Nobody had expected it to do that."
    ends = [0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 5.0, 5.2, 5.4, 5.6, 5.8, 6.0, 6.5]
    starts = [0.0, *ends[:5], 4.5, *ends[6:-1]]
    words = [
        Word(start=start, end=end, text=f" {word}", probability=1)
        for start, end, word in zip(starts, ends, text.split(), strict=True)
    ]

    assert [start for start, _ in times(Utterance(0, 6.5, text, words))] == [0, 4500]
    assert [start for start, _ in times(Utterance(0, 6.5, text))] == [0, pytest.approx(3300, abs=200)]


def test_times_come_from_the_words_though_the_text_was_tidied() -> None:
    words = [
        Word(start=at, end=at + 0.5, text=text, probability=1)
        for at, text in zip((1.0, 1.5, 2.0, 2.5), (" Well", "...", " really", " !"), strict=True)
    ]

    assert times(Utterance(0, 9, "Well… really!", words)) == [(1000, 2500)]


def test_few_words_in_a_long_segment_are_one_caption() -> None:
    assert captions([Utterance(0, 25, "Three slow words.")], language="en", duration=30) == [
        Caption(0, LONGEST, ("Three slow words.",))
    ]


def test_slow_speech_is_followed_by_captions_of_less() -> None:
    slow = spoken(" ".join(["word"] * 16), pace=0.9)

    starts = [start for start, _ in times(slow)]
    assert len(starts) == 3
    assert (
        starts
        == [round(1000 * at) for at in accumulate([0.0, *[0.9 * len(" ".join(c).split()) for c in lines(slow)]])][:-1]
    )
