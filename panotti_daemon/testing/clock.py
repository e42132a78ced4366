"""A clock that a test sets."""

from __future__ import annotations

from datetime import datetime, timedelta

from panotti_daemon.testing.events import NOW


class StoppedClock:
    """Stands still until it is told to advance."""

    def __init__(self, time: datetime = NOW) -> None:
        self.time = time

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
