"""Windows: a value of the user's Run key. The daemon starts the tray icon itself.

What the Task Manager and the Settings switch off stays in the Run key; they note it under StartupApproved.
"""

from __future__ import annotations

import re
import subprocess
from contextlib import AbstractContextManager
from typing import Any, Protocol

from panotti_daemon.desktop import detached
from panotti_daemon.desktop.autostart.entries import AutostartStatus, Entry, Launch, State
from panotti_daemon.errors import AutostartFailed

RUN = r"Software\Microsoft\Windows\CurrentVersion\Run"
APPROVED = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run"
LONGEST_COMMAND = 260
"""https://learn.microsoft.com/windows/win32/setupapi/run-and-runonce-registry-keys"""

MEANS = "Run key of the registry"
DAEMON = ("run",)


class Registry(Protocol):
    """What is used of the module winreg, by its own names."""

    @property
    def HKEY_CURRENT_USER(self) -> int: ...  # noqa: N802
    @property
    def KEY_SET_VALUE(self) -> int: ...  # noqa: N802
    @property
    def REG_SZ(self) -> int: ...  # noqa: N802

    def OpenKey(  # noqa: N802
        self, key: int, sub_key: str, reserved: int = 0, access: int = ...
    ) -> AbstractContextManager[Any]: ...
    def CreateKey(self, key: int, sub_key: str, /) -> AbstractContextManager[Any]: ...  # noqa: N802
    def QueryValueEx(self, key: Any, name: str, /) -> tuple[Any, int]: ...  # noqa: N802
    def SetValueEx(self, key: Any, value_name: str, reserved: Any, type: int, value: str, /) -> None: ...  # noqa: N802
    def DeleteValue(self, key: Any, value: str, /) -> None: ...  # noqa: N802


class RunKey:
    def __init__(self, launch: Launch, registry: Registry) -> None:
        self._launch = launch
        self._registry = registry

    def status(self) -> AutostartStatus:
        where = rf"HKEY_CURRENT_USER\{RUN}\{self._launch.name}"
        state, reason = self._state()
        entry = Entry("daemon and tray icon", state, where, reason)
        return AutostartStatus(state, MEANS, (entry,))

    def enable(self) -> None:
        command = subprocess.list2cmdline(self._launch.command(*DAEMON))
        if len(command) > LONGEST_COMMAND:
            raise AutostartFailed(
                f"Windows takes at most {LONGEST_COMMAND} letters at login, and this has {len(command)}: {command}"
            )
        registry = self._registry
        try:
            with registry.CreateKey(registry.HKEY_CURRENT_USER, RUN) as key:
                registry.SetValueEx(key, self._launch.name, 0, registry.REG_SZ, command)
        except OSError as error:
            raise AutostartFailed(f"The registry cannot be written: {error}") from None
        self._delete(APPROVED)

    def disable(self) -> None:
        self._delete(RUN)
        self._delete(APPROVED)

    def start(self) -> None:
        detached.start(self._launch.command(*DAEMON))

    def _state(self) -> tuple[State, str]:
        command = self._value(RUN)
        if command is None:
            return State.DISABLED, ""
        approved = self._value(APPROVED)
        if approved and approved[0] % 2:
            return State.DISABLED_BY_USER, "turned off in the Task Manager or the Settings"
        stale = self._launch.why_stale(self._words(str(command)), *DAEMON)
        return (State.STALE, stale) if stale else (State.ENABLED, "")

    def _words(self, command: str) -> list[str]:
        """Of a command that is not ours, the program and the rest."""
        wanted = self._launch.command(*DAEMON)
        if f"{command} ".startswith(f"{subprocess.list2cmdline(wanted)} "):
            return list(wanted)
        program = re.match(r'"([^"]*)"|\S+', command)
        return [program[1] or program[0], command[program.end() :].strip()] if program else []

    def _value(self, sub_key: str) -> Any:
        """None if it is not there."""
        registry = self._registry
        try:
            with registry.OpenKey(registry.HKEY_CURRENT_USER, sub_key) as key:
                return registry.QueryValueEx(key, self._launch.name)[0]
        except FileNotFoundError:
            return None

    def _delete(self, sub_key: str) -> None:
        registry = self._registry
        try:
            with registry.OpenKey(registry.HKEY_CURRENT_USER, sub_key, 0, registry.KEY_SET_VALUE) as key:
                registry.DeleteValue(key, self._launch.name)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise AutostartFailed(f"The registry cannot be written: {error}") from None
