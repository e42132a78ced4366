"""Names as file systems compare them: those of macOS and Windows take no notice of capitals, and accents are spelled in
two ways by systems, drives and keyboards."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unicodedata import normalize


def folded(text: str) -> str:
    """Without what some file system or other takes no notice of."""
    return normalize("NFC", text).casefold()


def compared(path: Path) -> str:
    """Equal for two paths that lead to the same place, on the usual file systems of this computer."""
    return folded(str(path)) if sys.platform in ("darwin", "win32") else normalize("NFC", str(path))


def is_within(path: Path, folder: Path) -> bool:
    """Whether it stands in the folder or below, or is the folder itself."""
    return f"{compared(path)}{os.sep}".startswith(f"{compared(folder).rstrip(os.sep)}{os.sep}")


def is_same_entry(one: Path, other: Path) -> bool:
    """Whether two names are one, spelled in two ways. A hard link is another one."""
    if folded(str(one)) != folded(str(other)):
        return False
    try:
        first, second = one.lstat(), other.lstat()
    except OSError:
        return False
    return os.path.samestat(first, second) and first.st_nlink == 1
