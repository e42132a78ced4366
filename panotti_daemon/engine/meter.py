"""Counts what is done of a recording, and tells of it and of the time that is left.

Time goes into speech, whatever the silence between. How much speech there is, is known as far as the recording has been
read; the rest is taken to be as dense.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.messages import Progress, Stage

_PROGRESS_SECONDS = 0.25
_BATCH_SECONDS = 20.0
"""A batch, however small, costs as much as this much more speech would: a part of it by itself, the rest because the
first ones find cold caches, and share the processors with reading ahead. Without it, beginnings, with their small
batches, would promise too late an end."""
_ALMOST = 0.9
"""So much of a batch may count as done before it is."""


@dataclass(eq=False, frozen=True)
class _Batch:
    speech: float
    began: float

    @property
    def work(self) -> float:
        return self.speech + _BATCH_SECONDS


class Meter:
    """Any number of threads may use it. `speech` is how many of the recording's `seconds` are speech."""

    def __init__(
        self,
        total: float | None,
        model: str,
        tell: Callable[[Progress], None],
        gate: Gate,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`total` seconds of audio, where they are known."""
        self._total = total
        self._model = model
        self._tell = tell
        self._gate = gate
        self._clock = clock
        self._read = self._speech_read = 0.0
        self._done = self._speech_done = 0.0
        self._worked = self._spent = 0.0
        """The work of the batches that are decoded, and the time that it took of one worker."""
        self._under_way: set[_Batch] = set()
        self._largest = 0.0
        """The most work that a batch was."""
        self._marks: list[tuple[float, float]] = []
        """Moments since the first batch began, and the work that was done by then."""
        self._started = clock()
        self._told = -math.inf
        self._lock = threading.Lock()

    @property
    def fraction(self) -> float | None:
        return min(self._done / self._total, 1.0) if self._total else None

    def read(self, seconds: float, speech: float) -> None:
        """To be told of before it is decoded. Where there is no speech, nothing is left to do."""
        with self._lock:
            self._read += seconds
            self._speech_read += speech
        if not speech:
            self.skip(seconds, 0.0)

    def skip(self, seconds: float, speech: float) -> None:
        """Done without work, as by an earlier try: it says nothing of the speed."""
        with self._lock:
            self._done += seconds
            self._speech_done += speech
        self.tell()

    @contextmanager
    def decoding(self, seconds: float, speech: float) -> Iterator[None]:
        """Around the decoding of a batch, which is done when it ends without an error."""
        batch = _Batch(speech, self._clock())
        with self._lock:
            self._under_way.add(batch)
            self._largest = max(self._largest, batch.work)
            self._marks = self._marks or [(self._elapsed(batch.began), 0.0)]
        try:
            yield
        finally:
            with self._lock:
                self._under_way.remove(batch)
        with self._lock:
            self._worked += batch.work
            self._spent += self._clock() - batch.began
            self._done += seconds
            self._speech_done += speech
        self.tell()

    def tell(self) -> None:
        """Four times a second at most."""
        with self._lock:
            now = self._clock()
            if now - self._told >= _PROGRESS_SECONDS:
                self._told = now
                self._tell(self._progress(now))

    def _progress(self, now: float) -> Progress:
        return Progress(
            stage=Stage.TRANSCRIBING,
            model=self._model,
            fraction=self.fraction,
            seconds_left=self._seconds_left(self._total, now) if self._total and self._spent else None,
        )

    def _seconds_left(self, total: float, now: float) -> float | None:
        """If it goes on as in the latter half of the time so far: other programs come and go.

        Batches under way count in part: a few of them may be half of a short recording.
        """
        pace = self._worked / self._spent
        in_part = sum(min(pace * (now - batch.began), _ALMOST * batch.work) for batch in self._under_way)
        elapsed, worked = self._elapsed(now), self._worked + in_part
        middle = (self._marks[0][0] + elapsed) / 2
        then, had_worked = self._marks[bisect_right(self._marks, (middle, math.inf)) - 1]
        self._marks.append((elapsed, worked))
        if worked <= had_worked:
            return None
        speed = (worked - had_worked) / (elapsed - then)
        waiting = self._waiting(total)
        left = waiting + sum(batch.work for batch in self._under_way) - in_part
        # Workers end at any moment of a batch, and the recording with the last one.
        idle = min(waiting, self._largest) / pace / 2 * max(speed - pace, 0.0) / (speed + pace)
        return round(left / speed + idle, 1)

    def _waiting(self, total: float) -> float:
        """The work that nobody has begun, in batches as large as the largest so far."""
        to_come = max(total - self._read, 0.0) * self._speech_read / self._read
        begun = self._speech_done + sum(batch.speech for batch in self._under_way)
        speech = max(self._speech_read + to_come - begun, 0.0)
        return speech * self._largest / (self._largest - _BATCH_SECONDS)

    def _elapsed(self, now: float) -> float:
        return now - self._started - self._gate.held_seconds
