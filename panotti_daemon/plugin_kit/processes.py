"""Runs a program of somebody else's for as long as it may take, and leaves nothing of it behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Ended:
    status: int | None
    """None: it took too long, and was ended."""
    output: str


def run_python(arguments: Sequence[str | Path], *, seconds: float, folder: Path | None = None) -> Ended:
    """Runs this very Python, in that folder, but not what lies there, until it ends or the time is up."""
    with tempfile.TemporaryFile() as output:  # a pipe would be kept open by what outlives the program
        process = subprocess.Popen(
            [sys.executable, "-P", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _end(process)
        output.seek(0)
        return Ended(status, output.read().decode(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """The program first: once what it waited for has ended, it would go on."""
    if process.poll() is not None:
        return
    started: list[psutil.Process] = []
    with suppress(psutil.Error):
        program = psutil.Process(process.pid)
        program.suspend()
        started = program.children(recursive=True)
    process.kill()
    process.wait()
    for child in started:
        with suppress(psutil.Error):
            child.kill()
