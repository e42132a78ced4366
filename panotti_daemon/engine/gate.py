"""Where the workers of the engine wait for their turn: it lets as many through at a time as the pace allows, and nobody
once the job is to end."""

from __future__ import annotations

import math
import threading

from panotti_daemon.engine.messages import Pace

_AT_A_TIME = {Pace.FULL: math.inf, Pace.SLOW: 1, Pace.HELD: 0}


class JobEnded(Exception):
    """It is not to go on."""


class Gate:
    """One job's. Who works holds it: `with gate: ...`, which raises JobEnded."""

    def __init__(self, pace: Pace = Pace.FULL) -> None:
        self._changed = threading.Condition()
        self._pace = pace
        self._inside = 0
        self._ended = False

    def keep(self, pace: Pace) -> None:
        with self._changed:
            self._pace = pace
            self._changed.notify_all()

    def end(self) -> None:
        """Who is inside finishes; nobody else comes in."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def check(self) -> None:
        """Raises JobEnded."""
        if self._ended:
            raise JobEnded

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._inside < _AT_A_TIME[self._pace])
            self.check()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()
