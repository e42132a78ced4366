"""Whether a file may be touched at all, looked up on the disk, and again right before it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from unicodedata import normalize

from panotti_daemon.core.plugins import FinishedFile, Library, PermanentError

from .moves import Identity, in_words


class Refused(PermanentError):
    """The file is not touched"""


def look(file: FinishedFile, library: Library, protect: Iterable[str] = ()) -> Identity:
    """Everything but its content, which takes long to read. Raises Refused."""
    path = file.path
    for pattern in protect:
        if _is_protected(path, library.roots, pattern):
            raise Refused(f"it is protected: {pattern}")
    try:
        status = path.lstat()
        _check_place(path, library.roots)
    except OSError as error:
        raise Refused(in_words(error)) from error
    if stat.S_ISLNK(status.st_mode):
        raise Refused("it is a link")
    if not stat.S_ISREG(status.st_mode):
        raise Refused("it is no regular file")
    if status.st_nlink > 1:
        raise Refused("it has another name, a hard link: to move it would free nothing")
    if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
        raise Refused("it changed since it was transcribed")
    if library.is_being_written(path):
        raise Refused("another program has it open for writing")
    if not os.access(path.parent, os.W_OK):
        raise Refused(f"{path.parent} cannot be written")
    return Identity.of(status)


def look_into(file: FinishedFile, library: Library, protect: Iterable[str] = ()) -> Identity:
    """All of `look`, and its content. Raises Refused; OSError, InterruptedError when the daemon is to stop."""
    found = look(file, library, protect)
    with open(file.path, "rb", opener=_without_following) as opened:
        content = library.content_hash(opened)
        if Identity.of(os.fstat(opened.fileno())) != found or content != file.content_hash:
            raise Refused("it changed since it was transcribed")
    return found


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _check_place(path: Path, roots: Iterable[Path]) -> None:
    """A root may be a link, for its user chose it; below it, none may lead elsewhere."""
    above = [root for root in roots if path.is_relative_to(root)]
    if not above:
        raise Refused("it is in no watched folder")
    real = path.parent.resolve(strict=True)
    if not any(real == (root.resolve() / path.parent.relative_to(root)) for root in above):
        raise Refused("it is reached through a link")


def _is_protected(path: Path, roots: Iterable[Path], pattern: str) -> bool:
    """By any part of its path below the outermost root: what fits a folder protects all that is in it."""
    above = min((root for root in roots if path.is_relative_to(root)), key=lambda root: len(root.parts), default=None)
    parts = path.relative_to(above).parts if above else path.parts[1:]
    wanted = _as_compared(pattern).strip("/")
    spans = combinations(range(len(parts) + 1), 2)
    return any(fnmatchcase(_as_compared("/".join(parts[start:end])), wanted) for start, end in spans)


def _as_compared(name: str) -> str:
    """Accents are spelled in two ways, by systems and by keyboards."""
    return normalize("NFC", name).casefold()
