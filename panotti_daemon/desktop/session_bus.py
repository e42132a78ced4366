"""Where the desktop's D-Bus session bus is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def session_bus(environment: Mapping[str, str]) -> str | None:
    """The address of the session bus; systemd's socket stands even where nobody set the variable."""
    address = environment.get("DBUS_SESSION_BUS_ADDRESS")
    if address:
        return address
    socket = Path(environment.get("XDG_RUNTIME_DIR") or "/nonexistent", "bus")
    return f"unix:path={socket}" if socket.is_socket() else None
