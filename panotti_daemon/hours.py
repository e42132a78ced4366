"""Hours of the local day, such as those in which nothing is to be shown or transcribed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Self

from panotti_daemon.clock import local

TIME = r"((?:[01]\d|2[0-3]):[0-5]\d)"
FORM = re.compile(f"{TIME}-{TIME}")


@dataclass(frozen=True)
class Hours:
    """From one time of day to another; they may pass midnight."""

    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError for what is not of the form `22:00-07:00`."""
        form = FORM.fullmatch(text)
        if form is None:
            raise ValueError("must look like 22:00-07:00")
        return cls(*map(time.fromisoformat, form.groups()))

    def end_of(self, now: datetime) -> datetime | None:
        """When those end that `now` lies in; None outside of them."""
        here = local(now)
        clock = here.time()
        passes_midnight = self.end < self.begin
        has_begun, has_not_ended = clock >= self.begin, clock < self.end
        if not (has_begun or has_not_ended if passes_midnight else has_begun and has_not_ended):
            return None
        day = here.date() + timedelta(days=passes_midnight and has_begun)
        return _next(datetime.combine(day, self.end), here)

    def next_begin(self, now: datetime) -> datetime:
        """The next moment at which they begin."""
        here = local(now)
        today, tomorrow = (datetime.combine(here.date() + timedelta(days=days), self.begin) for days in (0, 1))
        begin = _next(today, here)
        return begin if begin > here else _next(tomorrow, here)


def _next(clock: datetime, after: datetime) -> datetime:
    """When local clocks show this; where they show it twice, as they are set back, the first time after a moment."""
    first, second = (clock.replace(fold=fold).astimezone() for fold in (0, 1))
    return first if first > after else second


def checked_hours(text: str) -> str:
    """The text, if it is such hours; raises ValueError."""
    Hours.parse(text)
    return text
