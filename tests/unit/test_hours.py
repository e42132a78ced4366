from __future__ import annotations

from datetime import UTC, datetime

import pytest

from panotti_daemon.hours import Hours


def local(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute).astimezone()


@pytest.mark.parametrize(
    ("hours", "now", "end"),
    [
        ("22:00-07:00", local(1, 21, 59), None),
        ("22:00-07:00", local(1, 22), local(2, 7)),
        ("22:00-07:00", local(2, 0), local(2, 7)),
        ("22:00-07:00", local(2, 6, 59), local(2, 7)),
        ("22:00-07:00", local(2, 7), None),
        ("12:30-14:00", local(1, 12, 29), None),
        ("12:30-14:00", local(1, 13), local(1, 14)),
        ("12:30-14:00", local(1, 14), None),
        ("00:00-00:00", local(1, 0), None),
    ],
)
def test_hours_are_of_the_local_day_and_may_pass_midnight(hours: str, now: datetime, end: datetime | None) -> None:
    assert Hours.parse(hours).end_of(now.astimezone(UTC)) == end


@pytest.mark.parametrize(
    ("hours", "now", "begin"),
    [
        ("18:00-08:00", local(1, 12), local(1, 18)),
        ("18:00-08:00", local(1, 18), local(2, 18)),
        ("18:00-08:00", local(1, 23), local(2, 18)),
        ("01:00-05:00", local(1, 23), local(2, 1)),
        ("01:00-05:00", local(1, 0), local(1, 1)),
    ],
)
def test_they_begin_again_today_or_tomorrow(hours: str, now: datetime, begin: datetime) -> None:
    assert Hours.parse(hours).next_begin(now.astimezone(UTC)) == begin


@pytest.mark.parametrize("text", ["", "22:00", "22-7", "22:00-7:00", "24:00-07:00", "22:00-07:60", " 22:00-07:00"])
def test_what_is_no_pair_of_times_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must look like 22:00-07:00$"):
        Hours.parse(text)
