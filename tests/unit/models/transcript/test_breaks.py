from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panotti_daemon.models.transcript.breaks import BOUND, CLAUSE, NAME, PHRASE, SENTENCE, WORD, columns, cost, pieces


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("home.", "Nobody", SENTENCE),
        ("home.”", "“Nobody", SENTENCE),
        ("etc.", "and", CLAUSE),
        ("Well…", "maybe", CLAUSE),
        ("home,", "nobody", CLAUSE),
        ("walked", "towards", PHRASE),
        ("walked", "slowly", WORD),
        ("the", "house", BOUND),
        ("said", "–", BOUND),
        ("–", "always", CLAUSE),
        ("-", "Yes", BOUND),
        ("♪", "Happy", BOUND),
        ("Mr.", "Smith", NAME),
        ("J.", "Smith", NAME),
        ("Anna", "Smith", NAME),
        ("I'm", "sure", BOUND),
    ],
)
def test_a_line_ends_better_after_a_sentence_than_after_an_article(before: str, after: str, expected: float) -> None:
    assert cost(before, after, spaced=True, language="en") == expected


@pytest.mark.parametrize(
    ("language", "article", "noun"), [("de", "das", "Haus"), ("fr", "la", "maison"), ("es", "el", "barrio")]
)
def test_articles_of_other_languages_stay_with_their_nouns(language: str, article: str, noun: str) -> None:
    assert cost(article, noun, spaced=True, language=language) == BOUND
    assert cost("seg", article, spaced=True, language=language) == PHRASE


def test_german_nouns_are_no_names() -> None:
    assert cost("Haus", "Garten", spaced=True, language="de") == WORD


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("で", "す", NAME),
        ("は", "天", PHRASE),
        ("天", "気", WORD),
        ("ュ", "ー", NAME),
        ("。", "天", SENTENCE),
        ("A", "b", BOUND),
    ],
)
def test_what_follows_hiragana_begins_something_new(before: str, after: str, expected: float) -> None:
    assert cost(before, after, spaced=False, language="ja") == expected


@given(st.text(min_size=1).filter(lambda text: " " not in text), st.integers(min_value=13, max_value=42))
def test_pieces_are_the_whole_word_and_fit_a_line(word: str, most: int) -> None:
    found = list(pieces(word, most))

    assert "".join(found) == word
    assert all(piece and columns(piece) <= most for piece in found)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("Panotti's", ["Panotti's"]),
        ("「今日は」と", ["「今", "日", "は」", "と"]),
        ("ちょっと、BBCの", ["ちょっ", "と、", "BBC", "の"]),
        ("x" * 15, ["x" * 13, "xx"]),
        ("กกกกกกกกกกกกเก", ["ก" * 12, "เก"]),
        ("안녕하세요", ["안녕하세요"]),
    ],
)
def test_only_ideographs_and_what_is_too_long_are_taken_apart(word: str, found: list[str]) -> None:
    assert list(pieces(word, 13)) == found


def test_ideographs_are_twice_as_wide_as_letters_and_accents_take_no_room() -> None:
    assert [columns(text) for text in ("abc", "今日", "e\u0301", "สวัสดี")] == [3, 4, 1, 4]
