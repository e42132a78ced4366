"""Launch at login: `autostart_here()` is how this system does it.

    linux.py     a systemd user unit for the daemon (XDG autostart where there is no user manager) and XDG autostart
                 for the tray icon
    macos.py     a LaunchAgent; the daemon starts the tray icon itself
    windows.py   a value of the registry's Run key; the same

Nothing is remembered: what `status` says is read from where the system itself looks at login.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from panotti_daemon.desktop.autostart.entries import Autostart, AutostartStatus, Entry, Launch, State

__all__ = ["Autostart", "AutostartStatus", "Entry", "Launch", "State", "autostart_here"]


def autostart_here(environment: Mapping[str, str] = os.environ, *, tray: bool = True) -> Autostart:
    """For this installation and this PANOTTI_HOME. Without `tray`, the login starts no tray icon."""
    launch = Launch.of_this_installation(environment)
    if sys.platform == "darwin":
        from panotti_daemon.desktop.autostart.macos import LaunchAgent

        return LaunchAgent(launch, environment)
    if sys.platform == "win32":
        import winreg

        from panotti_daemon.desktop.autostart.windows import RunKey

        return RunKey(launch, winreg)
    from panotti_daemon.desktop.autostart.linux import LinuxAutostart

    return LinuxAutostart(launch, environment, tray=tray)
