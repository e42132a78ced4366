"""Counts what is done of a recording, and tells of it and of the time that is left.

Time goes into speech, whatever the silence between. How much speech there is, is known as far as the recording has been
read; the rest is taken to be as dense. How fast a worker is, its last batches tell.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from panotti_daemon.engine.messages import Progress, Stage

_PROGRESS_SECONDS = 0.25
_FIRST_SECONDS = 15.0
"""A worker's first batch costs as much as this much more speech would: it is small, finds cold caches, and shares the
processors with reading ahead."""
_REMEMBERED = 0.9
"""So much of what was seen counts after another batch, for other programs come and go."""
_ALMOST = 0.9
"""So much of a batch may count as done before it is."""


@dataclass(eq=False)
class _Batch:
    speech: float
    work: float
    """The seconds of speech that it costs."""
    began: float
    at_once: int = 1
    """How many batches were under way with it, itself included."""


class Meter:
    """Any number of threads may use it. `speech` is how many of the recording's `seconds` are speech."""

    def __init__(
        self,
        total: float | None,
        model: str,
        tell: Callable[[Progress], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`total` seconds of audio, where they are known."""
        self._total = total
        self._model = model
        self._tell = tell
        self._clock = clock
        self._read = self._speech_read = 0.0
        self._done = self._speech_done = 0.0
        self._worked = self._spent = 0.0
        """The work of the last batches, and the time that it took of one worker."""
        self._under_way: set[_Batch] = set()
        self._at_once = 1
        """How many batches are decoded at once, as the last one saw it."""
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
        with self._lock:
            work = speech if self._spent else speech + _FIRST_SECONDS
            batch = _Batch(speech, work, self._clock())
            self._under_way.add(batch)
            for beside in self._under_way:
                beside.at_once = max(beside.at_once, len(self._under_way))
        try:
            yield
        finally:
            with self._lock:
                self._under_way.remove(batch)
        with self._lock:
            now = self._clock()
            self._worked = _REMEMBERED * self._worked + batch.work
            self._spent = _REMEMBERED * self._spent + now - batch.began
            self._at_once = batch.at_once
            self._done += seconds
            self._speech_done += speech
            self._tell_now(now)

    def tell(self) -> None:
        """Four times a second at most, the ends of batches aside: until the next one there may be nothing to tell."""
        with self._lock:
            now = self._clock()
            if now - self._told >= _PROGRESS_SECONDS:
                self._tell_now(now)

    def _tell_now(self, now: float) -> None:
        self._told = now
        seconds_left = self._seconds_left(self._total, now) if self._total and self._spent else None
        self._tell(
            Progress(
                stage=Stage.TRANSCRIBING,
                model=self._model,
                fraction=self.fraction,
                seconds_left=seconds_left,
            )
        )

    def _seconds_left(self, total: float, now: float) -> float:
        """Until the workers together have done what is left, and the last of the batches under way has ended."""
        pace = self._worked / self._spent
        under_way = [batch.work - min(pace * (now - batch.began), _ALMOST * batch.work) for batch in self._under_way]
        shared = (self._waiting(total) + sum(under_way)) / self._at_once
        return round(max([shared, *under_way]) / pace, 1)

    def _waiting(self, total: float) -> float:
        """The speech that nobody has begun."""
        to_come = max(total - self._read, 0.0) * self._speech_read / self._read
        begun = self._speech_done + sum(batch.speech for batch in self._under_way)
        return max(self._speech_read + to_come - begun, 0.0)
