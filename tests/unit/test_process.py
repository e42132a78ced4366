"""How a process ends, tried with real ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes end and begin in other ways there")


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_what_does_not_stop_is_ended_by_force_as_if_it_had(tmp_path: Path) -> None:
    script = """
import sys, threading
from pathlib import Path
from panotti_daemon.process import Ending

ending = Ending(at_last=Path(sys.argv[1]).touch)
ending.within(0.05)
threading.Event().wait()
"""
    told = tmp_path / "told"
    assert run(script, str(told)).returncode == 0
    assert told.exists()


def test_a_signal_is_heard_although_the_loop_is_blocked() -> None:
    script = """
import asyncio, os, signal, time
from panotti_daemon.process import Ending, handle_signals

class Asked(Ending):
    def within(self, seconds):
        print("asked", seconds, flush=True)
        os._exit(0)

async def main():
    handle_signals(lambda: None, Asked(at_last=lambda: None))
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

asyncio.run(main())
"""
    assert run(script).stdout == "asked 4.5\n"


def test_a_process_becomes_itself_afresh_out_of_any_thread_whatever_the_main_one_does() -> None:
    script = """
import os, sys, threading, time
from panotti_daemon.process import start_afresh

flag = "PANOTTI_TEST_AGAIN"
print(os.getpid(), sys.argv[1], flag in os.environ, flush=True)
if flag not in os.environ:
    os.environ[flag] = "1"
    threading.Thread(target=start_afresh).start()
    time.sleep(60)
"""
    first, again = (line.split() for line in run(script, "argument").stdout.splitlines())
    assert first == [again[0], "argument", "False"]
    assert again[1:] == ["argument", "True"]


def test_children_of_the_process_before_do_not_stay_zombies() -> None:
    script = """
import os, subprocess, sys
import psutil
from panotti_daemon.process import adopt_children

if len(sys.argv) == 1:
    subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    os.execv(sys.executable, [*sys.orig_argv, "again"])
children = psutil.Process().children()
adopt_children()
psutil.wait_procs(children, timeout=30)
print(len(children), len(psutil.Process().children()))
"""
    assert run(script).stdout == "1 0\n"


def test_a_process_without_children_has_none_to_adopt() -> None:
    script = """
import sys
from panotti_daemon.process import adopt_children

adopt_children()
print("psutil" in sys.modules)
"""
    assert run(script).stdout == "False\n"
