"""Decides whether transcription goes on, slowly, or not at all, and says why: a pure state machine of the user's wish,
the settings, the time, and what was read from the machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from panotti_daemon.engine.messages import Pace
from panotti_daemon.hours import Hours
from panotti_daemon.settings import PoliteSettings

CALM = 0.8
"""Other programs must use so much less than what was too much, before it is no longer: so the two do not take turns."""


class Reason(StrEnum):
    ASKED = "asked"
    HOURS = "hours"
    BATTERY = "battery"
    LOAD = "load"


@dataclass(frozen=True)
class Readings:
    """What is not known is None."""

    battery_percent: int | None = None
    """Of a battery that is being drained."""
    load: float | None = None
    """The share of all cores that other programs use, averaged."""


@dataclass(frozen=True)
class Cause:
    reason: Reason
    until: datetime | None = None
    """When it is over by itself, where that is known."""
    battery_percent: int | None = None


@dataclass(frozen=True)
class Verdict:
    pace: Pace = Pace.FULL
    cause: Cause | None = None
    """Of a pace that is not full."""

    @property
    def spares_urgent(self) -> bool:
        """What is asked for now goes on regardless, unless it was the user who paused."""
        return self.cause is None or self.cause.reason is not Reason.ASKED


@dataclass(frozen=True)
class _Pause:
    until: datetime | None
    ends_at: float | None
    """On the monotonic clock: it lasts no longer, if the computer's clock is set back."""

    def is_over(self, now: datetime, monotonic: float) -> bool:
        if self.until is None or self.ends_at is None:
            return False
        return now >= self.until or monotonic >= self.ends_at


class PauseState:
    def __init__(self, settings: PoliteSettings) -> None:
        self._settings = settings
        self._hours = Hours.parse(settings.hours) if settings.hours else None
        self._pause: _Pause | None = None
        self._is_busy = False
        self._overruled: set[Reason] = set()
        """What the user said to go on in spite of, until it is over."""
        self._holding: set[Reason] = set()

    def pause(self, until: datetime | None, now: datetime, monotonic: float) -> None:
        ends_at = monotonic + (until - now).total_seconds() if until else None
        self._pause = _Pause(until, ends_at)

    def resume(self) -> None:
        """Ends the user's pause; without one, goes on in spite of what holds it up."""
        if self._pause is None:
            self._overruled |= self._holding
        self._pause = None

    def look(self, now: datetime, monotonic: float, readings: Readings) -> Verdict:
        if self._pause and self._pause.is_over(now, monotonic):
            self._pause = None
        verdicts = list(self._polite(now, readings))
        self._holding = {verdict.cause.reason for verdict in verdicts if verdict.cause and verdict.pace is Pace.HELD}
        self._overruled &= self._holding
        if self._pause:
            return Verdict(Pace.HELD, Cause(Reason.ASKED, self._pause.until))
        left = [verdict for verdict in verdicts if verdict.cause and verdict.cause.reason not in self._overruled]
        return min(left, key=lambda verdict: verdict.pace is not Pace.HELD, default=Verdict())

    def _polite(self, now: datetime, readings: Readings) -> Iterator[Verdict]:
        settings = self._settings
        if self._hours and self._hours.end_of(now) is None:
            yield Verdict(Pace.HELD, Cause(Reason.HOURS, self._hours.next_begin(now)))
        percent = readings.battery_percent
        if settings.on_battery != "go_on" and percent is not None and percent < settings.battery_percent:
            pace = Pace.HELD if settings.on_battery == "wait" else Pace.SLOW
            yield Verdict(pace, Cause(Reason.BATTERY, battery_percent=percent))
        if self._is_too_busy(readings.load):
            yield Verdict(Pace.HELD, Cause(Reason.LOAD))

    def _is_too_busy(self, load: float | None) -> bool:
        most = self._settings.most_load
        if most is not None and load is not None:
            self._is_busy = load > (most * CALM if self._is_busy else most)
        return self._is_busy
