"""Linux: a systemd user unit for the daemon, or XDG autostart where there is no user manager, never both; and XDG
autostart for the tray icon, which needs a desktop.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from panotti_daemon.desktop import detached
from panotti_daemon.desktop.autostart.entries import (
    AutostartStatus,
    Entry,
    Launch,
    State,
    remove,
    write_atomically,
)
from panotti_daemon.desktop.autostart.quoting import (
    entry_command,
    entry_string,
    split_entry_command,
    split_unit_command,
    startable,
    started,
    unit_command,
    unit_path,
)
from panotti_daemon.errors import AutostartFailed
from panotti_daemon.paths import bundled

DAEMON = ("run", "--no-tray")
TRAY = ("tray",)

SYSTEMCTL_SECONDS = 120.0
"""Longer than a start may take: `systemctl start` returns when the daemon is ready."""
NO_MANAGER = ("", "offline", "unknown")

UNIT = """\
# Made by `panotti autostart enable`; `systemctl --user edit {name}` keeps changes of your own apart.
[Unit]
Description={title}: transcribes recordings
ConditionFileIsExecutable={program}
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
Environment=PYTHONFAULTHANDLER=1
Restart=on-failure
RestartSec=2
# 3: it runs already, started by hand
RestartPreventExitStatus=3
TimeoutStartSec=300
WatchdogSec=60
KillMode=mixed
TimeoutStopSec=10

# What the user does comes first. Nice counts inside this unit only, the weight against other programs.
Nice=10
CPUWeight=20
IOSchedulingClass=idle
IOWeight=20

# The engine is what grows: it ends one attempt and not the daemon, and neither the desktop.
MemoryMax=75%
OOMPolicy=continue
OOMScoreAdjust=500
TasksMax=1024
# A core dump would hold what was said.
LimitCORE=0

