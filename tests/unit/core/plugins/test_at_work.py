from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import coroutine
from typing import Any

import pytest

from panotti_daemon.core.plugins.at_work import AtWork, End, Mark

SCRIPT = """
import asyncio, ctypes, os, sys, threading
from pathlib import Path
from panotti_daemon.core.plugins.at_work import AtWork
from panotti_daemon.core.plugins.blocking import Pool, in_own_thread

at_work = AtWork(Path(sys.argv[1]))
bystander, culprit = at_work.mark("bystander"), at_work.mark("culprit")

async def works():
    await asyncio.sleep(0)
    {does}

async def works_in_a_thread():
    await in_own_thread(does)

async def works_in_the_pool():
    await asyncio.to_thread(does)

def does():
    {does}

async def waits():
    await asyncio.Event().wait()

async def main():
    waiting = asyncio.create_task(bystander.noted(waits)())
    await asyncio.sleep(0)
    asyncio.get_running_loop().set_default_executor(Pool())
    {run}
    await waiting

asyncio.run(main())
"""


def ended(folder: Path, does: str, run: str = "await culprit.noted(works)()") -> int:
    script = SCRIPT.replace("{does}", does).replace("{run}", run)
    return subprocess.run(
        [sys.executable, "-c", script, str(folder)], stderr=subprocess.DEVNULL, check=False
    ).returncode


@pytest.mark.parametrize(
    ("does", "run"),
    [
        ("os._exit(7)", "await culprit.noted(works)()"),
        ("ctypes.string_at(0)", "await culprit.noted(works)()"),
        ("os._exit(7)", "await culprit.noted(works_in_a_thread)()"),
        ("os._exit(7)", "await culprit.noted(works_in_the_pool)()"),
    ],
)
def test_whose_code_ended_the_process_is_found_afterwards(tmp_path: Path, does: str, run: str) -> None:
    assert ended(tmp_path, does, run) != 0
    assert AtWork(tmp_path).take_left_over() == {"culprit": End.CRASH}
    assert AtWork(tmp_path).take_left_over() == {}


def test_one_that_blocked_the_daemon_is_told_from_one_that_crashed(tmp_path: Path) -> None:
    ended(tmp_path, "culprit.blocks(); os._exit(0)")
    assert AtWork(tmp_path).take_left_over() == {"culprit": End.BLOCKED}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_nobody_is_blamed_for_a_kill_from_outside_while_all_wait(tmp_path: Path) -> None:
    script = SCRIPT.replace("{does}", "pass").replace("{run}", "print('waiting', flush=True)")
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "waiting\n"
        os.kill(process.pid, signal.SIGKILL)
    assert AtWork(tmp_path).take_left_over() == {}


def test_a_thread_that_goes_on_after_a_proper_end_is_no_crash(tmp_path: Path) -> None:
    at_work = AtWork(tmp_path)
    with at_work.mark("busy").in_thread():
        at_work.clear()
    assert AtWork(tmp_path).take_left_over() == {}


def test_a_folder_that_is_not_there_tells_of_nobody(tmp_path: Path) -> None:
    assert AtWork(tmp_path / "missing").take_left_over() == {}
    assert AtWork().take_left_over() == {}


def test_a_noted_call_does_what_the_call_does() -> None:
    memory = bytearray(3)
    mark = Mark(memory)

    async def works(gate: asyncio.Event) -> str:
        assert memory[0] == 1
        try:
            await gate.wait()
        except asyncio.CancelledError:
            assert memory[0] == 1
            raise ValueError("was cancelled") from None
        return "done"

    async def main() -> None:
        gate = asyncio.Event()
        task = asyncio.ensure_future(mark.noted(lambda: works(gate))())
        await asyncio.sleep(0)
        assert memory[0] == 0
        gate.set()
        assert await task == "done"
        task = asyncio.ensure_future(mark.noted(lambda: works(asyncio.Event()))())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(ValueError, match="was cancelled"):
            await task
        assert memory[0] == 0

    asyncio.run(main())


def test_a_noted_call_that_is_dropped_closes_what_it_called() -> None:
    closed = []

    @coroutine
    def suspends() -> Iterator[Any]:
        try:
            yield
        finally:
            closed.append(True)

    async def works() -> None:
        await suspends()

    noted = Mark().noted(works)()
    steps: Any = noted.__await__() if hasattr(noted, "__await__") else noted
    next(iter(steps))
    steps.close()
    assert closed
