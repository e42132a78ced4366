from __future__ import annotations

from collections.abc import Sequence

import pytest

from panotti_daemon.engine.whisper.words import lines, text_of
from panotti_daemon.models.transcript.models import Word


def said(*words: tuple[float, float, str]) -> list[Word]:
    return [Word(start=start, end=end, text=text, probability=0.9) for start, end, text in words]


def evenly(text: str) -> list[Word]:
    """Without a pause."""
    return said(*((number / 2, (number + 1) / 2, f" {word}") for number, word in enumerate(text.split())))


def texts(words: Sequence[Word], language: str = "en") -> list[str]:
    return [text_of(line) for line in lines(words, language)]


def test_a_sentence_is_a_line() -> None:
    assert texts(evenly("Is it you? Yes! Come in.")) == ["Is it you?", "Yes!", "Come in."]


@pytest.mark.parametrize("text", ["Mr. Dashwood met J. R. Smith.", "It costs 2.5 million.", "Well... maybe not."])
def test_a_full_stop_within_a_sentence_ends_no_line(text: str) -> None:
    assert texts(evenly(text)) == [text]


def test_a_pause_ends_a_line_and_a_breath_does_not() -> None:
    words = said((0.0, 0.5, " so"), (0.9, 1.2, " then"), (2.2, 2.6, " we"), (2.6, 3.0, " went"))
    assert texts(words) == ["so then", "we went"]


def test_languages_without_spaces_have_sentences_too() -> None:
    words = said((0.0, 0.3, "今日は"), (0.3, 0.9, "晴れ。"), (0.9, 1.2, "明日も。"))
    assert texts(words, "ja") == ["今日は晴れ。", "明日も。"]


def test_no_words_make_no_line() -> None:
    assert texts([]) == []
