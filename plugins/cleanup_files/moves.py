"""Moves that never replace a file, and that lose nothing wherever they stop."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO

BLOCK = 1 << 20

WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "Panotti may not write there",
    errno.EPERM: "Panotti may not do that there",
    errno.ENOENT: "it is not there; is its drive connected?",
    errno.EXDEV: "it is on another disk",
}


def in_words(error: OSError) -> str:
    what = WORDS.get(error.errno or 0) or error.strerror or str(error)
    return f"{error.filename2 or error.filename}: {what}" if error.filename else what


@dataclass(frozen=True)
class Identity:
    """Which file it is, and that nobody wrote to it: a rename changes none of this."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def identity(path: Path) -> Identity | None:
    """Of the regular file that stands there itself; None: there is none."""
    with suppress(FileNotFoundError, NotADirectoryError):
        status = path.lstat()
        return Identity.of(status) if stat.S_ISREG(status.st_mode) else None
    return None


def is_taken(path: Path) -> bool:
    return os.path.lexists(path)


def free_name(path: Path, taken: Callable[[Path], bool] = is_taken) -> Path:
    """The path itself, or with the first number that makes it new: `call (2).wav`."""
    numbered = (path.with_name(f"{path.stem} ({number}){path.suffix}") for number in count(2))
    return path if not taken(path) else next(other for other in numbered if not taken(other))


def hidden_name(folder: Path, suffix: str) -> Path:
    """That nobody else chooses, and that is no candidate for transcription."""
    return folder / f".panotti-cleanup-{secrets.token_hex(8)}{suffix}"


def place(source: Path, target: Path) -> None:
    """Renames without replacing, which POSIX has no call for: a second link fails where a file exists. FileExistsError
    if one does."""
    if sys.platform == "win32":
        source.rename(target)
        return
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        # FAT, exFAT and many network shares have no links: an empty file holds the name instead
        target.touch(exist_ok=False)
        try:
            source.replace(target)
        except OSError:
            target.unlink(missing_ok=True)
            raise
    else:
        source.unlink()


def copy(source: Path, target: Path, stopped: Callable[[], bool]) -> None:
    """To a new file, durably, with its time. Raises InterruptedError as soon as `stopped` says so."""
    status = source.stat()
    with source.open("rb") as file, target.open("xb") as out:
        _copy_bytes(file, out, stopped)
        out.flush()
        os.fsync(out.fileno())
    with suppress(OSError):  # FAT knows no owners and no permissions
        shutil.copystat(source, target)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_bytes(file: BinaryIO, out: BinaryIO, stopped: Callable[[], bool]) -> None:
    while block := file.read(BLOCK):
        out.write(block)
        if stopped():
            raise InterruptedError


def sync(*folders: Path) -> None:
    """Makes the names in them durable, where a folder can be flushed."""
    for folder in folders:
        if sys.platform == "win32" or not folder.is_dir():
            continue
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
                raise
        finally:
            os.close(descriptor)


def disk_of(path: Path) -> int | None:
    """A number for the disk that holds a folder, there or to be made; None: it cannot be looked at."""
    for level in (path, *path.parents):
        with suppress(OSError):
            return level.stat().st_dev
    return None
