"""Starts programs that have nothing to do with this process any more: what opens a file, or the tray icon."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence


def start(command: Sequence[str]) -> None:
    """Raises OSError."""
    if sys.platform == "win32":
        flags, session = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP, False
    else:
        flags, session = 0, True
    process = subprocess.Popen(
        _as_unit(command) if "NOTIFY_SOCKET" in os.environ else command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        creationflags=flags,
        start_new_session=session,
    )
    # Somebody has to wait for it, or it stays a zombie for as long as this process lives.
    threading.Thread(target=process.wait, name=f"wait for {command[0]}", daemon=True).start()


def _as_unit(command: Sequence[str]) -> list[str]:
    """A child of a systemd service has its limits and its low priority, no display, and dies with it."""
    return ["systemd-run", "--user", "--quiet", "--collect", "--", *(word.replace("$", "$$") for word in command)]
