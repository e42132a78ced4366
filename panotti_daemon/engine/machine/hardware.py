"""What this machine lets the engine have: cores, memory and a GPU, as far as a container and the settings allow.

Nothing here loads a library that the daemon does without: CTranslate2 is asked about a GPU in a process of its own,
and only where there is an NVIDIA driver at all.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from panotti_daemon.engine.machine import cgroups
from panotti_daemon.engine.models.catalog import KnownModel
from panotti_daemon.settings.resources import DEFAULT, Resources, usable_processors
from panotti_daemon.sizes import shown_size

MOST_WORKERS = 8
"""Beyond, memory is what they wait for."""

_CORE_SPEED = 12.0
"""Seconds of speech that one core decodes in a second with `tiny`, other cores being busy: 22 on the server on which
Panotti was measured, and half of that is left to a laptop."""
_SHARE_OF_MEMORY = 0.5
"""The rest is for what the user is at."""
_PROCESS_MEGABYTES = 200
"""Of the engine without a model."""
_ASK_SECONDS = 60.0

_ruled_out: str | None = None


@dataclass(frozen=True)
class Machine:
    cores: int
    memory_megabytes: int
    """For the engine and everything else."""
    without_gpu: str | None
    """Why no GPU is used; None: one is."""
    limit_megabytes: int | None = None
    """For the engine alone, as the settings have it."""

    @property
    def description(self) -> str:
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        with_gpu = f"no GPU: {self.without_gpu}" if self.without_gpu else "a GPU"
        limit = f", {shown_size(self.limit_megabytes * 1_000_000)} for the engine" if self.limit_megabytes else ""
        return f"{cores}, {self.memory_megabytes / 1000:.0f} GB{limit}, {with_gpu}"

    def workers_for(self, model: KnownModel | None) -> int:
        """How many windows to decode at a time; a model that nobody knows is taken for a small one."""
        if not self.without_gpu:
            return 1  # it works on a whole batch at a time
        cores = max(1, min(self.cores, MOST_WORKERS))
        if model is None:
            return cores
        room = self._for_the_engine - _PROCESS_MEGABYTES - model.weights_megabytes
        return max(1, min(cores, int(room / model.worker_megabytes)))

    def has_memory_for(self, model: KnownModel) -> bool:
        """With one worker at least."""
        decoding = model.weights_megabytes + model.worker_megabytes
        return _PROCESS_MEGABYTES + max(model.loading_megabytes, decoding) <= self._for_the_engine

    def speed_of(self, model: KnownModel) -> float:
        """Seconds of speech in a second, on the processor; a careful guess."""
        return _CORE_SPEED * self.workers_for(model) / model.work

    @property
    def _for_the_engine(self) -> float:
        share = _SHARE_OF_MEMORY * self.memory_megabytes
        return min(share, self.limit_megabytes) if self.limit_megabytes else share


def machine(resources: Resources = DEFAULT) -> Machine:
    """As it is for this process: its affinity counts."""
    container = cgroups.limits()
    memory = psutil.virtual_memory().total
    return Machine(
        cores=_cores(container.cores, resources),
        memory_megabytes=min(memory, container.memory or memory) // 1_000_000,
        without_gpu="engine.device is cpu" if resources.device == "cpu" else gpu_problem(),
        limit_megabytes=resources.memory_megabytes,
    )


def gpu_problem() -> str | None:
    """Why CTranslate2 cannot use a GPU; None: it can."""
    return _ruled_out or _asked_for_gpu()


def rule_out_gpu(why: str) -> None:
    """In this process: a model was tried on it, and failed."""
    global _ruled_out
    _ruled_out = why


@cache
def _asked_for_gpu() -> str | None:
    if not _has_nvidia_driver():
        return "there is no NVIDIA driver"
    command = [sys.executable, "-P", "-m", "panotti_daemon.engine.machine.gpu"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return "CTranslate2 does not say whether it can use one"
    if asked.returncode:
        return "CTranslate2 crashed when it was asked for one"
    return asked.stdout.strip() or None


def _cores(quota: float | None, resources: Resources) -> int:
    """Physical ones: a second thread on a core decodes nothing faster."""
    logical = psutil.cpu_count() or 1
    threads_each = max(1, logical // (psutil.cpu_count(logical=False) or logical))
    cores = max(1, len(resources.affinity or usable_processors()) // threads_each)
    return max(1, min(cores, int(quota))) if quota else cores


def _has_nvidia_driver() -> bool:
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", "C:/Windows")) / "System32" / "nvcuda.dll").exists()
    return any(map(os.path.exists, ("/proc/driver/nvidia/version", "/usr/lib/wsl/lib/libcuda.so.1")))
