from __future__ import annotations

import numpy as np
import pytest
from faster_whisper import WhisperModel

from panotti_daemon.engine.media.audio import SAMPLE_RATE, Samples, decode
from panotti_daemon.engine.models.store import resolve
from panotti_daemon.engine.speech.windows import WINDOW_SAMPLES, SpeechDetector, windows
from panotti_daemon.engine.whisper.decoder import BATCH, Decoded, Decoder, Piece, looks_right
from panotti_daemon.engine.whisper.loading import load
from panotti_daemon.engine.whisper.words import lines, text_of
from panotti_daemon.models.transcript.models import RequestedSettings, Word
from tests.speech import SAMPLE, SAMPLE_TEXT, word_error_rate


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> WhisperModel:
    return load(resolve("tiny.en", tmp_path_factory.mktemp("models"), download=False), workers=1)


@pytest.fixture(scope="module")
def decoder(whisper: WhisperModel) -> Decoder:
    return Decoder(whisper, "en", RequestedSettings())


@pytest.fixture(scope="module")
def speech() -> Samples:
    return next(windows(decode(SAMPLE, pytest.fail), SpeechDetector())).samples


def words_in(decoded: Decoded) -> list[Word]:
    return [word for piece in decoded.pieces for word in piece.words]


def text_in(decoded: Decoded) -> str:
    return text_of(words_in(decoded))


def spoken(start: float, text: str, *, pace: float = 0.3) -> tuple[Word, ...]:
    """Words that take so many seconds each."""
    return tuple(
        Word(start=start + number * pace, end=start + (number + 1) * pace, text=f" {word}", probability=0.9)
        for number, word in enumerate(text.split())
    )


def right(*words: Word, seconds: float = 8.0, avg_logprob: float = -0.2, compression_ratio: float = 1.1) -> bool:
    return looks_right((Piece(words, avg_logprob, 0.01, compression_ratio),), seconds, "en")


FIRST = spoken(0.0, "Thank you for coming at such short notice.", pace=0.4)
SECOND = spoken(3.6, "Before we begin, does anyone have questions about the agenda?", pace=0.4)


def test_good_text_of_a_whole_window_looks_right() -> None:
    assert right(*FIRST, *SECOND)


def test_no_text_looks_right_only_where_there_is_hardly_anything_to_hear() -> None:
    assert looks_right((), 0.5, "en")
    assert not looks_right((), 5.0, "en")


def test_speech_that_has_no_text_looks_wrong_wherever_it_is() -> None:
    assert not right(*FIRST, *SECOND, seconds=12.0)
    assert not right(*spoken(2.0, "Thank you for coming."), *SECOND)
    assert not right(*FIRST, *spoken(5.2, "Before we begin, questions?"), seconds=7.0)


def test_a_word_that_lasts_as_long_as_a_sentence_hides_speech_that_was_left_out() -> None:
    before, word, *after = SECOND
    assert not right(*FIRST, before, word.model_copy(update={"end": word.start + 2.5}), *after)


@pytest.mark.parametrize("text", [" 1,234,567", " Donaudampfschifffahrtsgesellschaft"])
def test_a_word_may_take_as_long_as_it_is(text: str) -> None:
    assert right(Word(start=0.0, end=2.8, text=text, probability=0.9), seconds=3.0)


def test_few_words_for_much_time_look_wrong_and_short_words_do_not() -> None:
    assert not right(*spoken(0.0, "Thank you for coming.", pace=2.0))
    assert right(*spoken(0.0, "Yes.", pace=1.2), seconds=2.0)
    assert right(*spoken(0.0, "谢 谢 大 家 今 天 来 参 加 会 议", pace=0.35), seconds=4.0)


def test_loops_repeated_lines_and_doubtful_words_look_wrong() -> None:
    assert not right(*spoken(0.0, "Thank you. Thank you. Thank you."), seconds=2.0)
    assert not right(*FIRST, *SECOND, compression_ratio=2.5)
    assert not right(*FIRST, *SECOND, avg_logprob=-1.1)
    assert not right(*spoken(0.0, "and so on " * 10, pace=0.1), seconds=3.0)


def test_what_somebody_says_twice_looks_right() -> None:
    assert right(*spoken(0.0, "Thank you. Thank you."), seconds=1.5)


def test_each_window_of_a_batch_gets_its_own_text(decoder: Decoder, speech: Samples) -> None:
    half = len(speech) // 2
    alone = [text_in(decoder.decode([part])[0]) for part in (speech, speech[:half])]
    together = decoder.decode([speech, *[speech[:half]] * (BATCH - 1)])
    assert [text_in(decoded) for decoded in together] == [alone[0], *alone[1:] * (BATCH - 1)]
    assert word_error_rate(SAMPLE_TEXT, alone[0]) <= 0.05


def test_words_lie_in_their_window_one_after_another(decoder: Decoder, speech: Samples) -> None:
    (decoded,) = decoder.decode([speech])
    times = [time for piece in decoded.pieces for word in piece.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[-1] <= len(speech) / SAMPLE_RATE


def test_a_vocabulary_costs_a_window_neither_its_times_nor_its_text(
    whisper: WhisperModel, decoder: Decoder, speech: Samples
) -> None:
    told = Decoder(whisper, "en", RequestedSettings(vocabulary=("Szymborska", "Panotti")))
    (without,), (decoded,) = decoder.decode([speech]), told.decode([speech])
    lines_heard = [len(list(lines(words_in(heard), "en"))) for heard in (without, decoded)]
    assert lines_heard[1] == lines_heard[0] >= 4
    assert word_error_rate(SAMPLE_TEXT, text_in(decoded)) <= 0.05


def test_a_window_whose_first_text_looks_wrong_is_decoded_again(decoder: Decoder) -> None:
    hiss = np.random.default_rng(1).normal(0, 0.05, WINDOW_SAMPLES).astype(np.float32)
    (decoded,) = decoder.decode([hiss])
    assert decoded.again
    assert decoded.suspect
