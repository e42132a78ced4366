from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from panotti_daemon.clock import local
from panotti_daemon.desktop.menu import tomorrow_morning
from panotti_daemon.hours import Hours

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows looks the zone up each time")

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_new_time_zone_holds_at_once(travel: Callable[[str], None]) -> None:
    travel("UTC0")
    assert local(NOON).hour == 12
    travel("EST5")
    assert local(NOON).hour == 7


def test_hours_are_those_of_the_new_time_zone(travel: Callable[[str], None]) -> None:
    evening = Hours.parse("18:00-23:00")
    travel("UTC0")
    assert evening.end_of(NOON) is None
    assert evening.next_begin(NOON) == datetime(2026, 3, 1, 18, tzinfo=UTC)
    travel("JST-9")
    assert evening.end_of(NOON) == datetime(2026, 3, 1, 14, tzinfo=UTC)


def test_hours_keep_their_local_times_over_a_change_to_summer_time(travel: Callable[[str], None]) -> None:
    night = Hours.parse("18:00-08:00")
    travel("CET-1CEST,M3.5.0,M10.5.0/3")  # the clock goes from 2 to 3 on 29 March 2026
    assert night.end_of(datetime(2026, 3, 28, 20, tzinfo=UTC)) == datetime(2026, 3, 29, 6, tzinfo=UTC)
    assert night.next_begin(datetime(2026, 3, 28, 20, tzinfo=UTC)) == datetime(2026, 3, 29, 16, tzinfo=UTC)


def test_tomorrow_morning_keeps_its_local_time_over_a_change_to_summer_time(travel: Callable[[str], None]) -> None:
    travel("CET-1CEST,M3.5.0,M10.5.0/3")
    evening = local(datetime(2026, 3, 28, 20, tzinfo=UTC))
    assert tomorrow_morning(evening) == datetime(2026, 3, 29, 4, tzinfo=UTC)
