"""What Panotti costs at rest: daemon and tray icon on a desktop, API up, engine gone.

python -m benchmarks.idle [--minutes N]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from benchmarks.report import Row, show, surroundings
from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.desktop.desktop import Desktop, missing_programs
from tests.speech import SAMPLE

MEGABYTE = 1024 * 1024
AIMS = "daemon at most 75 MB, tray icon at most 45 MB, together under 0.1 % of a core, no growth"


@dataclass(frozen=True)
class Sample:
    """What a process has and has used, up to now."""

    at: float
    resident: int
    proportional: int
    """Its own memory, and its share of what it has in common with others."""
    processor_seconds: float
    wake_ups: int
    """Of all threads: how often they had waited."""

    @classmethod
    def of(cls, process: psutil.Process) -> Self:
        memory, times = process.memory_full_info(), process.cpu_times()
        waited = [_voluntary_switches(task) for task in Path(f"/proc/{process.pid}/task").iterdir()]
        return cls(time.monotonic(), memory.rss, memory.pss, times.user + times.system, sum(waited))


def main(minutes: float) -> None:
    about = {"minutes": f"{minutes:g}", "aim": AIMS, **surroundings()}
    with at_rest() as processes:
        before = {name: Sample.of(process) for name, process in processes.items()}
        time.sleep(minutes * 60)
        rows = [row(name, before[name], Sample.of(process)) for name, process in processes.items()]
    rows.append({"process": "together", **{key: sum(float(row[key]) for row in rows) for key in [*rows[0]][1:]}})
    show("At rest", rows, about)


def row(name: str, before: Sample, after: Sample) -> Row:
    seconds = after.at - before.at
    return {
        "process": name,
        "resident MB": after.resident / MEGABYTE,
        "proportional MB": after.proportional / MEGABYTE,
        "growth MB": (after.resident - before.resident) / MEGABYTE,
        "% of a core": 100 * (after.processor_seconds - before.processor_seconds) / seconds,
        "wake-ups a second": (after.wake_ups - before.wake_ups) / seconds,
    }


@contextmanager
def at_rest() -> Iterator[dict[str, psutil.Process]]:
    """Daemon and tray icon after their first transcript; without a desktop, the daemon alone."""
    has_desktop = not missing_programs()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = stack.enter_context(Desktop(folder / "user")).environment if has_desktop else {}
        home = folder / "panotti"
        home.mkdir()
        settings = {"engine": {"idle_seconds": 1}}
        daemon = stack.enter_context(Panotti(home, settings, environment=environment, tray=has_desktop))
        stack.callback(end_trays, daemon)
        dropped = daemon.recordings / "memo.wav"
        shutil.copy(SAMPLE, dropped)
        daemon.wait_for(dropped, FileState.DONE)
        assert daemon.process
        processes = {"daemon": psutil.Process(daemon.process.pid)}
        if has_desktop:
            (tray,) = wait_until(daemon.trays, "the tray icon is there")
            processes["tray icon"] = psutil.Process(tray)
        wait_until(lambda: not _engines(processes["daemon"], daemon.trays), "the engine is gone")
        yield processes


def end_trays(daemon: Panotti) -> None:
    for pid in daemon.trays():
        os.kill(pid, signal.SIGTERM)


def _engines(daemon: psutil.Process, trays: Callable[[], list[int]]) -> list[psutil.Process]:
    return [child for child in daemon.children() if child.pid not in trays()]


def _voluntary_switches(task: Path) -> int:
    lines = (task / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    main(parser.parse_args().minutes)
