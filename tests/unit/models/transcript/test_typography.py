from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panotti_daemon.models.transcript.typography import tidy

texts = st.text(max_size=60) | st.text(st.sampled_from(" .,;:!?…()[]-–'\"«»aA1é今"), max_size=60)


@given(texts, st.sampled_from(["en", "fr"]))
def test_letters_and_digits_and_their_case_stay_as_they_were(text: str, language: str) -> None:
    assert [c for c in tidy(text, language) if c.isalnum()] == [c for c in text if c.isalnum()]


@given(texts, st.sampled_from(["en", "fr"]))
def test_what_is_tidy_stays_as_it_is(text: str, language: str) -> None:
    once = tidy(" ".join(text.split()), language)

    assert tidy(once, language) == once


@pytest.mark.parametrize(
    ("text", "tidied"),
    [
        ("Well... I thought. . . never mind....", "Well… I thought… never mind…"),
        ("Hello , world !", "Hello, world!"),
        ("He said ( quietly ) no.", "He said (quietly) no."),
        ("First,, second, , third.", "First, second, third."),
        ("It was -- as you know - fine.", "It was – as you know – fine."),
        ("Ten - 3 is seven, and well-known it is.", "Ten - 3 is seven, and well-known it is."),
        ("Written in .NET 8.0, v1..3", "Written in .NET 8.0, v1..3"),
        ('i said "don\'t"', 'i said "don\'t"'),
    ],
)
def test_stray_spaces_dots_and_dashes_are_set_as_in_print(text: str, tidied: str) -> None:
    assert tidy(text, "en") == tidied


def test_french_keeps_its_spaces_before_marks_and_no_line_breaks_there() -> None:
    assert tidy("Vraiment ? Oui : « tout » !", "fr") == "Vraiment\u00a0? Oui\u00a0: «\u00a0tout\u00a0»\u00a0!"
