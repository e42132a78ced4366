"""What plugins did to the process, and which of them rest for it: at once for blocking the daemon, after the third time
within an hour for ending it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from pydantic import BaseModel

from panotti_daemon.clock import Clock
from panotti_daemon.core.events.circuit import Rest
from panotti_daemon.core.plugins.at_work import AtWork, End
from panotti_daemon.models.database import Database, queries, stamp

log = structlog.get_logger(__name__)

WINDOW = timedelta(hours=1)
MOST_ENDS = 3
FIRST_REST = timedelta(minutes=10)
LONGEST_REST = timedelta(days=1)
FORGOTTEN_AFTER = 2 * LONGEST_REST

OWNER = "daemon"
"""Whose state this is: no plugin has such a name."""
KEY = "ends."


class Ends(BaseModel):
    """How a plugin's code ended the process, and what it got for it."""

    times: list[datetime] = []
    rests: int = 0
    reason: str = ""
    until: datetime | None = None

    def after(self, end: End, now: datetime) -> Ends:
        recent = [time for time in self.times if now - WINDOW < time <= now] + [now]
        forgotten = not self.times or now - self.times[-1] > FORGOTTEN_AFTER
        rests = 0 if forgotten else self.rests
        if end is End.CRASH and len(recent) < MOST_ENDS:
            return Ends(times=recent, rests=rests)
        reason = (
            "it kept Panotti from everything else"
            if end is End.BLOCKED
            else (f"Panotti ended {len(recent)} times within an hour while its code ran")
        )
        length = min(LONGEST_REST, FIRST_REST * 2 ** min(rests, 10))
        return Ends(times=recent, rests=rests + 1, reason=reason, until=now + length)

    def rest(self, now: datetime) -> Rest | None:
        rest = Rest(self.reason, self.until) if self.until else None
        return rest if rest and not rest.is_over(now, LONGEST_REST) else None


class Crashes:
    def __init__(self, database: Database, at_work: AtWork, clock: Clock) -> None:
        self._database = database
        self._at_work = at_work
        self._clock = clock
        self._known: dict[str, Ends] = {}
        self.culprits: frozenset[str] = frozenset()
        """Whose code ran when the process before this one ended."""

    async def account(self) -> dict[str, Rest]:
        """Takes note of how the process before this one ended. Returns the rests that begin now."""
        now = self._clock.now()
        left_over = self._at_work.take_left_over()
        self.culprits = frozenset(left_over)
        async with self._database.transaction() as transaction:
            async for row in queries().plugin_values(transaction.connection, plugin=OWNER, prefix=KEY):
                self._known[row["key"].removeprefix(KEY)] = Ends.model_validate_json(row["value"])
            for name, end in left_over.items():
                ends = self._known[name] = self._known.get(name, Ends()).after(end, now)
                log.error("a plugin's code ended the process", plugin=name, how=end.value, times=len(ends.times))
                await queries().set_plugin_value(
                    transaction.connection, plugin=OWNER, key=KEY + name, value=ends.model_dump_json()
                )
        begun = {name: self.rest_of(name) for name in left_over}
        for name, rest in begun.items():
            if rest:
                log.error("plugin rests", plugin=name, reason=rest.reason, until=stamp(rest.until))
        return {name: rest for name, rest in begun.items() if rest}

    def rest_of(self, name: str) -> Rest | None:
        return self._known.get(name, Ends()).rest(self._clock.now())

    async def forgive(self, name: str) -> None:
        """Its user wants it to run."""
        if self._known.pop(name, None):
            async with self._database.transaction() as transaction:
                await queries().delete_plugin_value(transaction.connection, plugin=OWNER, key=KEY + name)
