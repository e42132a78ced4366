from __future__ import annotations

import json
from typing import Any

import pytest
from faster_whisper.tokenizer import _LANGUAGE_CODES
from hypothesis import given
from hypothesis import strategies as st

from panotti_daemon.engine.remote.answers import Answer, Nonsense
from panotti_daemon.engine.remote.languages import CODES, code_of
from panotti_daemon.models.transcript.models import Segment


def heard(answer: dict[str, Any], seconds: float = 10.0) -> list[Segment]:
    return list(Answer.parse(json.dumps(answer).encode()).on_clock(seconds))


def segment(start: float, end: float, text: str, **more: Any) -> dict[str, Any]:
    return {"start": start, "end": end, "text": text, **more}


def word(start: float, end: float, text: str, **more: Any) -> dict[str, Any]:
    return {"start": start, "end": end, "word": text, **more}


def test_segments_keep_what_the_server_says_of_them() -> None:
    said = {"avg_logprob": -0.25, "no_speech_prob": 0.02, "compression_ratio": 1.3, "seek": 0, "tokens": [1, 2]}
    (found,) = heard({"text": "Good day.", "segments": [segment(0.5, 2.0, " Good day.", **said)]})
    assert found == Segment(
        start=0.5, end=2.0, text="Good day.", avg_logprob=-0.25, no_speech_prob=0.02, compression_ratio=1.3
    )


def test_what_the_server_does_not_say_is_measured_or_left_open() -> None:
    loop = "again and " * 50
    (found,) = heard({"text": loop, "segments": [segment(0, 5, loop, avg_logprob=None)]})
    assert (found.avg_logprob, found.no_speech_prob) == (0.0, 0.0)
    assert found.compression_ratio > 2.4


@pytest.mark.parametrize(
    "answer",
    [{"text": " Good day. "}, {"text": "Good day.", "segments": None}, {"text": "Good day.", "segments": []}],
)
def test_a_text_alone_is_one_segment(answer: dict[str, Any]) -> None:
    (found,) = heard(answer)
    assert (found.start, found.end, found.text) == (0.0, 10.0, "Good day.")


def test_silence_has_no_segments() -> None:
    assert heard({"text": ""}) == []
    assert heard({"text": " ", "segments": []}) == []
    assert heard({"text": "", "segments": [segment(0, 1, "  ")]}) == []


def test_times_are_put_in_order_and_within_the_part() -> None:
    said = [segment(8, 99, "last"), segment(-1, 2, "first"), segment(5, 4, "middle")]
    times = [(found.start, found.end, found.text) for found in heard({"text": "", "segments": said})]
    assert times == [(0.0, 2.0, "first"), (5.0, 5.0, "middle"), (8.0, 10.0, "last")]


def test_words_of_the_whole_answer_go_to_their_segments_with_spaces_and_punctuation() -> None:
    answer = {
        "text": 'He said: "Yes (maybe)". No!',
        "segments": [segment(4, 5, " No!"), segment(0, 4, ' He said: "Yes (maybe)".', avg_logprob=-0.5)],
        "words": [
            word(0.1, 0.5, "He"),
            word(0.4, 1.0, "said"),
            word(1.5, 2.0, "Yes"),
            word(2, 3, "maybe"),
            word(4.1, 9, "No"),
        ],
    }
    first, second = heard(answer)
    assert [found.text for found in first.words] == [" He", " said:", ' "Yes', ' (maybe)".']
    assert [(found.start, found.end) for found in first.words] == [(0.1, 0.5), (0.5, 1.0), (1.5, 2.0), (2.0, 3.0)]
    assert {found.probability for found in first.words} == {0.607}
    assert [(found.text, found.start, found.end) for found in second.words] == [(" No!", 4.1, 5.0)]


def test_words_may_stand_in_the_segments_and_have_probabilities_of_their_own() -> None:
    said = [segment(0, 2, "你好。", words=[word(0, 1, "你", probability=0.9), word(1, 2, "好", probability=1.5)])]
    (found,) = heard({"text": "你好。", "segments": said, "words": [word(0, 2, "ignored")]})
    assert [(w.text, w.probability) for w in found.words] == [(" 你", 0.9), ("好。", 1.0)]


def test_words_that_the_text_does_not_hold_stand_as_they_are() -> None:
    said = [segment(0, 2, "5 euros", words=[word(0, 1, "five"), word(1, 2, "euros")])]
    assert [w.text for w in heard({"text": "", "segments": said})[0].words] == [" five", " euros"]


def test_a_long_gap_between_two_words_costs_no_more_than_to_read_it() -> None:
    said = [segment(0, 2, f"a{' ' * 200_000}b c", words=[word(0, 1, "a"), word(1, 2, "c")])]
    first, last = heard({"text": "", "segments": said})[0].words
    assert (first.text.split(), last.text) == (["a", "b"], " c")


@given(st.lists(st.text(alphabet="ab'(). \"", max_size=6), max_size=8))
def test_the_words_of_a_segment_are_its_text(pieces: list[str]) -> None:
    text = " ".join(pieces)
    words = [word(0, 1, piece.strip()) for piece in pieces if piece.strip()]
    found = heard({"text": text, "segments": [segment(0, 1, text, words=words)]})
    assert all("".join(w.text for w in one.words).strip() == one.text for one in found if one.words)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>private words</html>",
        b"[]",
        b'{"error": "private words"}',
        b'{"text": 5}',
        b'{"text": "", "segments": [{"text": "private words"}]}',
        b'{"text": "", "segments": [{"start": NaN, "end": 1, "text": "private words"}]}',
        b'{"text": "", "segments": [{"start": "private words", "end": 1, "text": ""}]}',
        b"[" * 100_000,
    ],
)
def test_an_answer_that_makes_no_sense_is_refused_and_not_quoted(body: bytes) -> None:
    with pytest.raises(Nonsense) as caught:
        Answer.parse(body)
    assert "private" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "code"),
    [("english", "en"), ("English", "en"), ("en", "en"), ("yue", "yue"), ("klingon", None), ("", None), (None, None)],
)
def test_languages_are_known_by_name_and_by_code(said: str | None, code: str | None) -> None:
    assert code_of(said) == code


def test_every_language_of_whisper_has_a_name() -> None:
    assert sorted(CODES.values()) == sorted(_LANGUAGE_CODES)
