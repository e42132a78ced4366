"""Copies what a stranger gives into a folder, and nothing but plain files, all of them below that folder."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from panotti_daemon.core.events.handlers import describe
from panotti_daemon.errors import PluginRefused

MOST_BYTES = 50 * 2**20
MOST_FILES = 2000
LEFT_OUT = {"__pycache__", "__MACOSX"}
"""And whatever begins with a dot."""


def copy(source: Path, held: Path) -> None:
    """A folder's own files. Raises PluginRefused."""
    try:
        _copy(source, held)
    except OSError as error:
        raise PluginRefused(f"{source} cannot be read: {error.strerror or error}") from error


def _copy(source: Path, held: Path) -> None:
    room = _Room(str(source))
    for parent, folders, files in os.walk(source):
        folders[:] = [name for name in folders if not _is_left_out(name)]
        for name in sorted([*folders, *files]):
            path = Path(parent, name)
            if path.is_symlink():
                raise PluginRefused(f"{path} is a link; a plugin holds its files itself.")
            if name in files and not _is_left_out(name):
                if not path.is_file():
                    raise PluginRefused(f"{path} is no file.")
                room.take(path.stat().st_size)
                target = held / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)


def unpack(archive: Path, held: Path) -> None:
    """A zip's own files. Names are a stranger's, and so are the sizes that it declares. Raises PluginRefused."""
    room = _Room(str(archive))
    try:
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                parts = _safe_parts(info, archive)
                if info.is_dir() or any(_is_left_out(part) for part in parts):
                    continue
                target = held.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                room.take(0)
                with packed.open(info) as unpacking, target.open("wb") as written:
                    while chunk := unpacking.read(2**16):
                        room.take(len(chunk), files=0)
                        written.write(chunk)
    except PluginRefused:
        raise
    except Exception as error:  # whatever zipfile and its decompressors come up with for what is damaged
        raise PluginRefused(f"{archive} cannot be unpacked: {describe(error)}") from error


def _safe_parts(info: zipfile.ZipInfo, archive: Path) -> tuple[str, ...]:
    path = PurePosixPath(info.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in info.orig_filename or ":" in info.filename:
        raise PluginRefused(f"{archive} is refused: {info.filename!r} would be written outside its own folder.")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise PluginRefused(f"{archive} is refused: {info.filename!r} is a link; a plugin holds its files itself.")
    return path.parts


class _Room:
    """How much a plugin may hold: whoever unpacks a bomb finds out in time."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._bytes, self._files = MOST_BYTES, MOST_FILES

    def take(self, size: int, files: int = 1) -> None:
        self._bytes -= size
        self._files -= files
        if self._bytes < 0 or self._files < 0:
            raise PluginRefused(
                f"{self._source} is refused: a plugin may hold {MOST_FILES} files and {MOST_BYTES >> 20} MB."
            )


def _is_left_out(name: str) -> bool:
    return name in LEFT_OUT or name.startswith(".")
