from __future__ import annotations

import heapq
from collections.abc import Iterable
from contextlib import ExitStack

import pytest

from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.messages import Pace, Progress
from panotti_daemon.engine.meter import Meter

WORKERS = 2


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Rehearsal:
    """Workers that decode one batch after the other, on a clock that only they move."""

    def __init__(self, total: float | None) -> None:
        self.clock = Clock()
        self.told: list[tuple[float, Progress]] = []
        self.meter = Meter(total, "tiny.en", lambda p: self.told.append((self.clock.now, p)), Gate(), self.clock)
        self._at_work: list[tuple[float, int, ExitStack]] = []

    def decode(self, batches: Iterable[float], pace: float = 20.0) -> None:
        """`pace`: seconds of audio that a worker decodes in a second; the second one is a little slower."""
        for number, batch in enumerate(batches):
            if len(self._at_work) == WORKERS:
                self._finish()
            work = ExitStack()
            work.enter_context(self.meter.decoding(batch))
            heapq.heappush(self._at_work, (self.clock.now + batch / pace * (1 + number % WORKERS / 10), number, work))
        while self._at_work:
            self._finish()

    def _finish(self) -> None:
        self.clock.now, _, work = heapq.heappop(self._at_work)
        work.close()

    def wrong(self) -> list[tuple[float, float]]:
        """The seconds that were announced to be left and those that were: after the first tenth, by more than a fifth
        and a second."""
        pairs = [
            (progress.seconds_left or 0.0, self.clock.now - at)
            for at, progress in self.told
            if progress.fraction and 0.1 <= progress.fraction <= 0.9
        ]
        assert len(pairs) >= 5
        return [(announced, true) for announced, true in pairs if abs(announced - true) > 0.2 * true + 1]


@pytest.mark.parametrize(
    "batches",
    [[20.0] * 60, [80.0] * 15, [20.0] * 2 + [40.0] * 2 + [60.0] * 2 + [80.0] * 12],
    ids=["short", "long", "growing"],
)
def test_after_the_first_tenth_the_remaining_time_is_right_within_a_fifth(batches: list[float]) -> None:
    rehearsal = Rehearsal(1200.0)
    rehearsal.clock.now = 1.0  # until the first window is read
    rehearsal.decode(batches)
    assert rehearsal.wrong() == []


def test_the_remaining_time_follows_the_pace() -> None:
    rehearsal = Rehearsal(2000.0)
    rehearsal.decode([20.0] * 10, pace=5.0)
    rehearsal.decode([20.0] * 40)
    rehearsal.told.clear()
    rehearsal.decode([20.0] * 50)
    assert rehearsal.wrong() == []


def test_what_an_earlier_try_has_done_says_nothing_of_the_speed() -> None:
    rehearsal = Rehearsal(1000.0)
    rehearsal.meter.add(500.0, worked=False)
    assert [(progress.fraction, progress.seconds_left) for _, progress in rehearsal.told] == [(0.5, None)]
    rehearsal.told.clear()
    rehearsal.decode([20.0] * 25)
    assert rehearsal.wrong() == []


def test_a_pause_says_nothing_of_the_speed() -> None:
    gate = Gate(Pace.HELD)
    clock, told = Clock(), list[Progress]()
    held = gate.held_seconds
    meter = Meter(100.0, "tiny.en", told.append, gate, lambda: clock.now + gate.held_seconds - held)
    for _ in range(5):
        with meter.decoding(10.0):
            clock.now += 1
    assert told[-1].fraction == 0.5
    assert told[-1].seconds_left == pytest.approx(5, abs=0.5)


def test_a_recording_of_unknown_length_has_neither_fraction_nor_remaining_time() -> None:
    rehearsal = Rehearsal(None)
    rehearsal.decode([20.0] * 5)
    assert {(progress.fraction, progress.seconds_left) for _, progress in rehearsal.told} == {(None, None)}


def test_what_fails_is_not_done() -> None:
    rehearsal = Rehearsal(100.0)
    with pytest.raises(ZeroDivisionError), rehearsal.meter.decoding(50.0):
        raise ZeroDivisionError
    rehearsal.clock.now = 1.0
    rehearsal.meter.add(10.0)
    assert rehearsal.told[-1][1].fraction == 0.1


def test_it_tells_four_times_a_second_at_most() -> None:
    rehearsal = Rehearsal(1000.0)
    for _ in range(100):
        rehearsal.clock.now += 0.01
        rehearsal.meter.add(1.0)
    assert 3 <= len(rehearsal.told) <= 5
