"""Time as a dependency: whatever depends on time is given a clock, so that tests decide what time it is."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The time of day, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds that only ever grow, for durations."""


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def local(moment: datetime) -> datetime:
    """In the time zone that the computer is in by now: it may have travelled since this process began."""
    if sys.platform != "win32":
        time.tzset()
    return moment.astimezone()
