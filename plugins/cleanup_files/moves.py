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
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import BinaryIO

BLOCK = 1 << 20
NAME_BYTES = 255
"""The longest name that file systems take."""

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
    """Which file it is, and that nobody wrote to it."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    """Tells, unlike `mtime_ns`, of whoever sets the time back after an edit. A rename changes it, too."""

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def is_renamed(self, other: Identity | None) -> bool:
        """Whether it may be the other one under a new name."""
        return other is not None and replace(self, ctime_ns=other.ctime_ns) == other


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
    numbered = (fitting(path, NAME_BYTES, f" ({number})") for number in count(2))
    return path if not taken(path) else next(other for other in numbered if not taken(other))


def fitting(path: Path, room: int = NAME_BYTES, mark: str = "") -> Path:
    """The path with a mark before its suffix; where the name has more bytes than there is room, its stem is cut."""
    ending = f"{mark}{path.suffix}"
    stem = path.stem.encode()[: room - len(ending.encode())].decode(errors="ignore")
    return path.with_name(stem + ending)


def hidden_name(folder: Path, suffix: str) -> Path:
    """That nobody else chooses, and that is no candidate for transcription."""
    return folder / f".panotti-cleanup-{secrets.token_hex(8)}{suffix}"


def place(source: Path, target: Path) -> None:
    """Renames without replacing, which POSIX has no call for: a second link fails where a file exists. FileExistsError
    if one does."""
    if sys.platform == "win32" or stat.S_ISDIR(source.lstat().st_mode):  # a folder takes the place of no file
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
    with source.open("rb") as file, open(target, "xb", opener=_for_its_owner) as out:
        _copy_bytes(file, out, stopped)
        out.flush()
        os.fsync(out.fileno())
    with suppress(OSError):  # FAT knows no owners and no permissions
        shutil.copystat(source, target)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


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


def mount_point(folder: Path) -> Path:
    real = folder.resolve()
    return next(level for level in (real, *real.parents) if os.path.ismount(level))


def is_away(folder: Path, mount: Path) -> bool:
    """Whether the folder, or the disk that was mounted around it, is not there now."""
    now = mount_point(folder)
    return not folder.is_dir() or (now != mount and mount.is_relative_to(now))


def disk_of(path: Path) -> int | None:
    """A number for the disk that holds a folder, there or to be made; None: it cannot be looked at."""
    for level in (path, *path.parents):
        with suppress(OSError):
            return level.stat().st_dev
    return None
