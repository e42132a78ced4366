from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

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


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Its clocks showed 02:00 to 03:00 twice on 25 October 2026, and skipped that hour on 29 March."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_hours_that_the_clock_shows_twice_end_the_second_time_too() -> None:
    first, second = (datetime(2026, 10, 25, hour, 10, tzinfo=UTC) for hour in (0, 1))
    hours = Hours.parse("22:00-02:30")
    assert hours.end_of(first) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert hours.end_of(second) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert Hours.parse("02:30-22:00").next_begin(second) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
@pytest.mark.parametrize("hours", ["22:00-02:30", "02:30-22:00", "02:10-02:50", "01:30-03:30"])
def test_neither_their_end_nor_their_beginning_is_ever_in_the_past(day: datetime, hours: str) -> None:
    moments = [day + timedelta(minutes=minute) for minute in range(-180, 300)]
    assert all((end := Hours.parse(hours).end_of(now)) is None or end > now for now in moments)
    assert all(Hours.parse(hours).next_begin(now) > now for now in moments)
