"""Where the workers of the engine wait for their turn: it lets as many through at a time as the pace allows."""

from __future__ import annotations

import math
import threading
import time

from panotti_daemon.engine.messages import Pace

_AT_A_TIME = {Pace.FULL: math.inf, Pace.SLOW: 1, Pace.HELD: 0}


class Gate:
    """Who works holds it: `with gate: ...`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pace = Pace.FULL
        self._inside = 0
        self._held_since = self._held_before = 0.0

    @property
    def held_seconds(self) -> float:
        """How long nobody was let through, in all."""
        with self._changed:
            return self._held()

    def keep(self, pace: Pace) -> None:
        with self._changed:
            self._held_before = self._held()
            self._held_since = time.monotonic()
            self._pace = pace
            self._changed.notify_all()

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._inside < _AT_A_TIME[self._pace])
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def _held(self) -> float:
        return self._held_before + (time.monotonic() - self._held_since if self._pace is Pace.HELD else 0.0)
