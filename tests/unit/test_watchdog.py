from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from panotti_daemon.core.plugins.importing import plugin_of
from panotti_daemon.watchdog import Watchdog
from tests.daemon import PATIENCE, wait_until

HANG = 20.0
"""Seconds, of a block that something else must end."""


def plugins_function(code: str, name: str = "panotti_plugins.bad_1.plugin") -> Callable[..., Any]:
    """A function `work` as if it stood in a plugin's file."""
    module = ModuleType(name)
    exec(compile(code, "/plugins/bad/plugin.py", "exec"), module.__dict__)
    return module.work  # type: ignore[no-any-return]


BLOCKS = "def work(until):\n    until()"


def watch(act: Callable[[], None], *, restarted: Callable[[str], None], restart_seconds: float = 0.1) -> None:
    async def main() -> None:
        watchdog = Watchdog(plugin_of, restarted, restart_seconds=restart_seconds, ask_seconds=0.02, tick_seconds=0.01)
        watchdog.start()
        try:
            act()
        finally:
            watchdog.stop()

    asyncio.run(main())


def test_a_plugin_that_blocks_the_loop_is_named_with_its_line_and_ended_by_a_restart() -> None:
    restarted = threading.Event()
    culprits = []

    def restart(plugin: str) -> None:
        culprits.append(plugin)
        restarted.set()

    work = plugins_function(BLOCKS)
    with capture_logs() as lines:
        watch(lambda: work(lambda: restarted.wait(HANG)), restarted=restart)
    assert culprits == ["bad"]
    told = [line for line in lines if "run_blocking" in line["event"]]
    assert [(line["plugin"], line["place"]) for line in told] == [("bad", "/plugins/bad/plugin.py:2")]
    assert "in work" in told[0]["stack"]


def test_a_loop_that_no_plugin_blocks_is_only_told_of() -> None:
    restarts: list[str] = []
    with capture_logs() as lines:
        watch(lambda: time.sleep(0.5), restarted=restarts.append)  # five times what would be the end of a plugin
    told = [line for line in lines if line["event"] == "the loop is blocked"]
    assert [line["plugin"] for line in told] == [None]
    assert restarts == []


def test_a_plugin_under_a_debugger_is_left_in_peace() -> None:
    debugged = plugins_function("def work(until):\n    until()", name="pdb")
    work = plugins_function(BLOCKS)
    restarts: list[str] = []
    watch(lambda: work(lambda: debugged(lambda: time.sleep(0.4))), restarted=restarts.append)
    assert restarts == []


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGSTOP")
def test_a_process_that_was_stopped_for_long_has_blocked_nothing(tmp_path: Path) -> None:
    script = """
import asyncio, sys, threading
from panotti_daemon.watchdog import Watchdog

async def main():
    def restart(plugin):
        print("restarted", flush=True)
    watchdog = Watchdog(lambda module: "anybody", restart, restart_seconds=0.5, ask_seconds=0.1, tick_seconds=0.1)
    watchdog.start()
    print("watching", flush=True)
    while True:
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            break
        await asyncio.sleep(0.5)
        print("alive", flush=True)
    watchdog.stop()

asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdin
        assert process.stdout.readline() == "watching\n"
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "it is stopped")
        time.sleep(1.5)  # the time that must not count
        os.kill(process.pid, signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "alive\n"
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
