"""One daemon for each home: a lock that dies with its holder, and the runtime file that tells others where it is."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from panotti_daemon.api.schemas import RuntimeInfo
from panotti_daemon.errors import AlreadyRunning
from panotti_daemon.paths import Paths

RUNTIME_TEMPORARY = re.compile(r"\.daemon-[a-z0-9_]{8}")
"""What the runtime file is called until it is whole."""


@contextmanager
def only_instance(paths: Paths) -> Iterator[None]:
    """Raises AlreadyRunning, which says where the other one is."""
    lock = FileLock(paths.lock_file, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise AlreadyRunning(_where(paths)) from None
    try:
        withdraw(paths.runtime_file)  # of one that was killed
        yield
    finally:
        lock.release()


def _where(paths: Paths) -> str:
    try:
        info = RuntimeInfo.model_validate_json(paths.runtime_file.read_bytes())
    except (OSError, ValidationError):
        return "It is starting or ending in this home; try again in a moment."
    return f"It is process {info.pid}, at {info.url}. `panotti stop` ends it."


def publish(path: Path, info: RuntimeInfo) -> None:
    """Writes the runtime file in one step; only its owner can read it at any time."""
    path.parent.chmod(0o700)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".daemon-")  # 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(info.model_dump_json())
    Path(temporary).replace(path)


def withdraw(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
