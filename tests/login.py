"""A login of one's own: systemd's user manager in namespaces where it can touch nothing of the machine's.

It moves processes between cgroups and believes in `/run/systemd/system`; so it gets a cgroup, a process namespace and a
`/run` for itself. Making these is root's.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.daemon import wait_until

SYSTEMD = Path("/usr/lib/systemd/systemd")
RUNTIME = Path("/run/user/0")

NAMESPACES = ("--fork", "--kill-child", "--pid", "--mount", "--mount-proc", "--cgroup", "--ipc")
INSIDE = f"""\
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system {RUNTIME}
chmod 700 {RUNTIME}
{SYSTEMD} --user &  # as process 1 it would take itself for the system's manager
wait
"""
OUTSIDE = """\
echo $$ > "$1/cgroup.procs"
shift
exec unshare "$@"
"""


def why_not() -> str:
    """Why there can be no such login here; empty where there can be one."""
    if sys.platform != "linux":
        return "systemd is for Linux"
    missing = [name for name in ("systemctl", "dbus-daemon", "unshare", "nsenter") if not shutil.which(name)]
    if missing or not SYSTEMD.exists():
        return "needs systemd, dbus-user-session and util-linux"
    if os.geteuid() != 0 or not os.access(_cgroup(), os.W_OK):
        return "needs root, and cgroups that it may write"
    made = subprocess.run(["unshare", *NAMESPACES, "true"], capture_output=True, check=False)
    return f"needs namespaces: {made.stderr.decode().strip()}" if made.returncode else ""


class Login:
    """Use as a context manager: logged in for as long as the block lasts."""

    def __init__(self, home: Path) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(RUNTIME),
            "HF_HUB_OFFLINE": "1",
        }
        self._home = home
        self._cgroup = _cgroup() / f"panotti-login-{os.getpid()}-{time.monotonic_ns()}"
        self._namespaces: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Login:
        self._home.mkdir(exist_ok=True)
        self._cgroup.mkdir()
        with (self._home / "systemd.log").open("ab") as log:
            self._namespaces = subprocess.Popen(
                ["sh", "-ec", OUTSIDE, "sh", self._cgroup, *NAMESPACES, "sh", "-ec", INSIDE],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(lambda: self.state() in ("running", "degraded"), "the user manager runs")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """As a power cut would: everything in it is gone."""
        assert self._namespaces
        self._namespaces.kill()
        self._namespaces.wait()
        wait_until(self._cgroup_is_gone, "its cgroup is empty")

    def end(self) -> None:
        """As a log out does: all units are stopped in order."""
        self._manager().send_signal(signal.SIGTERM)
        assert self._namespaces
        self._namespaces.wait(30)

    def run(self, *command: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """As in a terminal of this login."""
        inside = ["nsenter", "--target", str(self._manager().pid), "--mount", "--pid", "--cgroup", "--ipc", *command]
        return subprocess.run(
            inside,
            env={**self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def systemctl(self, *arguments: str) -> str:
        return self.run("systemctl", "--user", *arguments).stdout.strip()

    def property(self, unit: str, name: str) -> str:
        return self.systemctl("show", "--property", name, "--value", unit)

    def state(self) -> str:
        with suppress(psutil.Error, ValueError, StopIteration):
            return self.systemctl("is-system-running")
        return ""

    def _manager(self) -> psutil.Process:
        assert self._namespaces
        (init,) = psutil.Process(self._namespaces.pid).children()
        return next(process for process in init.children() if process.name() == "systemd")

    def _cgroup_is_gone(self) -> bool:
        folders = sorted(self._cgroup.rglob("*/"), reverse=True)
        with suppress(OSError):
            for folder in (*folders, self._cgroup):
                folder.rmdir()
        return not self._cgroup.exists()


def _cgroup() -> Path:
    """Of this process, in the unified hierarchy."""
    root = next((path for path in map(Path, ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")) if path.is_dir()), None)
    mine = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    return Path(f"{root}{mine.removeprefix('0::')}")


needs_login = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")
