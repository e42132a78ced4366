"""The looking itself: what settling and identity need to know of a file on disk.

A link is followed if it leads to a regular file. Folders, pipes, sockets and devices are never opened.
"""

from __future__ import annotations

import hashlib
import io
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from panotti_daemon.intake.headers import promise
from panotti_daemon.intake.settle import Look, Proof
from panotti_daemon.intake.writers import held_open

HASH_BLOCK = 1 << 20
MOST_STORED = 2**63 - 1
"""As a time in nanoseconds, it is in the year 2262; some file systems go on to 2446 and beyond."""


def look(path: Path) -> Look | None:
    """One stat. None: no regular file is there, or it cannot be reached; `oddity` says more."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Look(status.st_size, min(status.st_mtime_ns, MOST_STORED), as_stored(status.st_ino))


def is_gone(path: Path) -> bool:
    """For sure: what cannot be looked at, or whose drive fails, may still be there."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def as_stored(inode: int) -> int:
    """The database holds 63 bits: network drives, mergerfs and ReFS give numbers with more."""
    return inode & MOST_STORED


def prove(path: Path) -> Proof:
    """Opens the file, for a few kilobytes at most. To be asked for only once it is quiet."""
    held = held_open(path)
    if held:
        return Proof(look(path), held_open=True, promise=None)
    try:
        promised = promise(path)
    except OSError as error:
        return Proof(look(path), held, promise=None, unreadable=error.strerror or str(error))
    return Proof(look(path), held, promised)


def oddity(path: Path) -> str | None:
    """Why what stands there is no candidate, in words for the user. None: a regular file, or nothing at all."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if path.is_symlink():
            return "it is a link that leads nowhere"
        return None if isinstance(error, FileNotFoundError) else f"it cannot be reached: {error.strerror or error}"
    if stat.S_ISREG(mode):
        return None
    return "it is a folder" if stat.S_ISDIR(mode) else "it is not a file but a pipe, a socket or a device"


def hash_file(path: Path, stopped: Callable[[], bool] = lambda: False) -> str:
    """The identity of a track: BLAKE2b of its bytes, 40 hexadecimal digits. Reads all of it; OSError propagates.

    Raises InterruptedError as soon as `stopped` says so, for a large file on a slow drive must not hold up the end.
    """
    with path.open("rb", buffering=0) as file:
        return hash_open(file, stopped)


def hash_open(file: BinaryIO | io.FileIO, stopped: Callable[[], bool] = lambda: False) -> str:
    """The same of a file that is open already, from where it stands."""
    digest = hashlib.blake2b(digest_size=20)
    while block := file.read(HASH_BLOCK):
        digest.update(block)
        if stopped():
            raise InterruptedError
    return digest.hexdigest()
