from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from panotti_daemon.core.plugins.at_work import Mark
from panotti_daemon.core.plugins.blocking import Pool, in_own_thread
from panotti_daemon.core.plugins.hosting import within

NAME = "blocking"


def test_a_function_runs_beside_the_loop_in_the_callers_context() -> None:
    said: ContextVar[str] = ContextVar("said")

    def function() -> tuple[str, str]:
        gate.wait()
        return threading.current_thread().name, said.get()

    async def main() -> None:
        said.set("hello")
        running = asyncio.ensure_future(in_own_thread(function, NAME))
        await asyncio.sleep(0)
        gate.set()  # only a loop that is not blocked gets here
        assert await running == (NAME, "hello")

    gate = threading.Event()
    asyncio.run(main())


@pytest.mark.parametrize("error", [ValueError("no luck"), SystemExit(3)])
def test_what_it_raises_is_raised_to_the_caller(error: BaseException) -> None:
    def function() -> None:
        raise error

    async def main() -> None:
        with pytest.raises(type(error)) as caught:
            await in_own_thread(function, NAME)
        assert caught.value is error

    asyncio.run(main())


def test_a_stop_iteration_becomes_an_error_that_a_future_can_hold() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="raised StopIteration"):
            await in_own_thread(lambda: next(iter(())), NAME)

    asyncio.run(main())


def test_who_is_cancelled_does_not_wait_for_the_function_nor_does_the_loop() -> None:
    async def main() -> None:
        running = asyncio.ensure_future(in_own_thread(gate.wait, NAME))
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    gate = threading.Event()
    asyncio.run(main())
    assert any(thread.name == NAME for thread in threading.enumerate())
    gate.set()


def test_a_plugin_that_fills_a_pool_leaves_the_daemons_own_alone() -> None:
    async def hog() -> None:
        await asyncio.gather(*(asyncio.to_thread(gate.wait) for _ in range(5)))

    async def main() -> None:
        with Pool(max_workers=1) as pool:
            asyncio.get_running_loop().set_default_executor(pool)
            hogging = asyncio.create_task(within(60, Mark().noted(hog)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert await asyncio.to_thread(lambda: "done") == "done"
            gate.set()
            await hogging

    gate = threading.Event()
    asyncio.run(main())
