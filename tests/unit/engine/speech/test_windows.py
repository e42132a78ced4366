from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from panotti_daemon.engine.media.audio import SAMPLE_RATE, Samples, decode
from panotti_daemon.engine.speech.windows import (
    FRAME,
    LONG_SILENCE,
    LONGEST_SPEECH_FRAMES,
    MIN_SILENCE_FRAMES,
    ONSET,
    PAD_FRAMES,
    SPEECH,
    WINDOW_SAMPLES,
    SpeechDetector,
    Stretch,
    StretchFinder,
    WindowPacker,
    place,
    place_word,
    windows,
)
from tests.speech import SAMPLE

runs = st.lists(st.tuples(st.sampled_from([0.05, 0.4, 0.6, 0.95]), st.integers(1, 1200)), max_size=12).map(
    lambda pairs: [probability for probability, count in pairs for _ in range(count)]
)


@st.composite
def stretches(draw: st.DrawFn) -> list[Stretch]:
    made, position = [], 0
    for silence, length in draw(
        st.lists(st.tuples(st.integers(0, 100 * SAMPLE_RATE), st.integers(1, WINDOW_SAMPLES)), min_size=1, max_size=20)
    ):
        made.append(Stretch(position + silence, position + silence + length))
        position = made[-1].end
    return made


def found(probabilities: list[float]) -> list[Stretch]:
    finder = StretchFinder()
    result = [stretch for probability in probabilities for stretch in finder.push(probability)]
    return result + list(finder.finish(len(probabilities) * FRAME))


def packed(parts: list[Stretch]) -> list[tuple[Stretch, ...]]:
    packer = WindowPacker()
    return [window for part in parts if (window := packer.push(part))] + [packer.finish()]


