"""Removes old events: by age and number, and never one that somebody may still need."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import structlog

from panotti_daemon.clock import Clock
from panotti_daemon.loops import keep_going
from panotti_daemon.models.database import Database, queries, stamp
from panotti_daemon.settings import EventSettings

log = structlog.get_logger(__name__)

AT_ONCE = 500
"""Events in one transaction, so that nobody waits long for the database."""
FIRST_AFTER_SECONDS = 300.0
"""A start has other things to do."""
EVERY_SECONDS = 6 * 3600.0


class Retention:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: EventSettings,
        *,
        first_after_seconds: float = FIRST_AFTER_SECONDS,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._first_after_seconds = first_after_seconds
        self._every_seconds = every_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(keep_going("retention", self._sweep_on_and_on), name="retention")

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def sweep(self) -> int:
        """Removes what is too old or too much, but for correlations in which something is still to be delivered or
        dead; returns how many events."""
        count = 0
        before = await self._cutoff()
        after, sequence = "", 0
        while True:
            async with self._database.transaction() as transaction:
                old = queries().old_events(
                    transaction.connection, before=before, after=after, sequence=sequence, limit=AT_ONCE
                )
                rows = [row async for row in old]
                if not rows:
                    break
                sequences = json.dumps([row["sequence"] for row in rows])
                count += await queries().delete_settled_events(transaction.connection, sequences=sequences)
            after, sequence = rows[-1]["created_at"], rows[-1]["sequence"]
        if count:
            log.info("old events removed", events=count)
        return count

    async def _cutoff(self) -> str:
        """The later of two moments: what is older than the first is too old, and the second too much."""
        too_old = stamp(self._clock.now() - timedelta(days=self._settings.keep_days))
        async with self._database.reading() as connection:
            oldest_kept = await queries().nth_newest_moment(connection, n=self._settings.keep_count - 1)
        return max(too_old, oldest_kept or "")

    async def _sweep_on_and_on(self) -> None:
        await asyncio.sleep(self._first_after_seconds)
        while True:
            await self.sweep()
            await asyncio.sleep(self._every_seconds)
