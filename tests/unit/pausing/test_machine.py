from __future__ import annotations

import os
from types import SimpleNamespace

import psutil
import pytest

from panotti_daemon.clock import SystemClock
from panotti_daemon.pausing.machine import AVERAGED, Load, Machine, Spent
from panotti_daemon.pausing.state import Readings
from panotti_daemon.settings import PoliteSettings


def machine(**settings: object) -> Machine:
    return Machine(PoliteSettings.model_validate(settings), SystemClock(), lambda: [os.getppid(), 2**30])


def test_the_load_is_what_others_use_of_all_cores() -> None:
    load = Load(cores=4)
    assert load.after(Spent(at=100, by_all=1000, by_us={1: 50})) is None
    assert load.after(Spent(at=110, by_all=1030, by_us={1: 55, 2: 5})) == 0.5


def test_a_moment_of_load_counts_as_its_part_of_the_average() -> None:
    load = Load(cores=1)
    load.after(Spent(at=0, by_all=0, by_us={}))
    shares = [load.after(Spent(at=10 * turn, by_all=10, by_us={})) for turn in range(1, AVERAGED + 2)]
    assert shares == [1.0, 0.5, pytest.approx(1 / 3), 0.0]


def test_processes_that_end_or_a_clock_that_stands_still_make_no_impossible_load() -> None:
    load = Load(cores=1)
    load.after(Spent(at=0, by_all=100, by_us={1: 90}))
    assert load.after(Spent(at=0, by_all=200, by_us={})) is None
    assert load.after(Spent(at=10, by_all=190, by_us={2: 5})) == 0.0


def test_a_machine_reads_its_load_with_an_engine_that_has_just_ended() -> None:
    busy = machine(most_load=0.5)
    assert busy.tells
    assert busy.read() == Readings()
    load = busy.read().load
    assert load is not None
    assert 0 <= load <= 1


@pytest.mark.parametrize(("percent", "is_plugged", "read"), [(23.6, False, 24), (23.6, True, None), (23.6, None, None)])
def test_a_battery_counts_while_it_is_drained(
    monkeypatch: pytest.MonkeyPatch, percent: float, is_plugged: bool | None, read: int | None
) -> None:
    battery = SimpleNamespace(percent=percent, power_plugged=is_plugged)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery)
    assert machine().tells
    assert machine().read() == Readings(battery_percent=read)
    assert not machine(on_battery="go_on").tells


def test_a_machine_without_a_battery_has_nothing_to_tell_until_it_is_asked_for_its_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None)
    assert not machine().tells
    assert machine(most_load=0.9).tells
