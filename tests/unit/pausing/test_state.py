from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from panotti_daemon.engine.messages import Pace
from panotti_daemon.pausing.state import Cause, PauseState, Readings, Reason, Verdict
from panotti_daemon.settings import PoliteSettings

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
GOING = Verdict()
ASKED = Verdict(Pace.HELD, Cause(Reason.ASKED))


class Scene:
    """A state with a clock and readings that a test sets."""

    def __init__(self, **settings: object) -> None:
        self.state = PauseState(PoliteSettings.model_validate(settings))
        self.now = NOW
        self.monotonic = 1000.0
        self.readings = Readings()

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.monotonic += seconds

    def set_clock(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def pause(self, seconds: float | None = None) -> None:
        until = self.now + timedelta(seconds=seconds) if seconds else None
        self.state.pause(until, self.now, self.monotonic)

    @property
    def verdict(self) -> Verdict:
        return self.state.look(self.now, self.monotonic, self.readings)

    def reason(self) -> Reason | None:
        cause = self.verdict.cause
        return cause.reason if cause else None


def on_battery(percent: int) -> Readings:
    return Readings(battery_percent=percent)


def local(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, 2, hour, minute).astimezone()


def test_nothing_holds_it_up_at_first() -> None:
    assert Scene().verdict == GOING


def test_a_pause_lasts_until_it_is_ended() -> None:
    s = Scene()
    s.pause()
    s.wait(1e9)
    assert s.verdict == ASKED
    s.state.resume()
    assert s.verdict == GOING


def test_a_pause_until_a_time_is_over_then() -> None:
    s = Scene()
    s.pause(3600)
    s.wait(3599)
    assert s.verdict == Verdict(Pace.HELD, Cause(Reason.ASKED, until=NOW + timedelta(hours=1)))
    s.wait(1)
    assert s.verdict == GOING


def test_a_pause_is_over_after_a_night_in_which_the_computer_slept() -> None:
    s = Scene()
    s.pause(3600)
    s.set_clock(8 * 3600)
    assert s.verdict == GOING


def test_a_clock_that_is_set_back_makes_no_pause_longer() -> None:
    s = Scene()
    s.pause(3600)
    s.set_clock(-86_400)
    assert s.reason() is Reason.ASKED
    s.wait(3600)
    assert s.verdict == GOING
    s.set_clock(86_400)
    assert s.verdict == GOING


@pytest.mark.parametrize(
    ("settings", "percent", "verdict"),
    [
        ({}, 30, GOING),
        ({}, 29, Verdict(Pace.HELD, Cause(Reason.BATTERY, battery_percent=29))),
        ({"battery_percent": 80}, 79, Verdict(Pace.HELD, Cause(Reason.BATTERY, battery_percent=79))),
        ({"on_battery": "slow_down"}, 29, Verdict(Pace.SLOW, Cause(Reason.BATTERY, battery_percent=29))),
        ({"on_battery": "go_on"}, 1, GOING),
    ],
)
def test_a_battery_that_is_drained_below_its_limit_has_it_do_as_it_is_set(
    settings: dict[str, object], percent: int, verdict: Verdict
) -> None:
    s = Scene(**settings)
    s.readings = on_battery(percent)
    assert s.verdict == verdict
    s.readings = Readings()
    assert s.verdict == GOING


def test_a_load_that_changes_around_its_limit_does_not_have_it_come_and_go() -> None:
    s = Scene(most_load=0.5)
    seen = []
    for load in (None, 0.5, 0.51, 0.49, 0.55, 0.41, 0.4, 0.41, 0.5, 0.6):
        s.readings = Readings(load=load)
        seen.append(s.reason())
    busy = Reason.LOAD
    assert seen == [None, None, busy, busy, busy, busy, None, None, None, busy]


def test_it_works_in_its_hours_and_says_when_they_begin() -> None:
    s = Scene(hours="18:00-08:00")
    s.now = local(17, 59)
    assert s.verdict == Verdict(Pace.HELD, Cause(Reason.HOURS, until=local(18)))
    s.now = local(18)
    assert s.verdict == GOING
    s.now = local(8)
    assert s.verdict.pace is Pace.HELD


def test_resuming_goes_on_in_spite_of_a_reason_until_that_is_over() -> None:
    s = Scene()
    s.readings = on_battery(20)
    assert s.reason() is Reason.BATTERY
    s.state.resume()
    s.readings = on_battery(10)
    assert s.verdict == GOING
    s.readings = Readings()
    assert s.verdict == GOING
    s.readings = on_battery(10)
    assert s.reason() is Reason.BATTERY


def test_resuming_ends_a_pause_first_and_then_what_else_holds_it_up() -> None:
    s = Scene()
    s.readings = on_battery(20)
    s.pause()
    assert s.reason() is Reason.ASKED
    s.state.resume()
    assert s.reason() is Reason.BATTERY
    s.state.resume()
    assert s.reason() is None


def test_what_comes_up_after_resuming_holds_it_up() -> None:
    s = Scene(most_load=0.5)
    s.readings = Readings(load=0.9)
    assert s.reason() is Reason.LOAD
    s.state.resume()
    s.readings = Readings(load=0.9, battery_percent=10)
    assert s.reason() is Reason.BATTERY


def test_what_stops_it_counts_more_than_what_slows_it_down() -> None:
    s = Scene(on_battery="slow_down", most_load=0.5)
    s.readings = Readings(load=0.9, battery_percent=10)
    assert s.reason() is Reason.LOAD
    s.state.resume()
    assert (s.verdict.pace, s.reason()) == (Pace.SLOW, Reason.BATTERY)


def test_all_but_a_pause_spares_what_is_urgent() -> None:
    s = Scene()
    s.readings = on_battery(20)
    assert s.verdict.spares_urgent
    s.pause()
    assert not s.verdict.spares_urgent
