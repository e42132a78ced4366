from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

import pytest

from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.messages import Progress
from panotti_daemon.engine.meter import Meter


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


def batches(*sizes: int, pace: float = 20.0, silence: float = 0.0) -> list[Batch]:
    """Of windows of 20 s; `pace`: seconds of speech that a worker decodes in a second, a few more of which go into each
    batch. Every other batch takes a little longer."""
    return [
        Batch(20.0 * size, (20.0 * size + 8) / pace * (1 + number % 2 / 10), silence)
        for number, size in enumerate(sizes)
    ]


class Rehearsal:
    """Workers that decode one batch after the other, on a clock that only they move, while some more are being read."""

    def __init__(self, total: float | None, workers: int = 2) -> None:
        self.clock = Clock()
        self.told: list[tuple[float, Progress]] = []
        self.meter = Meter(total, "tiny.en", lambda p: self.told.append((self.clock.now, p)), Gate(), self.clock)
        self._workers = workers
        self._at_work: list[tuple[float, int, ExitStack]] = []
        self._chance = 0.0

    def decode(self, batches: Sequence[Batch]) -> None:
        self._chance = max(batch.takes for batch in batches) / 2
        read = iter(batches)
        self._read(islice(read, 2 * self._workers))
        for number, batch in enumerate(batches):
            self._read(islice(read, 1))
            if len(self._at_work) == self._workers:
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

    def wrong(self) -> list[tuple[float, float]]:
        """The seconds that were announced to be left and those that were: after the first tenth, by more than a fifth
        and half a batch, as chance has it who decodes the last ones."""
        pairs = [
            (progress.seconds_left or 0.0, self.clock.now - at)
            for at, progress in self.told
            if progress.fraction and 0.1 <= progress.fraction <= 0.9
        ]
        assert len(pairs) >= 3
        return [(announced, true) for announced, true in pairs if abs(announced - true) > max(0.2 * true, self._chance)]


MEASURED = [(19, 1.9), (19, 2.0), (33, 2.7), (40, 2.9), (54, 3.7), (54, 3.6), (38, 2.4), (42, 2.8)]
"""Five minutes with the model `base` on two cores: the batches' seconds of speech, and how long they took."""


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize(
    ("number", "growth"), [(60, 0), (30, 3), (12, 3)], ids=["of one window each", "growing", "few and growing"]
)
def test_after_the_first_tenth_the_remaining_time_is_right_within_a_fifth(
    number: int, growth: int, workers: int
) -> None:
    found = batches(*(1 + min(place // workers, growth) for place in range(number)))
    rehearsal = Rehearsal(sum(batch.speech for batch in found), workers)
    rehearsal.clock.now = 1.0  # until the first window is read
    rehearsal.decode(found)
    assert rehearsal.wrong() == []


def test_so_it_is_with_a_beginning_as_slow_as_measured() -> None:
    rehearsal = Rehearsal(300.0)
    rehearsal.decode([Batch(*measured) for measured in MEASURED])
    assert rehearsal.wrong() == []


def test_silence_takes_no_time() -> None:
    found = [*batches(*[1] * 8), *batches(*[1] * 8, silence=200.0)]
    rehearsal = Rehearsal(sum(batch.silence + batch.speech for batch in found))
    rehearsal.decode(found)
    rehearsal.told = [(at, progress) for at, progress in rehearsal.told if (progress.fraction or 0) > 0.5]
    assert rehearsal.wrong() == []


def test_what_is_not_read_yet_is_taken_to_be_as_dense() -> None:
    found = batches(*[1] * 40, silence=60.0)
    rehearsal = Rehearsal(40 * 80.0)
    rehearsal.decode(found)
    assert rehearsal.wrong() == []


def test_silence_is_done_when_it_is_read() -> None:
    rehearsal = Rehearsal(100.0)
    rehearsal.meter.read(60.0, 0.0)
    assert rehearsal.meter.fraction == 0.6


def test_the_remaining_time_follows_the_pace() -> None:
    rehearsal = Rehearsal(2000.0)
    rehearsal.decode(batches(*[1] * 10, pace=5.0))
    rehearsal.decode(batches(*[1] * 40))
    rehearsal.told.clear()
    rehearsal.decode(batches(*[1] * 50))
    assert rehearsal.wrong() == []


def test_what_an_earlier_try_has_done_says_nothing_of_the_speed() -> None:
    rehearsal = Rehearsal(1000.0)
    rehearsal.meter.read(500.0, 500.0)
    rehearsal.meter.skip(500.0, 500.0)
    assert [(progress.fraction, progress.seconds_left) for _, progress in rehearsal.told] == [(0.5, None)]
    rehearsal.told.clear()
    rehearsal.decode(batches(*[1] * 25))
    assert rehearsal.wrong() == []


class PausedGate(Gate):
    held = 0.0

    @property
    def held_seconds(self) -> float:
        return self.held


def test_a_pause_says_nothing_of_the_speed() -> None:
    gate, clock, told = PausedGate(), Clock(), list[Progress]()
    meter = Meter(100.0, "tiny.en", told.append, gate, clock)
    for number in range(5):
        meter.read(10.0, 10.0)
        with meter.decoding(10.0, 10.0):
            clock.now += 1
        if number == 2:
            clock.now += 60
            gate.held += 60
    assert told[-1].fraction == 0.5
    assert told[-1].seconds_left == pytest.approx(5, abs=0.5)


def test_a_recording_of_unknown_length_has_neither_fraction_nor_remaining_time() -> None:
    rehearsal = Rehearsal(None)
    rehearsal.decode(batches(*[1] * 5))
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
