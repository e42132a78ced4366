from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.messages import Pace
from tests.daemon import wait_until

WORKERS = 3


class Crew:
    """Workers that all want to pass a gate, and work until each is let out."""

    def __init__(self, gate: Gate) -> None:
        self.inside = self.done = 0
        self._gate = gate
        self._counting = threading.Lock()
        self._ends = threading.Semaphore(0)

    def work(self) -> None:
        with self._gate:
            self._count(inside=1)
            self._ends.acquire()
            self._count(inside=-1, done=1)

    def let_out(self, number: int = 1) -> None:
        self._ends.release(number)

    def _count(self, *, inside: int, done: int = 0) -> None:
        with self._counting:
            self.inside += inside
            self.done += done


@contextmanager
def at_work(gate: Gate) -> Iterator[Crew]:
    crew = Crew(gate)
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in range(WORKERS):
            pool.submit(crew.work)
        yield crew
        gate.keep(Pace.FULL)
        crew.let_out(WORKERS)


def test_at_full_pace_all_work_at_a_time() -> None:
    with at_work(Gate()) as crew:
        wait_until(lambda: crew.inside == WORKERS)


def test_at_a_slow_pace_they_work_one_after_the_other() -> None:
    gate = Gate()
    gate.keep(Pace.SLOW)
    with at_work(gate) as crew:
        for done in range(WORKERS):
            wait_until(lambda done=done: (crew.done, crew.inside) == (done, 1))  # type: ignore[misc]
            crew.let_out()
        wait_until(lambda: crew.done == WORKERS)


def test_a_new_pace_holds_for_who_comes_next_and_breaks_nothing_off() -> None:
    gate = Gate()
    with at_work(gate) as crew:
        wait_until(lambda: crew.inside == WORKERS)
        gate.keep(Pace.HELD)
        late = threading.Thread(target=crew.work)
        late.start()
        crew.let_out(WORKERS)
        wait_until(lambda: crew.done == WORKERS)
        assert late.is_alive()
        assert crew.inside == 0
        gate.keep(Pace.SLOW)
        wait_until(lambda: crew.inside == 1)
        crew.let_out()
        late.join()
