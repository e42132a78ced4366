"""Reads from the machine what politeness depends on: its battery, and how busy other programs keep it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil

from panotti_daemon.clock import Clock
from panotti_daemon.pausing.state import Readings
from panotti_daemon.settings import PoliteSettings

BUSY = {"user", "nice", "system", "irq", "softirq"}
"""The times in which a core works for this machine's programs, as psutil names them on each system."""
AVERAGED = 3
"""So many readings, so that what starts up for a moment stops nothing."""


@dataclass(frozen=True)
class Spent:
    """Seconds of processor time until a moment, since the machine and each process began."""

    at: float
    by_all: float
    by_us: Mapping[int, float]
    """By the id of each of our processes."""


class Load:
    """What other programs use of all cores."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._before: Spent | None = None
        self._shares: deque[float] = deque(maxlen=AVERAGED)

    def after(self, spent: Spent) -> float | None:
        """The average share; None until something can be said."""
        before, self._before = self._before, spent
        if before and spent.at > before.at:
            ours = sum(seconds - before.by_us.get(pid, 0.0) for pid, seconds in spent.by_us.items())
            others = (spent.by_all - before.by_all - ours) / (spent.at - before.at)
            self._shares.append(min(1.0, max(0.0, others / self._cores)))
        return sum(self._shares) / len(self._shares) if self._shares else None


class Machine:
    def __init__(self, settings: PoliteSettings, clock: Clock, engine_pids: Callable[[], Iterable[int]]) -> None:
        self._clock = clock
        self._engine_pids = engine_pids
        self._load = Load(psutil.cpu_count() or 1)
        self._reads_battery = settings.on_battery != "go_on" and psutil.sensors_battery() is not None
        self._reads_load = settings.most_load is not None

    @property
    def tells(self) -> bool:
        """Whether there is anything that is worth being read."""
        return self._reads_battery or self._reads_load

    def read(self) -> Readings:
        """Some systems take their time to answer: call it in a thread."""
        return Readings(
            battery_percent=_drained_battery() if self._reads_battery else None,
            load=self._load.after(self._spent()) if self._reads_load else None,
        )

    def _spent(self) -> Spent:
        by_us = {}
        for pid in (os.getpid(), *self._engine_pids()):
            with suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                by_us[pid] = times.user + times.system
        by_all = sum(seconds for name, seconds in psutil.cpu_times()._asdict().items() if name in BUSY)
        return Spent(self._clock.monotonic(), by_all, by_us)


def _drained_battery() -> int | None:
    battery = psutil.sensors_battery()
    return round(battery.percent) if battery and battery.power_plugged is False else None
