"""Puts a plugin's folder in its place whole: a daemon that looks meanwhile sees the old one or the new one, also where
whoever replaces it is killed."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from panotti_daemon.errors import PluginRefused

STAGED = re.compile(r"\.staging-\w+")
REPLACED = ".replaced-"


@contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """A folder on the same drive, with a name in which no plugin is looked for. Raises PluginRefused."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".staging-", dir=parent))
    except OSError as error:
        raise PluginRefused(f"{parent} cannot be written: {error.strerror}") from error
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def place(made: Path, target: Path, *, replace: bool = False) -> Path:
    """Moves a staged folder to its place, and what it replaces into the stage. Raises PluginRefused."""
    recover(target.parent)
    before = target.with_name(f"{REPLACED}{target.name}")
    is_taken = target.is_symlink() or target.exists()
    if is_taken and not replace:
        raise PluginRefused(f"{target} is there already.")
    try:
        try:
            if is_taken:
                target.rename(before)
            made.rename(target)
        except BaseException:  # Ctrl-C, too
            if os.path.lexists(before) and not os.path.lexists(target):
                before.rename(target)
            raise
    except OSError as error:
        raise PluginRefused(f"{target} cannot be written: {error.strerror}") from error
    with suppress(OSError):
        before.rename(made)
    return target


def recover(parent: Path) -> list[str]:
    """Undoes half of an upgrade that was killed between its two steps; what another one that was killed had replaced is
    deleted. Returns the names of what stands in its place again."""
    names = []
    for before in parent.glob(f"{REPLACED}*"):
        target = parent / before.name.removeprefix(REPLACED)
        with suppress(OSError):
            if not os.path.lexists(target):
                before.rename(target)
                names.append(target.name)
            elif before.is_symlink():
                before.unlink()
            else:
                shutil.rmtree(before)
    return names


def remove(target: Path) -> None:
    """Raises PluginRefused."""
    with staging(target.parent) as stage:
        try:
            target.rename(stage / target.name)
        except OSError as error:
            raise PluginRefused(f"{target} cannot be removed: {error.strerror}") from error
