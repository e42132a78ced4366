"""What the daemon costs at rest: resident memory and processor time over a minute, API up, engine gone.

python -m benchmarks.idle [SECONDS]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import psutil

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.speech import SAMPLE

MEGABYTE = 1024 * 1024


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        with Panotti(home, {"engine": {"idle_seconds": 1}, "log": {"level": "info"}}) as daemon:
            assert daemon.process
            process = psutil.Process(daemon.process.pid)
            fresh = process.memory_info().rss
            dropped = daemon.recordings / "memo.wav"
            shutil.copy(SAMPLE, dropped)
            daemon.wait_for(dropped, FileState.DONE)
            wait_until(lambda: not process.children(), "the engine is gone")
            before, switches = process.cpu_times(), process.num_ctx_switches().voluntary
            began = time.monotonic()
            time.sleep(seconds)
            elapsed = time.monotonic() - began
            after = process.cpu_times()
            used = after.user + after.system - before.user - before.system
            wakes = (process.num_ctx_switches().voluntary - switches) / elapsed
            print(f"resident when started        {fresh / MEGABYTE:6.1f} MB")
            print(f"resident after a transcript  {process.memory_info().rss / MEGABYTE:6.1f} MB  (aim: at most 75)")
            print(f"processor over {elapsed:3.0f} s         {used / elapsed:6.2%} of a core  (aim: under 0.2 %)")
            print(f"wake-ups of the main thread  {wakes:6.1f} a second")
            print(f"engine processes left        {len(process.children()):6d}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
