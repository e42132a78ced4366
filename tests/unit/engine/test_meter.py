from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

import pytest

from panotti_daemon.engine.messages import Progress
from panotti_daemon.engine.meter import Meter
from panotti_daemon.engine.whisper import job


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Batch:
    speech: float
    takes: float
    """Seconds of one worker."""
    silence: float = 0.0
    """Before it."""


def batches(windows: int, workers: int = 2, *, pace: float = 20.0, silence: float = 0.0) -> list[Batch]:
    """Of windows of 20 s. A worker decodes `pace` seconds of speech in a second; its first batch costs 15 s of speech
    more, and every other one takes a little longer."""
    sizes = [len(batch) for batch in job.batches(range(windows), workers)]
    return [
        Batch(20.0 * size, (20.0 * size + 15 * (number < workers)) / pace * (1 + number % 2 / 10), silence)
        for number, size in enumerate(sizes)
    ]


class Rehearsal:
    """Workers that decode one batch after the other, on a clock that only they move, while some more are being read."""

    def __init__(self, total: float | None, workers: int = 2) -> None:
        self.clock = Clock()
        self.told: list[tuple[float, Progress]] = []
        self.meter = Meter(total, "tiny.en", lambda p: self.told.append((self.clock.now, p)), self.clock)
        self.workers = workers
        self._at_work: list[tuple[float, int, ExitStack]] = []
        self._chance = 0.0

    def decode(self, batches: Sequence[Batch]) -> None:
        self._chance = max(batch.takes for batch in batches) / 2
        read = iter(batches)
        self._read(islice(read, 2 * self.workers))
        for number, batch in enumerate(batches):
            self._read(islice(read, 1))
            if len(self._at_work) == self.workers:
                self._finish()
            work = ExitStack()
            work.enter_context(self.meter.decoding(batch.silence + batch.speech, batch.speech))
            heapq.heappush(self._at_work, (self.clock.now + batch.takes, number, work))
        while self._at_work:
            self._finish()

    def _read(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self.meter.read(batch.silence + batch.speech, batch.speech)

    def _finish(self) -> None:
        self.clock.now, _, work = heapq.heappop(self._at_work)
        work.close()

    def announced(self) -> list[tuple[float, float, float]]:
        """The fractions that were told, the seconds that were announced to be left by then, and those that were."""
        return [
            (progress.fraction or 0.0, progress.seconds_left or 0.0, self.clock.now - at) for at, progress in self.told
        ]

    def wrong(self) -> list[tuple[float, float]]:
        """The seconds that were announced to be left and those that were: after the first tenth, by more than a fifth
        and half a batch, as chance has it who decodes the last ones."""
        pairs = [(announced, true) for fraction, announced, true in self.announced() if 0.1 <= fraction <= 0.9]
        assert len(pairs) >= 3
        return [(announced, true) for announced, true in pairs if abs(announced - true) > max(0.2 * true, self._chance)]


MEASURED = {
    "tiny.en": [(15, 0.8), (19, 1.1), (88, 2.4), (90, 2.4), (35, 1.0), (46, 1.1)],
    "base": [(15, 1.4), (19, 1.7), (88, 4.7), (90, 4.8), (35, 1.8), (46, 2.2)],
}
"""Five minutes on two cores: the batches' seconds of speech, and how long they took."""


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("windows", [20, 60, 300])
def test_after_the_first_tenth_the_remaining_time_is_right_within_a_fifth(windows: int, workers: int) -> None:
    found = batches(windows, workers)
    rehearsal = Rehearsal(sum(batch.speech for batch in found), workers)
    rehearsal.clock.now = 1.0  # until the first window is read
    rehearsal.decode(found)
    assert rehearsal.wrong() == []


@pytest.mark.parametrize("model", MEASURED)
def test_so_it_is_with_batches_as_measured(model: str) -> None:
    rehearsal = Rehearsal(sum(speech for speech, _ in MEASURED[model]))
    rehearsal.decode([Batch(*measured) for measured in MEASURED[model]])
    assert rehearsal.wrong() == []
    announced, true = next(pair for fraction, *pair in rehearsal.announced() if fraction >= 0.1)
    assert announced == pytest.approx(true, rel=0.2)


def test_batches_that_end_before_either_worker_goes_on_are_still_the_work_of_two() -> None:
    rehearsal = Rehearsal(1000.0)
    rehearsal.meter.read(1000.0, 1000.0)
    for _ in range(2):
        first, second = (rehearsal.meter.decoding(100.0, 100.0) for _ in range(2))
        with first, second:
            rehearsal.clock.now += 5.0
    assert rehearsal.told[-1][1].seconds_left == pytest.approx(15.0, rel=0.1)


def test_silence_takes_no_time() -> None:
    found = [*batches(40), *batches(40, silence=200.0)[2:]]
    rehearsal = Rehearsal(sum(batch.silence + batch.speech for batch in found))
    rehearsal.decode(found)
    rehearsal.told = [(at, progress) for at, progress in rehearsal.told if (progress.fraction or 0) > 0.5]
    assert rehearsal.wrong() == []


def test_what_is_not_read_yet_is_taken_to_be_as_dense() -> None:
    found = batches(100, silence=60.0)
    rehearsal = Rehearsal(sum(batch.silence + batch.speech for batch in found))
    rehearsal.decode(found)
    assert rehearsal.wrong() == []


def test_silence_is_done_when_it_is_read() -> None:
    rehearsal = Rehearsal(100.0)
    rehearsal.meter.read(60.0, 0.0)
    assert rehearsal.meter.fraction == 0.6


@pytest.mark.parametrize("pace", [5.0, 40.0])
def test_the_remaining_time_follows_the_pace(pace: float) -> None:
    before, meanwhile, after = batches(200), batches(200, pace=pace)[2:], batches(202, pace=pace)[2:]
    rehearsal = Rehearsal(sum(batch.speech for batch in [*before, *meanwhile, *after]))
    rehearsal.decode(before)
    rehearsal.decode(meanwhile)
    rehearsal.told.clear()
    rehearsal.decode(after)
    assert rehearsal.wrong() == []


def test_it_notices_that_one_batch_is_decoded_at_a_time() -> None:
    found = batches(200)
    rehearsal = Rehearsal(sum(batch.speech for batch in found))
    half = len(found) // 2
    rehearsal.decode(found[:half])
    rehearsal.told.clear()
    rehearsal.workers = 1
    rehearsal.decode(found[half:])
    assert rehearsal.wrong() == []


def test_the_end_is_that_of_the_last_batch() -> None:
    rehearsal = Rehearsal(200.0)
    rehearsal.decode([Batch(25, 4), Batch(25, 4), Batch(25, 2.5), Batch(125, 12.5)])
    _, announced, true = rehearsal.announced()[-2]
    assert true == 10.0
    assert announced == pytest.approx(true, rel=0.1)


def test_what_an_earlier_try_has_done_says_nothing_of_the_speed() -> None:
    found = batches(60)
    rehearsal = Rehearsal(2400.0)
    rehearsal.meter.read(1200.0, 1200.0)
    rehearsal.meter.skip(1200.0, 1200.0)
    assert [(progress.fraction, progress.seconds_left) for _, progress in rehearsal.told] == [(0.5, None)]
    rehearsal.told.clear()
    rehearsal.decode(found)
    assert rehearsal.wrong() == []


def test_nor_does_a_pause() -> None:
    found = batches(60)
    rehearsal = Rehearsal(sum(batch.speech for batch in found))
    half = len(found) // 2
    rehearsal.decode(found[:half])
    rehearsal.clock.now += 60
    rehearsal.told.clear()
    rehearsal.decode(found[half:])
    assert rehearsal.wrong() == []


def test_a_recording_of_unknown_length_has_neither_fraction_nor_remaining_time() -> None:
    rehearsal = Rehearsal(None)
    rehearsal.decode(batches(5))
    assert {(progress.fraction, progress.seconds_left) for _, progress in rehearsal.told} == {(None, None)}


def test_a_batch_that_takes_long_is_not_taken_for_done() -> None:
    rehearsal = Rehearsal(100.0)
    rehearsal.decode([Batch(20, 10), *[Batch(20, 1)] * 4])
    at, before_it_ended = rehearsal.told[-2]
    assert at == 4.0
    assert before_it_ended.seconds_left


def test_what_fails_is_not_done() -> None:
    rehearsal = Rehearsal(100.0)
    with pytest.raises(ZeroDivisionError), rehearsal.meter.decoding(50.0, 50.0):
        raise ZeroDivisionError
    rehearsal.clock.now = 1.0
    rehearsal.meter.skip(10.0, 10.0)
    assert rehearsal.told[-1][1].fraction == 0.1


def test_it_tells_four_times_a_second_at_most() -> None:
    rehearsal = Rehearsal(1000.0)
    for _ in range(100):
        rehearsal.clock.now += 0.01
        rehearsal.meter.skip(1.0, 1.0)
    assert 3 <= len(rehearsal.told) <= 5


def test_the_end_of_a_batch_is_told_at_once() -> None:
    rehearsal = Rehearsal(100.0)
    rehearsal.decode([Batch(50, 1.0), Batch(50, 1.1)])
    assert [(at, progress.fraction) for at, progress in rehearsal.told] == [(1.0, 0.5), (1.1, 1.0)]
