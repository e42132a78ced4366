"""What Panotti needs of the machine: room on its disks, its port, a clock that goes forward."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from panotti_daemon import __version__
from panotti_daemon.api.app import bind
from panotti_daemon.doctor.finding import Finding
from panotti_daemon.doctor.folders import existing, outputs
from panotti_daemon.errors import PanottiError
from panotti_daemon.paths import Paths
from panotti_daemon.settings import ApiSettings, Settings
from panotti_daemon.sizes import shown_size

LEAST_FREE = 1_000_000_000
"""Bytes: enough for many transcripts and a small model."""
CLOCK_TOLERANCE = timedelta(minutes=1)


def versions() -> Finding:
    parts = [f"{name} {version(name)}" for name in ("faster-whisper", "ctranslate2")]
    system = f"Python {platform.python_version()} on {platform.platform(terse=True)}"
    return Finding("version", True, ", ".join([f"Panotti {__version__}", *parts, system]))


def clock(paths: Paths, now: datetime) -> Finding:
    """The log was written before now, unless the clock has been set back since."""
    try:
        written = datetime.fromtimestamp(paths.log_file.stat().st_mtime, UTC)
    except OSError:
        return Finding("clock", True, f"it is {now.astimezone():%Y-%m-%d %H:%M}")
    if written - now > CLOCK_TOLERANCE:
        what = f"it says {now.astimezone():%Y-%m-%d %H:%M}, and the log was last written on {written.astimezone():%c}"
        return Finding("clock", False, what, "Set this machine's clock.")
    return Finding("clock", True, f"it is {now.astimezone():%Y-%m-%d %H:%M}")


def disks(settings: Settings, paths: Paths) -> Iterator[Finding]:
    """Each that Panotti writes to, once."""
    seen = set[int]()
    for folder in (paths.data, *outputs(settings)):
        there = existing(folder)
        device = there.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(there).free
        enough = free >= LEAST_FREE
        what = f"{shown_size(free)} free where {there} is"
        yield Finding("disk", enough, what, None if enough else "Make room, or set `output` to another disk.")


def port(settings: ApiSettings) -> Finding:
    """While no daemon of this home runs."""
    try:
        listener, is_wished = bind(settings)
    except PanottiError as error:
        return Finding("port", False, error.message, "Edit `api.host` in the settings.")
    listener.close()
    if is_wished:
        return Finding("port", True, f"{settings.port} is free" if settings.port else "any free one, as set")
    what = f"{settings.port} is taken by another program; the daemon will use any free one"
    return Finding("port", True, what, "To have one of your own, set `api.port` to a free number.")