@given(runs)
def test_every_frame_of_speech_is_in_exactly_one_stretch(probabilities: list[float]) -> None:
    result = found(probabilities)
    assert all(before.end <= after.start for before, after in pairwise(result))
    assert all(0 < len(stretch) <= WINDOW_SAMPLES for stretch in result)
    covered = {frame for stretch in result for frame in range(stretch.start // FRAME, -(-stretch.end // FRAME))}
    assert {frame for frame, probability in enumerate(probabilities) if probability >= SPEECH} <= covered


@given(runs)
def test_no_audio_is_forgotten_that_a_later_stretch_needs(probabilities: list[float]) -> None:
    finder, needed = StretchFinder(), 0
    for probability in probabilities:
        for stretch in finder.push(probability):
            assert stretch.start >= needed
        assert finder.needed_from >= needed
        needed = finder.needed_from
    assert all(stretch.start >= needed for stretch in finder.finish(len(probabilities) * FRAME))


@given(runs)
def test_what_is_kept_in_memory_is_bounded(probabilities: list[float]) -> None:
    finder = StretchFinder()
    for position, probability in enumerate(probabilities, start=1):
        list(finder.push(probability))
        assert position * FRAME - finder.needed_from <= WINDOW_SAMPLES + 2 * PAD_FRAMES * FRAME


def test_silence_has_no_stretches() -> None:
    assert found([0.1] * 1000) == []


def test_speech_is_padded_on_both_sides() -> None:
    assert found([0.0] * 100 + [0.9] * 50 + [0.0] * 100) == [
        Stretch((100 - PAD_FRAMES) * FRAME, (150 + PAD_FRAMES) * FRAME)
    ]


def test_padding_is_silent() -> None:
    (stretch,) = found([0.0] * 100 + [0.9] * 50 + [0.0] * 100)
    assert stretch.silent_before == stretch.silent_behind == PAD_FRAMES * FRAME


def test_a_short_silence_is_shared_by_its_neighbours() -> None:
    gap = MIN_SILENCE_FRAMES + 3
    first, second = found([0.9] * 50 + [0.0] * gap + [0.9] * 50)
    assert first.end == second.start == (50 + gap // 2) * FRAME


def test_speech_without_a_pause_is_cut_where_it_is_least_likely() -> None:
    cut = LONGEST_SPEECH_FRAMES * 2 // 3
    probabilities = [0.9] * LONGEST_SPEECH_FRAMES * 3
    probabilities[cut] = 0.45
    first, second, *_ = found(probabilities)
    assert first.end == second.start == cut * FRAME


@given(stretches())
def test_windows_hold_every_stretch_once_in_order_and_at_most_thirty_seconds(parts: list[Stretch]) -> None:
    result = packed(parts)
    assert [part for window in result for part in window] == parts
    assert all(sum(map(len, window)) <= WINDOW_SAMPLES for window in result)


@given(stretches())
def test_windows_are_filled_as_far_as_the_next_stretch_allows(parts: list[Stretch]) -> None:
    for window, following in pairwise(packed(parts)):
        assert sum(map(len, window)) + len(following[0]) > WINDOW_SAMPLES


@given(stretches(), st.data())
def test_times_within_a_stretch_map_back_exactly(parts: list[Stretch], data: st.DataObject) -> None:
    window = tuple(data.draw(st.sampled_from(packed(parts))))
    index = data.draw(st.integers(0, len(window) - 1))
    stretch, offset = window[index], sum(map(len, window[:index]))
    start = data.draw(st.integers(stretch.start, stretch.end - 1))
    end = data.draw(st.integers(start + 1, stretch.end))
    shift = offset - stretch.start
    assert place(window, start + shift, end + shift) == Stretch(start, end)


@given(stretches(), st.data())
def test_any_span_maps_into_the_window_in_order(parts: list[Stretch], data: st.DataObject) -> None:
    window = tuple(data.draw(st.sampled_from(packed(parts))))
    start = data.draw(st.integers(0, WINDOW_SAMPLES))
    end = data.draw(st.integers(start, WINDOW_SAMPLES + SAMPLE_RATE))
    placed = place(window, start, end)
    assert window[0].start <= placed.start <= placed.end <= window[-1].end


def test_a_segment_over_a_long_silence_stays_on_the_side_with_more_of_it() -> None:
    second = SAMPLE_RATE
    far = 4 * second + 10 * LONG_SILENCE
    window = (Stretch(0, 4 * second), Stretch(far, far + 4 * second))
    assert place(window, 3 * second, 7 * second) == Stretch(far, far + 3 * second)
    assert place(window, second, 5 * second) == Stretch(second, 4 * second)


def test_a_segment_without_a_length_has_a_place() -> None:
    window = (Stretch(10_000, 30_000), Stretch(90_000, 110_000))
    assert place(window, 5000, 5000).start == 15_000
    assert place(window, 25_000, 25_000).start == 95_000


def test_a_word_is_where_most_of_it_meets_speech() -> None:
    """Whoever marks silence as a part of the word beside it, as the model does, changes nothing."""
    first = Stretch(10_000, 30_000, silent_before=4000, silent_behind=6000)
    second = Stretch(90_000, 110_000, silent_before=6000, silent_behind=6000)
    window = (first, second)
    assert place_word(window, 5000, 9000) == Stretch(15_000, 19_000)
    assert place_word(window, 0, 9000) == Stretch(10_000 + 4000 - ONSET, 19_000)
    assert place_word(window, 14_000, 30_000) == Stretch(90_000 + 6000 - ONSET, 100_000)


def test_a_word_in_silence_or_without_a_length_is_beside_the_nearest_speech() -> None:
    """And not with the word before it, which may have been said minutes earlier."""
    first = Stretch(10_000, 30_000, silent_behind=6000)
    second = Stretch(90_000, 110_000, silent_before=6000, silent_behind=6000)
    window = (first, second)
    assert place_word(window, 27_000, 27_000) == Stretch(97_000, 97_000)
    assert place_word(window, 16_500, 18_000) == Stretch(24_000 + ONSET, 24_000 + ONSET)
    assert place_word(window, 22_500, 24_000) == Stretch(96_000 - ONSET, 96_000 - ONSET)
    assert place_word(window, 38_000, 50_000) == Stretch(104_000 + ONSET, 104_000 + ONSET)


@given(stretches(), st.data())
def test_a_word_maps_into_one_stretch(parts: list[Stretch], data: st.DataObject) -> None:
    window = tuple(data.draw(st.sampled_from(packed(parts))))
    start = data.draw(st.integers(0, WINDOW_SAMPLES))
    end = data.draw(st.integers(start, WINDOW_SAMPLES + SAMPLE_RATE))
    placed = place_word(window, start, end)
    assert any(one.start <= placed.start <= placed.end <= one.end for one in window)


@given(runs)
def test_no_frame_that_a_stretch_calls_silent_is_speech(probabilities: list[float]) -> None:
    for stretch in found(probabilities):
        assert stretch.silent_before + stretch.silent_behind <= len(stretch)
        first, last = stretch.start + stretch.silent_before, stretch.end - stretch.silent_behind
        silent = [*range(stretch.start // FRAME, first // FRAME), *range(-(-last // FRAME), stretch.end // FRAME)]
        assert all(probabilities[frame] < SPEECH for frame in silent)


def test_the_detector_hears_the_same_whatever_the_blocks() -> None:
    samples = np.concatenate(list(decode(SAMPLE, lambda _: None)))
    samples = samples[: len(samples) // FRAME * FRAME]
    whole, detector = SpeechDetector()(samples), SpeechDetector()
    in_parts = [p for part in np.split(samples, [FRAME, 11 * FRAME, 300 * FRAME]) for p in detector(part)]
    np.testing.assert_allclose(in_parts, whole, atol=1e-4)
    assert max(whole) > 0.9


def test_the_samples_of_a_window_are_those_of_its_stretches() -> None:
    samples = np.linspace(0, 1, 200 * SAMPLE_RATE, dtype=np.float32)
    loud = [(5, 15), (20, 32), (60, 61), (61, 110), (150, 200)]

    def detect(block: Samples) -> list[float]:
        seconds = block[::FRAME] * 200
        return [0.9 if any(start <= second < end for start, end in loud) else 0.1 for second in seconds]

    blocks = np.split(samples, range(8 * SAMPLE_RATE, len(samples), 8 * SAMPLE_RATE))
    result = list(windows(blocks, detect))
    assert len(result) > 4
    for window in result:
        expected = np.concatenate([samples[stretch.start : stretch.end] for stretch in window.stretches])
        np.testing.assert_array_equal(window.samples, expected)


def test_a_window_that_is_louder_than_full_scale_is_brought_to_it() -> None:
    samples = np.array([0.25, -0.5] * FRAME * 10, dtype=np.float32)
    (plain,) = windows([samples], lambda block: [0.9] * (len(block) // FRAME))
    (loud,) = windows([samples * 32_767], lambda block: [0.9] * (len(block) // FRAME))
    np.testing.assert_array_equal(plain.samples, samples)
    np.testing.assert_allclose(loud.samples, samples * 2, rtol=1e-6)


def test_what_is_foreign_has_windows_of_its_own() -> None:
    turn = 4 * SAMPLE_RATE
    call = np.repeat(np.array([0.1, 0.2] * 8, dtype=np.float32), turn)

    def divide(stretch: Stretch) -> Iterator[Stretch]:
        changes = range(stretch.start // turn * turn + turn, stretch.end, turn)
        for start, end in pairwise((stretch.start, *changes, stretch.end)):
            yield Stretch(start, end, foreign=start // turn % 2 == 1)

    blocks = np.split(call, len(call) // (2 * turn))
    result = list(windows(blocks, lambda block: [0.9] * (len(block) // FRAME), divide))

    for window in result:
        (foreign,) = {stretch.foreign for stretch in window.stretches}
        assert set(window.samples) == {np.float32(0.2 if foreign else 0.1)}
    assert sum(len(window.samples) for window in result) == len(call)
    assert len(result) == 4