# What needs mount namespaces is left out: many systems do not let users have them, and the unit would not start.
NoNewPrivileges=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
"""

ENTRY = """\
[Desktop Entry]
Type=Application
Version=1.0
Name={name}
Comment={comment}
Icon={icon}
TryExec={program}
Exec={command}
Terminal=false
StartupNotify=false
"""

SWITCHES = ("X-GNOME-Autostart-enabled", "X-MATE-Autostart-enabled")
"""What desktops set to false when the user turns an entry off; others set Hidden to true."""


def unit_text(launch: Launch) -> str:
    return UNIT.format(
        name=launch.name,
        title=unit_path(launch.title),
        program=unit_path(launch.program),
        command=unit_command(startable(launch.command(*DAEMON))),
    )


def entry_text(launch: Launch, name: str, comment: str, *arguments: str) -> str:
    return ENTRY.format(
        name=entry_string(name),
        comment=comment,
        icon=entry_string(str(bundled("resources") / "icons/panotti-128.png")),
        program=entry_string(launch.program),
        command=entry_command(startable(launch.command(*arguments))),
    )


class LinuxAutostart:
    def __init__(self, launch: Launch, environment: Mapping[str, str], *, tray: bool = True) -> None:
        self._launch = launch
        self._tray = tray
        config = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        self.unit = config / "systemd/user" / f"{launch.name}.service"
        self.daemon_entry = config / "autostart" / f"{launch.name}.desktop"
        self.tray_entry = config / "autostart" / f"{launch.name}-tray.desktop"

    def status(self) -> AutostartStatus:
        daemon = list(self._daemon())
        if len(daemon) > 1:
            twice = "it would be started twice; `panotti autostart enable` leaves one"
            daemon = [replace(entry, state=State.STALE, reason=twice) for entry in daemon]
        tray = self._entry("tray icon", self.tray_entry, *TRAY)
        state = State.STALE if tray.state is State.STALE else daemon[0].state
        means = "systemd user unit" if daemon[0].where == str(self.unit) else "XDG autostart"
        return AutostartStatus(state, means, (*daemon, tray))

    def enable(self) -> None:
        if self._has_manager:
            self._enable_unit()
            remove(self.daemon_entry)
        else:
            text = entry_text(self._launch, self._launch.title, "Transcribes recordings in the background", *DAEMON)
            write_atomically(self.daemon_entry, text.encode())
            self._remove_unit()
        if self._tray:
            name = f"{self._launch.title} (tray icon)"
            text = entry_text(self._launch, name, "Shows what Panotti is at", *TRAY)
            write_atomically(self.tray_entry, text.encode())
        else:
            remove(self.tray_entry)

    def disable(self) -> None:
        self._remove_unit()
        remove(self.daemon_entry)
        remove(self.tray_entry)

    def start(self) -> None:
        if self._has_manager:
            self._systemctl("reset-failed", self.unit.name)  # it would refuse after too many starts
            self._demand("start", self.unit.name)
        else:
            detached.start(self._launch.command(*DAEMON))
        if self._tray and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            detached.start(self._launch.command(*TRAY))  # it leaves again if there is one

    def _daemon(self) -> Iterator[Entry]:
        """What starts the daemon: one of two, and both where somebody copied files about."""
        unit, entry = self._unit(), self._entry("daemon", self.daemon_entry, *DAEMON)
        if unit.state is not State.DISABLED or (entry.state is State.DISABLED and self._has_manager):
            yield unit
        if entry.state is not State.DISABLED or (unit.state is State.DISABLED and not self._has_manager):
            yield entry

    def _unit(self) -> Entry:
        found = Entry("daemon", State.DISABLED, str(self.unit))
        if self.unit.is_symlink() and self.unit.resolve() == Path("/dev/null"):
            return replace(found, state=State.DISABLED_BY_USER, reason="masked with systemctl")
        try:
            lines = self.unit.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return found
        if not self._has_manager:
            return replace(found, state=State.STALE, reason="no systemd user manager answers in this session")
        if self._systemctl("is-enabled", self.unit.name).stdout.strip() != "enabled":
            return replace(found, state=State.DISABLED_BY_USER, reason="turned off with systemctl")
        commands = [line.partition("=")[2] for line in lines if line.startswith("ExecStart=")]
        stale = self._launch.why_stale(started(split_unit_command(commands[-1] if commands else "")), *DAEMON)
        return replace(found, state=State.STALE if stale else State.ENABLED, reason=stale)

    def _entry(self, starts: str, path: Path, *arguments: str) -> Entry:
        found = Entry(starts, State.DISABLED, str(path))
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return found
        values = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
        if values.get("Hidden") == "true" or "false" in [values.get(switch) for switch in SWITCHES]:
            return replace(found, state=State.DISABLED_BY_USER, reason="turned off in the desktop's settings")
        stale = self._launch.why_stale(started(split_entry_command(values.get("Exec", ""))), *arguments)
        return replace(found, state=State.STALE if stale else State.ENABLED, reason=stale)

    def _enable_unit(self) -> None:
        write_atomically(self.unit, unit_text(self._launch).encode())
        try:
            self._demand("daemon-reload")
            self._demand("enable", self.unit.name)
        except AutostartFailed:
            self._remove_unit()
            raise

    def _remove_unit(self) -> None:
        if not self.unit.is_symlink() and not self.unit.exists():
            return
        if self._has_manager:
            self._systemctl("disable", self.unit.name)
        remove(self.unit)
        remove(self.unit.parent / "default.target.wants" / self.unit.name)
        if self._has_manager:
            self._demand("daemon-reload")

    @cached_property
    def _has_manager(self) -> bool:
        return self._systemctl("is-system-running").stdout.strip() not in NO_MANAGER

    def _demand(self, *arguments: str) -> None:
        done = self._systemctl(*arguments)
        if done.returncode:
            said = done.stderr.strip() or f"exit status {done.returncode}"
            raise AutostartFailed(f"`systemctl --user {' '.join(arguments)}`: {said}")

    def _systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["systemctl", "--user", *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=SYSTEMCTL_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return subprocess.CompletedProcess(command, 1, "", str(error))
