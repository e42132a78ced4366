from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from faster_whisper import WhisperModel

from panotti_daemon.engine.media.audio import SAMPLE_RATE, Samples, decode
from panotti_daemon.engine.models.store import resolve
from panotti_daemon.engine.speech.windows import WINDOW_SAMPLES, SpeechDetector, windows
from panotti_daemon.engine.whisper.decoder import BATCH, Decoder, Piece, looks_right
from panotti_daemon.engine.whisper.loading import load
from panotti_daemon.models.transcript.models import RequestedSettings
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


GOOD = (
    Piece(0.0, 3.0, "Thank you for coming at such short notice.", -0.2, 0.01, 1.1),
    Piece(3.2, 7.5, "Before we begin, does anyone have questions about the agenda?", -0.3, 0.01, 1.2),
)


def test_good_text_of_a_whole_window_looks_right() -> None:
    assert looks_right(GOOD, 8.0)


def test_no_text_looks_right_only_where_there_is_hardly_anything_to_hear() -> None:
    assert looks_right((), 0.5)
    assert not looks_right((), 5.0)


def test_speech_that_has_no_text_looks_wrong_wherever_it_is() -> None:
    first, second = GOOD
    assert not looks_right(GOOD, 12.0)
    assert not looks_right((replace(first, start=2.0), second), 8.0)
    assert not looks_right((first, replace(second, start=6.0)), 8.0)


def test_few_words_for_much_time_look_wrong_and_short_words_do_not() -> None:
    assert not looks_right((Piece(0.0, 8.0, "Thank you for coming.", -0.2, 0.01, 1.0),), 8.0)
    assert looks_right((Piece(0.0, 2.0, "Yes.", -0.2, 0.01, 1.0),), 2.0)
    assert looks_right((Piece(0.0, 4.0, "谢谢大家今天来参加会议", -0.2, 0.01, 1.0),), 4.0)


def test_loops_repeated_lines_and_doubtful_words_look_wrong() -> None:
    first, second = GOOD
    assert not looks_right((first, replace(second, text=first.text)), 8.0)
    assert not looks_right((first, replace(second, compression_ratio=2.5)), 8.0)
    assert not looks_right((first, replace(second, avg_logprob=-1.1)), 8.0)
    assert not looks_right((Piece(0.0, 3.0, "and so on " * 10, -0.1, 0.01, 2.0),), 3.0)


def test_each_window_of_a_batch_gets_its_own_text(decoder: Decoder, speech: Samples) -> None:
    half = len(speech) // 2
    alone = [" ".join(piece.text for piece in decoder.decode([part])[0].pieces) for part in (speech, speech[:half])]
    together = decoder.decode([speech, speech[:half]] * (BATCH // 2))
    assert len(together) == BATCH
    assert [" ".join(piece.text for piece in decoded.pieces) for decoded in together[:2]] == alone
    assert word_error_rate(SAMPLE_TEXT, alone[0]) <= 0.05


def test_pieces_lie_in_their_window_one_after_another(decoder: Decoder, speech: Samples) -> None:
    (decoded,) = decoder.decode([speech])
    times = [time for piece in decoded.pieces for time in (piece.start, piece.end)]
    assert len(decoded.pieces) >= 4
    assert times == sorted(times)
    assert times[-1] <= len(speech) / SAMPLE_RATE


def test_a_vocabulary_costs_a_window_neither_its_times_nor_its_text(
    whisper: WhisperModel, decoder: Decoder, speech: Samples
) -> None:
    told = Decoder(whisper, "en", RequestedSettings(vocabulary=("Szymborska", "Panotti")))
    (without,), (decoded,) = decoder.decode([speech]), told.decode([speech])
    assert len(decoded.pieces) == len(without.pieces) >= 4
    assert word_error_rate(SAMPLE_TEXT, " ".join(piece.text for piece in decoded.pieces)) <= 0.05


def test_a_window_whose_first_text_looks_wrong_is_decoded_again(decoder: Decoder) -> None:
    hiss = np.random.default_rng(1).normal(0, 0.05, WINDOW_SAMPLES).astype(np.float32)
    (decoded,) = decoder.decode([hiss])
    assert decoded.again
    assert decoded.suspect
