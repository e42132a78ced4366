"""Puts text on the desktop's clipboard, by the program that the desktop has for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping

from panotti_daemon.errors import Unavailable

WAYLAND, X11 = ("wl-copy",), (("xclip", "-selection", "clipboard"), ("xsel", "--clipboard", "--input"))
SECONDS = 5.0


def copy(text: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raises Unavailable where there is no such program, or it fails."""
    command = _command(environment)
    encoding = "utf-16-le" if sys.platform == "win32" else "utf-8"  # clip.exe takes bytes for the console's code page
    try:
        # the output of one that stays behind to serve the selection must not be waited for
        subprocess.run(
            command,
            input=text.encode(encoding),
            env=dict(environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"The text cannot be copied: {command[0]} failed.") from error


def _command(environment: Mapping[str, str]) -> tuple[str, ...]:
    if sys.platform == "darwin":
        return ("pbcopy",)
    if sys.platform == "win32":
        return ("clip",)
    candidates = (WAYLAND, *X11) if environment.get("WAYLAND_DISPLAY") else X11
    for command in candidates:
        if shutil.which(command[0], path=environment.get("PATH")):
            return command
    raise Unavailable(f"To copy text, install {'wl-clipboard' if environment.get('WAYLAND_DISPLAY') else 'xclip'}.")
