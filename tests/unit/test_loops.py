from __future__ import annotations

import asyncio

import pytest

from panotti_daemon.errors import DatabaseError
from panotti_daemon.loops import keep_going


@pytest.mark.parametrize("trouble", [DatabaseError("the disk is full"), ValueError("a bug")])
def test_a_loop_that_raised_is_run_again(trouble: Exception) -> None:
    async def scenario() -> int:
        runs = 0

        async def loop() -> None:
            nonlocal runs
            runs += 1
            if runs < 3:
                raise trouble

        await keep_going("test", loop, pause_seconds=0)
        return runs

    assert asyncio.run(scenario()) == 3


def test_a_loop_can_be_cancelled_at_work_and_between_two_runs() -> None:
    async def scenario() -> None:
        async def works() -> None:
            await asyncio.Event().wait()

        async def fails() -> None:
            raise ValueError

        for loop in (works, fails):
            task = asyncio.create_task(keep_going("test", loop, pause_seconds=3600))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(scenario())
