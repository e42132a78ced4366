"""Where recordings come from and transcripts go: there, and allowed."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

from panotti_daemon.doctor.finding import Finding
from panotti_daemon.paths import Paths
from panotti_daemon.settings import Settings


def examine(settings: Settings, paths: Paths) -> Iterator[Finding]:
    for folder in settings.watch:
        yield _watched(folder.path, made_at_start=folder.path == paths.recordings)
    watched = {folder.path for folder in settings.watch}
    for output in outputs(settings):
        if output not in watched or os.path.exists(output):  # noqa: PTH110 or it is waited for
            yield _writable(output)


def outputs(settings: Settings) -> list[Path]:
    """Where transcripts are written, each once."""
    folders = [folder.path if folder.output == "beside" else folder.output for folder in settings.watch]
    return list(dict.fromkeys(folder for folder in folders if folder))


def existing(folder: Path) -> Path:
    """This folder, or the nearest above it that is there."""
    # pathlib would raise where it may not look
    return next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110


def _watched(folder: Path, *, made_at_start: bool) -> Finding:
    quoted = shlex.quote(str(folder))
    if os.path.isdir(folder):  # noqa: PTH112 pathlib raises where it may not look
        readable = os.access(folder, os.R_OK | os.X_OK)
        return Finding("recordings", readable, f"{folder}", None if readable else f"chmod u+rx {quoted}")
    if os.path.exists(folder):  # noqa: PTH110
        return Finding("recordings", False, f"{folder} is not a folder", f"mv {quoted} {quoted}.old")
    if os.path.islink(folder):  # noqa: PTH114
        gone = os.readlink(folder)  # noqa: PTH115
        return Finding("recordings", False, f"{folder} leads to {gone}, which is not there", "Connect its drive.")
    if made_at_start:
        return Finding("recordings", True, f"{folder} will be made at the first `panotti run`")
    return Finding("recordings", False, f"{folder} is not there", f"mkdir -p {quoted}")


def _writable(folder: Path) -> Finding:
    there = existing(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            later = "" if there == folder else " will be made at the next `panotti run`"
            return Finding("transcripts", True, f"{folder}{later}")
    except NotADirectoryError:
        quoted = shlex.quote(str(there))
        return Finding("transcripts", False, f"{there} is not a folder", f"mv {quoted} {quoted}.old")
    except OSError as error:
        what = f"{there} cannot be written: {error.strerror}"
        return Finding("transcripts", False, what, f"chmod u+rwx {shlex.quote(str(there))}")
