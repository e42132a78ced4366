"""How a process of the engine takes its place on the machine: priority, processors, and memory up to a limit."""

from __future__ import annotations

import os
import sys
import threading
import time

from panotti_daemon.settings.resources import Resources

OUT_OF_MEMORY = 75
"""The exit status of a process that took more memory than it may."""

_NICENESS = 10
_LOOK_SECONDS = 0.2


def take_place(resources: Resources) -> None:
    """To be called by the process itself, before it does anything else. psutil is loaded only where it is needed."""
    if resources.priority == "background":
        _step_back()
    if resources.affinity is not None:
        _keep_to(resources.affinity)
    if resources.memory_megabytes is not None:
        limit = resources.memory_megabytes * 1_000_000
        threading.Thread(target=_end_beyond, args=(limit,), daemon=True).start()


def _step_back() -> None:
    """Whatever else runs on this machine goes first."""
    if sys.platform == "win32":
        import psutil

        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        os.nice(_NICENESS)


def _keep_to(processors: tuple[int, ...]) -> None:
    if sys.platform == "linux":
        os.sched_setaffinity(0, processors)
    elif sys.platform == "win32":
        import psutil

        psutil.Process().cpu_affinity(list(processors))


def _end_beyond(limit: int) -> None:
    """The whole process: libraries that are refused memory abort in ways of their own, or leave a broken model."""
    import psutil

    process = psutil.Process()
    while process.memory_info().rss <= limit:
        time.sleep(_LOOK_SECONDS)
    os._exit(OUT_OF_MEMORY)
