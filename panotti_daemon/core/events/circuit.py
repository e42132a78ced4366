"""A circuit breaker: a plugin that fails again and again rests, and is then tried with one delivery at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

FAILURES = 5
"""In a row, at no fewer than two events: one that nobody could handle is no reason to hold up the others."""
FIRST_REST = timedelta(minutes=1)
LONGEST_REST = timedelta(hours=1)


@dataclass(frozen=True)
class Rest:
    """Nothing is delivered to a plugin until this is over, and no attempt is spent."""

    reason: str
    until: datetime

    def is_over(self, now: datetime, longest: timedelta = LONGEST_REST) -> bool:
        """One that seems to last longer than any was begun before the computer's clock was set back."""
        return now >= self.until or self.until - now > longest


class Circuit:
    def __init__(self) -> None:
        self.rest: Rest | None = None
        """The one that it takes, or took last without having succeeded since."""
        self._failed_at: list[str] = []
        self._rests = 0

    def is_resting(self, now: datetime) -> bool:
        return self.rest is not None and not self.rest.is_over(now)

    def succeeded(self) -> None:
        self.rest = None
        self._failed_at.clear()
        self._rests = 0

    def failed(self, event_id: str, reason: str, now: datetime) -> Rest | None:
        """Returns the rest that begins with this failure. Each is twice as long as the one before."""
        if self.is_resting(now):
            return None
        self._failed_at.append(event_id)
        if self.rest is None and (len(self._failed_at) < FAILURES or len(set(self._failed_at)) < 2):
            return None
        length = min(LONGEST_REST, FIRST_REST * 2 ** min(self._rests, 10))
        self._rests += 1
        self.rest = Rest(f"it failed {len(self._failed_at)} times in a row, at last with: {reason}", now + length)
        return self.rest
