"""A long history costs nothing: what runs all the time reads only what is not done yet, or goes through an index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from panotti_daemon.models.database import queries
from tests.unit.core.events.scene import Scene, play

ALWAYS = (
    *("claim_delivery", "claim_oldest_delivery", "is_claimable", "wake_waiting", "next_available_at"),
    *("update_delivery", "running_deliveries", "deliveries_of_correlation", "raise_priority", "event_by_id"),
    *("what_is_missing", "is_under_way", "dead_deliveries", "deliver_again", "old_events", "delete_settled_events"),
)
PARTIAL = ("deliveries_waiting", "deliveries_unsettled")
"""Indexes of what is not done: to read all of one is to read little."""


@pytest.mark.parametrize("name", ALWAYS)
def test_no_query_of_everyday_reads_the_whole_history(tmp_path: Path, name: str) -> None:
    sql: str = getattr(queries(), name).sql

    async def act(s: Scene) -> None:
        parameters = dict.fromkeys(re.findall(r":(\w+)", sql), 1)
        async with s.database.reading() as connection:
            plan = [row["detail"] for row in await connection.execute_fetchall(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        scans = [step for step in plan if re.match("SCAN (?!json_each)", step) and not step.endswith(PARTIAL)]
        assert not scans, plan

    play(tmp_path / "panotti.db", act)
