"""Shows files and folders in the programs that the desktop has for them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from panotti_daemon.desktop import detached


def open_path(path: str) -> None:
    """Raises OSError."""
    if sys.platform == "win32":
        os.startfile(path)  # noqa: S606
    else:
        detached.start(["open" if sys.platform == "darwin" else "xdg-open", path])


def show_in_folder(path: str) -> None:
    """The file's folder, with the file selected where the desktop can do that. Raises OSError."""
    if sys.platform == "darwin":
        detached.start(["open", "-R", path])
    elif sys.platform == "win32":
        detached.start(["explorer", "/select,", path])
    else:
        detached.start(["xdg-open", str(Path(path).parent)])
