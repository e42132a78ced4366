"""The hours of the day in which nothing is to be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Self

TIME = r"((?:[01]\d|2[0-3]):[0-5]\d)"
FORM = re.compile(f"{TIME}-{TIME}")


@dataclass(frozen=True)
class QuietHours:
    """Of the local time of day; they may pass midnight."""

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
        local = now.astimezone()
        clock = local.time()
        passes_midnight = self.end < self.begin
        has_begun, has_not_ended = clock >= self.begin, clock < self.end
        if not (has_begun or has_not_ended if passes_midnight else has_begun and has_not_ended):
            return None
        day = local.date() + timedelta(days=passes_midnight and has_begun)
        return datetime.combine(day, self.end).astimezone()  # of the offset that holds then


def checked_hours(text: str) -> str:
    """The text, if it is such hours; raises ValueError."""
    QuietHours.parse(text)
    return text
