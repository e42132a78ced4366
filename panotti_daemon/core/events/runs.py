"""A handler at work on a delivery, and how it is ended before it has finished."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from panotti_daemon.core.events.models import Delivery, Event


class Interruption(Enum):
    STOP = "stop"
    WITHDRAW = "withdraw"
    SILENCE = "silence"


@dataclass
class Run:
    """A handler at work on a delivery."""

    delivery: Delivery
    event: Event
    handling: asyncio.Task[list[Event]]
    """Only this is ever cancelled."""
    deadline: float
    """On the loop's clock: when silence means that it hangs."""
    interrupted: asyncio.Future[Interruption]
    released: asyncio.Event
    """Nobody waits any longer for a handler that does not obey."""
    settled: asyncio.Task[None] | None = None
    """Ends once the outcome is stored."""
    lingers: bool = False
    spared: bool = False
    """Its attempt costs nothing, and is given back already."""

    def refunded(self) -> Delivery:
        """As if this attempt had not been made."""
        return self.delivery if self.spared else self.delivery.refunded()

    def interrupt(self, why: Interruption) -> None:
        if self.interrupted.done():
            self.released.set()
        elif not self.handling.done():
            self.interrupted.set_result(why)
            self.handling.cancel()


async def interrupt(runs: Sequence[Run], why: Interruption) -> int:
    """Returns how many had not ended by themselves, once all are settled."""
    for run in runs:
        run.interrupt(why)
    await settled(runs)
    return sum(run.interrupted.done() and run.interrupted.result() is why for run in runs)


async def settled(runs: Sequence[Run], timeout: float | None = None) -> None:
    if waiting := [run.settled for run in runs if run.settled]:
        await asyncio.wait(waiting, timeout=timeout)
