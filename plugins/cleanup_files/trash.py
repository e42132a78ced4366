"""Where files go that can be taken back: the trash of the FreeDesktop specification 1.0 on Linux, and elsewhere, where
the system's own trash gives nothing back to a program, a folder of Panotti's that is emptied by hand."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from panotti_daemon.core.plugins import Unavailable, local

from .moves import NAME_BYTES, disk_of, fitting, free_name, is_taken, mount_point

INFO = ".trashinfo"


@dataclass(frozen=True)
class Spot:
    """A free place in a trash."""

    file: Path
    info: Path | None = None
    """What a file browser reads: where the file stood, and when it was put here."""


def spot_for(path: Path, holding: Path) -> Spot:
    """Raises Unavailable where there is no trash, and none can be made."""
    if sys.platform != "linux":
        holding.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Spot(free_name(holding / path.name))
    is_home = disk_of(_home()) == path.parent.stat().st_dev
    trash = _home() if is_home else _of_volume(mount_point(path.parent))
    try:
        for folder in (trash, trash / "files", trash / "info"):
            folder.mkdir(parents=is_home, exist_ok=True, mode=0o700)
            if folder.is_symlink() and not is_home:
                raise Unavailable(f"there is no trash on its disk ({folder} is a link, and may be anybody's)")
    except OSError as error:
        raise Unavailable(f"there is no trash on its disk ({trash}: {error.strerror})") from error
    wanted = fitting(trash / "files" / path.name, NAME_BYTES - len(INFO))
    file = free_name(wanted, lambda name: is_taken(name) or is_taken(_info_of(name)))
    return Spot(file, _info_of(file))


def write_info(info: Path, original: Path, at: datetime) -> None:
    """Before the file comes, as the specification wants it. FileExistsError if somebody took the name meanwhile."""
    with info.open("x", encoding="utf-8") as file:
        file.write(f"{_whose(info, original)}DeletionDate={local(at):%Y-%m-%dT%H:%M:%S}\n")
        file.flush()
        os.fsync(file.fileno())


def remove_info(info: Path, original: Path) -> None:
    """Unless somebody else wrote it."""
    with suppress(FileNotFoundError):
        text = info.read_text(encoding="utf-8", errors="replace")
        if not text or text.startswith(_whose(info, original)):
            info.unlink()


def _whose(info: Path, original: Path) -> str:
    path = original.parent.resolve() / original.name
    if not info.is_relative_to(_home()):
        path = path.relative_to(mount_point(path.parent))
    return f"[Trash Info]\nPath={quote(str(path))}\n"


def _home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "Trash"


def _info_of(file: Path) -> Path:
    return file.parents[1] / "info" / f"{file.name}{INFO}"


def _of_volume(top: Path) -> Path:
    shared = top / ".Trash"
    try:
        mode = shared.lstat().st_mode
    except OSError:
        mode = 0
    if stat.S_ISDIR(mode) and mode & stat.S_ISVTX:
        return shared / str(os.getuid())
    return top / f".Trash-{os.getuid()}"
