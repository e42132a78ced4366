"""Whether another program holds a file open for writing: Linux and Windows can tell, each in its own way."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path
from typing import Literal

REMOTE_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "afs"})


def held_open(path: Path) -> bool | None:
    """None: no writer is seen, but there may be one. Never raises for a file that cannot be opened."""
    if sys.platform == "linux":
        return _held_on_linux(path)
    if sys.platform == "win32":
        return _held_on_windows(path)
    return None


if sys.platform == "linux":
    import fcntl
    import signal

    def _held_on_linux(path: Path) -> bool | None:
        """A read lease is granted only while nobody has the file open for writing: fcntl(2), some microseconds."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except BlockingIOError:
            return True  # Somebody holds a lease of their own, as Samba does for a client that writes.
        except OSError:
            return _writer_in_proc(path)
        try:
            # Whoever opens the file for writing while we hold the lease waits for us, and we are sent SIGIO, which
            # ends a process that does not expect it. SIGURG does nothing unless asked for, and nothing here asks.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:
            # EACCES: somebody else's file. EINVAL: a file system without leases. EAGAIN: open for writing, but on a
            # network share (nfs4_add_lease, cifs_setlease) also that its server has promised us nothing.
            if error.errno == errno.EAGAIN and not _is_remote(os.fstat(descriptor).st_dev):
                return True
            return _writer_in_proc(path)
        finally:
            os.close(descriptor)
        return False

    def _is_remote(device: int) -> bool:
        number = f"{os.major(device)}:{os.minor(device)}"
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            mount, _, file_system = line.partition(" - ")
            if mount.split()[2] == number:
                return file_system.split()[0] in REMOTE_FILE_SYSTEMS
        return False

    def _writer_in_proc(path: Path) -> Literal[True] | None:
        """Looks for a writer among the processes that show us what they have open. No such writer proves nothing."""
        try:
            wanted = path.stat()
        except OSError:
            return None
        name = path.resolve().name
        for process in Path("/proc").glob("[0-9]*"):
            try:
                descriptors = list((process / "fd").iterdir())
            except OSError:
                continue  # Somebody else's process, or one that has ended.
            if any(_is_writer(descriptor, name, wanted) for descriptor in descriptors):
                return True
        return None

    def _is_writer(descriptor: Path, name: str, wanted: os.stat_result) -> bool:
        try:
            # By name first: to stat a stranger's descriptor can hang on a network share that is gone.
            if descriptor.readlink().name != name or not os.path.samestat(descriptor.stat(), wanted):
                return False
            info = (descriptor.parents[1] / "fdinfo" / descriptor.name).read_text()
        except OSError:
            return False  # Closed meanwhile.
        flags = re.search(r"^flags:\s*([0-7]+)$", info, re.MULTILINE)
        return flags is not None and int(flags[1], 8) & (os.O_WRONLY | os.O_RDWR) != 0


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _GENERIC_READ = 0x80000000
    _SHARE_READ_AND_DELETE = 0x00000001 | 0x00000004
    _OPEN_EXISTING = 3
    _INVALID_HANDLE = wintypes.HANDLE(-1).value
    _ERROR_SHARING_VIOLATION = 32

    def _held_on_windows(path: Path) -> bool | None:
        """To open without sharing the right to write is refused as long as anyone has the file open for writing."""
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel32.CreateFileW.restype = wintypes.HANDLE
        handle = kernel32.CreateFileW(str(path), _GENERIC_READ, _SHARE_READ_AND_DELETE, None, _OPEN_EXISTING, 0, None)
        if handle == _INVALID_HANDLE:
            return True if ctypes.get_last_error() == _ERROR_SHARING_VIOLATION else None
        kernel32.CloseHandle(wintypes.HANDLE(handle))
        return False
