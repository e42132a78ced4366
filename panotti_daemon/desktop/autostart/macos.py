"""macOS: a LaunchAgent of the user. The daemon starts the tray icon itself."""

from __future__ import annotations

import os
import plistlib
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from xml.parsers.expat import ExpatError

from panotti_daemon.desktop.autostart.entries import (
    AutostartStatus,
    Entry,
    Launch,
    State,
    remove,
    write_atomically,
)
from panotti_daemon.errors import AutostartFailed

MEANS = "LaunchAgent"
DAEMON = ("run",)
LAUNCHCTL_SECONDS = 30.0


def plist(launch: Launch) -> bytes:
    return plistlib.dumps(
        {
            "Label": label(launch),
            "ProgramArguments": list(launch.command(*DAEMON)),
            "EnvironmentVariables": {"PYTHONFAULTHANDLER": "1"},
            "RunAtLoad": True,
            "KeepAlive": {"Crashed": True},  # not after an exit: it may run already, started by hand
            "LimitLoadToSessionType": "Aqua",  # a tray icon and notifications need the desktop
            "ExitTimeOut": 10,
            "SoftResourceLimits": {"Core": 0},  # a core dump would hold what was said
        }
    )


def label(launch: Launch) -> str:
    return f"io.github.{launch.name}.daemon"


def is_switched_off(print_disabled: str, label: str) -> bool:
    """What `launchctl print-disabled` says: `"label" => disabled`, or `=> true` before macOS 13."""
    return re.search(rf'"{re.escape(label)}" => (disabled|true)\b', print_disabled) is not None


class LaunchAgent:
    def __init__(self, launch: Launch, environment: Mapping[str, str]) -> None:
        self._launch = launch
        home = Path(environment.get("HOME") or Path.home())
        self.path = home / "Library/LaunchAgents" / f"{label(launch)}.plist"

    def status(self) -> AutostartStatus:
        entry = self._entry()
        return AutostartStatus(entry.state, MEANS, (entry,))

    def enable(self) -> None:
        write_atomically(self.path, plist(self._launch))
        self._launchctl("enable", self._service)

    def disable(self) -> None:
        remove(self.path)

    def start(self) -> None:
        self._launchctl("bootout", self._service)  # an older one of the same label, which need not be there
        done = self._launchctl("bootstrap", self._domain, str(self.path))
        if done.returncode:
            raise AutostartFailed(f"`launchctl bootstrap`: {done.stderr.strip() or done.returncode}")

    def _entry(self) -> Entry:
        found = Entry("daemon and tray icon", State.DISABLED, str(self.path))
        try:
            content = plistlib.loads(self.path.read_bytes())
        except OSError:
            return found
        except (plistlib.InvalidFileException, ExpatError, ValueError):
            return replace(found, state=State.STALE, reason="it cannot be read")
        off = is_switched_off(self._launchctl("print-disabled", self._domain).stdout, label(self._launch))
        if off or content.get("Disabled"):
            return replace(found, state=State.DISABLED_BY_USER, reason="turned off with launchctl")
        stale = self._launch.why_stale(content.get("ProgramArguments", []), *DAEMON)
        return replace(found, state=State.STALE if stale else State.ENABLED, reason=stale)

    @property
    def _domain(self) -> str:
        """The graphical login of this user."""
        if sys.platform == "win32":
            raise AssertionError("macOS only")
        return f"gui/{os.getuid()}"

    @property
    def _service(self) -> str:
        return f"{self._domain}/{label(self._launch)}"

    def _launchctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["launchctl", *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=LAUNCHCTL_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return subprocess.CompletedProcess(command, 1, "", str(error))
