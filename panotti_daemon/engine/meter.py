"""Counts the seconds of audio that are done, and tells of them and of the time that is left."""

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


@dataclass(eq=False, frozen=True)
class _Batch:
    seconds: float
    began: float


class Meter:
    """Any number of threads may use it."""

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
        self._done = self._worked = 0.0
        self._decoded = self._spent = 0.0
        """By decoding alone: seconds of audio, and what that took of one worker."""
        self._under_way: set[_Batch] = set()
        self._marks: list[tuple[float, float]] = []
        """Seconds of work, and the seconds of audio that were done by then, since the first batch began."""
        self._started = clock()
        self._told = -math.inf
        self._lock = threading.Lock()

    def add(self, seconds: float, *, worked: bool = True) -> None:
        """What an earlier try has done says nothing of the speed."""
        with self._lock:
            self._add(seconds, seconds * worked)

    @contextmanager
    def decoding(self, seconds: float) -> Iterator[None]:
        """Around the decoding of audio that is done when it ends without an error."""
        batch = _Batch(seconds, self._clock())
        with self._lock:
            self._under_way.add(batch)
            self._marks = self._marks or [(self._elapsed(batch.began), self._worked)]
        try:
            yield
        finally:
            with self._lock:
                self._under_way.remove(batch)
        with self._lock:
            self._decoded += seconds
            self._spent += self._clock() - batch.began
            self._add(seconds, seconds)

    def _add(self, seconds: float, worked: float) -> None:
        self._done += seconds
        self._worked += worked
        now = self._clock()
        if now - self._told >= _PROGRESS_SECONDS:
            self._told = now
            self._tell(self._progress(now))

    def _progress(self, now: float) -> Progress:
        if not self._total:
            return Progress(stage=Stage.TRANSCRIBING, model=self._model, fraction=None)
        return Progress(
            stage=Stage.TRANSCRIBING,
            model=self._model,
            fraction=min(self._done / self._total, 1.0),
            seconds_left=self._seconds_left(self._total, now),
        )

    def _seconds_left(self, total: float, now: float) -> float | None:
        """If it goes on as in the latter half of the time so far: beginnings are slow, other programs come and go.

        A batch that is being decoded counts in part: a few of them may be half of a short recording.
        """
        if not self._spent:
            return None
        pace = self._decoded / self._spent
        in_part = sum(min(pace * (now - batch.began), batch.seconds) for batch in self._under_way)
        elapsed, worked = self._elapsed(now), self._worked + in_part
        middle = (self._marks[0][0] + elapsed) / 2
        then, had_worked = self._marks[bisect_right(self._marks, (middle, math.inf)) - 1]
        self._marks.append((elapsed, worked))
        left = max(total - self._done - in_part, 0.0)
        return round(left * (elapsed - then) / (worked - had_worked), 1) if worked > had_worked else None

    def _elapsed(self, now: float) -> float:
        return now - self._started - self._gate.held_seconds
