"""Launch at login for real: a login of our own with systemd's user manager, and a desktop without one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import site
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.desktop.desktop import Desktop, missing_programs
from tests.login import Login, needs_login
from tests.speech import SAMPLE

if sys.platform == "win32":
    pytest.skip("logins of other systems cannot be had here", allow_module_level=True)

ODD = "Ü %h $HOME 'it' \"q\" b\\n"

BLOCKING_PLUGIN = """\
import time

from panotti_daemon.core.plugins import PluginBase


class Plugin(PluginBase):
    async def handle(self, event):
        time.sleep(3600)
"""
BLOCKING_MANIFEST = """\
name: blocking
version: 1.0.0
api_version: 1
description: Holds up the whole loop.
subscribes: [recording.ready]
"""

SESSION = """\
[Unit]
BindsTo=graphical-session.target
Wants=xdg-desktop-autostart.target
"""
"""A desktop's session as systemd.special(7) has it."""


class User:
    """Somebody who has logged in, and their Panotti."""

    def __init__(self, login: Login, daemon: Panotti, python: Path | str = sys.executable) -> None:
        self.login = login
        self.daemon = daemon
        self._python = python

    def panotti(self, *arguments: str) -> str:
        environment = {"PANOTTI_HOME": str(self.daemon.home)}
        done = self.login.run(str(self._python), "-m", "panotti_daemon", *arguments, environment=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def autostart(self) -> dict[str, str]:
        """State of all and of each, by what it starts."""
        status = json.loads(self.panotti("autostart", "status", "--json"))
        return {"all": status["state"], **{entry["starts"]: entry["state"] for entry in status["entries"]}}

    @property
    def unit(self) -> str:
        (unit,) = self.units.glob("panotti*.service")
        return unit.name

    @property
    def units(self) -> Path:
        return Path(self.login.environment["HOME"], ".config/systemd/user")

    def property(self, name: str) -> str:
        return self.login.property(self.unit, name)

    def override(self, *lines: str) -> None:
        folder = self.units / f"{self.unit}.d"
        folder.mkdir()
        (folder / "test.conf").write_text("\n".join(["[Service]", *lines, ""]))
        self.login.systemctl("daemon-reload")


@pytest.fixture
def daemon(panotti: Callable[..., Panotti]) -> Panotti:
    return panotti({"api": {"port": 0}})


@pytest.fixture
def user(tmp_path: Path, daemon: Panotti) -> Iterator[User]:
    with Login(tmp_path / "user") as login:
        yield User(login, daemon)


@needs_login
def test_the_next_login_starts_it_until_that_is_turned_off(tmp_path: Path, daemon: Panotti) -> None:
    with Login(tmp_path / "user") as login:
        user = User(login, daemon)
        assert user.autostart()["all"] == "disabled"
        assert "not started now" in user.panotti("autostart", "enable")
        assert user.property("ActiveState") == "inactive"
        login.end()

    with Login(tmp_path / "user") as login:
        user = User(login, daemon)
        wait_until(lambda: user.property("ActiveState") == "active", "the login has started it")
        wait_until(lambda: user.property("StatusText").startswith("Idle"), "it says what it is at")
        assert user.autostart() == {"all": "enabled", "daemon": "enabled", "tray icon": "enabled"}
        assert "It is running already" in user.panotti("autostart", "enable", "--now")

        unit = user.unit
        for _ in range(2):
            user.panotti("autostart", "disable")
        assert user.autostart()["all"] == "disabled"
        assert [path for path in (tmp_path / "user/.config").rglob("*") if not path.is_dir()] == []
        assert daemon.status().pid == int(login.property(unit, "MainPID"))
        user.panotti("stop")
        login.end()

    with Login(tmp_path / "user") as login:
        assert login.property(unit, "LoadState") == "not-found"


@needs_login
def test_with_all_its_limits_it_transcribes_and_stops_in_time(user: User, tmp_path: Path) -> None:
    elsewhere, output = tmp_path / "elsewhere", tmp_path / "transcripts"
    elsewhere.mkdir()
    user.daemon.configure({"api": {"port": 0}, "watch": [{"path": str(elsewhere), "output": str(output)}]})
    assert "It was started" in user.panotti("autostart", "enable", "--now")
    process = user.login.run("cat", f"/proc/{user.property('MainPID')}/status").stdout
    assert "NoNewPrivs:\t1" in process
    assert "Seccomp:\t2" in process

    shutil.copy(SAMPLE, elsewhere / "interview.wav")
    user.daemon.wait_for(elsewhere / "interview.wav", FileState.DONE)
    assert (output / "interview.txt").read_text()
    group = user.login.run("cat", f"/sys/fs/cgroup{user.property('ControlGroup')}/cgroup.procs").stdout
    assert len(group.split()) > 1, "the engine is in the service's own group"

    unit = user.unit
    user.login.systemctl("stop", unit)
    assert user.property("Result") == "success"
    assert user.property("ExecMainStatus") == "0"
    assert user.property("ControlGroup") == ""


@needs_login
def test_a_daemon_that_is_killed_is_started_again(user: User) -> None:
    user.panotti("autostart", "enable", "--now")
    first = user.property("MainPID")
    user.login.run("kill", "-KILL", first)
    wait_until(lambda: user.property("NRestarts") == "1" and user.property("ActiveState") == "active", "it is back")
    assert user.property("MainPID") != first


@needs_login
def test_a_loop_that_hangs_is_noticed_and_its_stack_is_told(user: User, tmp_path: Path) -> None:
    plugin = user.daemon.paths.plugins / "blocking"
    plugin.mkdir(parents=True)
    (plugin / "plugin.yaml").write_text(BLOCKING_MANIFEST)
    (plugin / "plugin.py").write_text(BLOCKING_PLUGIN)
    user.panotti("autostart", "enable")
    user.override("WatchdogSec=4", f"StandardError=append:{tmp_path / 'errors'}")
    user.login.systemctl("start", user.unit)
    fed = user.property("WatchdogTimestamp")
    wait_until(lambda: user.property("WatchdogTimestamp") not in (fed, ""), "the watchdog is fed")
    assert user.property("NRestarts") == "0"

    shutil.copy(SAMPLE, user.daemon.recordings / "interview.wav")
    wait_until(lambda: user.property("NRestarts") == "1", "it is started again")
    assert "plugins/blocking/plugin.py" in (tmp_path / "errors").read_text()


@needs_login
def test_one_that_was_started_by_hand_is_left_alone(user: User) -> None:
    user.panotti("autostart", "enable")
    with user.daemon:
        user.login.systemctl("start", user.unit)
        assert user.property("ExecMainStatus") == "3"
        assert user.property("ActiveState") == "failed"
        assert user.property("NRestarts") == "0"


@needs_login
@pytest.mark.parametrize("command", ["disable", "mask"])
def test_what_was_turned_off_with_systemctl_is_off_until_enabled_again(user: User, command: str) -> None:
    user.panotti("autostart", "enable")
    if command == "mask":
        unit = user.units / user.unit
        unit.unlink()
        unit.symlink_to("/dev/null")
        user.login.systemctl("daemon-reload")
    else:
        user.login.systemctl(command, user.unit)
    assert user.autostart()["all"] == "disabled by the user"
    user.panotti("autostart", "enable")
    assert user.autostart()["all"] == "enabled"


@needs_login
def test_an_installation_that_has_moved_is_seen_and_repaired(user: User, tmp_path: Path) -> None:
    old = interpreter(tmp_path / "old")
    User(user.login, user.daemon, old).panotti("autostart", "enable")
    assert user.autostart() == {"all": "stale", "daemon": "stale", "tray icon": "stale"}
    shutil.rmtree(tmp_path / "old")
    assert f"{old}, which is gone" in user.panotti("autostart", "status")
    user.panotti("autostart", "enable", "--now")
    assert user.autostart() == {"all": "enabled", "daemon": "enabled", "tray icon": "enabled"}


@needs_login
def test_an_installation_and_a_home_with_odd_names_are_started(tmp_path: Path, panotti: Callable[..., Panotti]) -> None:
    (tmp_path / ODD).mkdir()
    daemon = panotti()
    daemon.home = tmp_path / ODD / "home"
    with Login(tmp_path / "user") as login:
        user = User(login, daemon, interpreter(tmp_path / ODD / "venv"))
        assert "It was started" in user.panotti("autostart", "enable", "--now")
        assert user.property("ActiveState") == "active"
        assert (daemon.home / "run/daemon.json").exists()


@needs_login
def test_what_the_daemon_opens_for_the_user_is_no_part_of_its_service(user: User, tmp_path: Path) -> None:
    file = tmp_path / "a ${HOME} $$ %h.txt"
    open_it = "import sys; from panotti_daemon.desktop import detached; detached.start(sys.argv[1:])"
    touch = ("sh", "-c", 'cat /proc/self/cgroup > "$0"', str(file))
    done = user.login.run(sys.executable, "-c", open_it, *touch, environment={"NOTIFY_SOCKET": "/run/some/where"})
    assert done.returncode == 0, done.stderr
    wait_until(lambda: file.exists() and file.read_text(), "it was opened")
    assert "/app.slice/run-" in file.read_text()


@needs_login
@pytest.mark.skipif(bool(missing_programs()), reason="needs a desktop")
def test_a_login_to_a_desktop_brings_daemon_and_tray_icon(tmp_path: Path, daemon: Panotti) -> None:
    home = tmp_path / "user"
    with Login(home) as login:
        user = User(login, daemon)
        user.panotti("autostart", "enable")
        (user.units / "desktop.target").write_text(SESSION)
        login.end()

    with Desktop(home) as desktop, Login(home) as login:
        wait_until(lambda: daemon.paths.runtime_file.exists(), "the login has started the daemon")
        desktop_variables = ("DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_CURRENT_DESKTOP")
        login.systemctl("set-environment", *(f"{name}={desktop.environment[name]}" for name in desktop_variables))
        login.systemctl("start", "desktop.target")
        wait_until(lambda: shown(desktop).startswith("Idle"), "the icon is there, and has found it")


@pytest.mark.skipif(bool(missing_programs()) or not shutil.which("dex"), reason="needs a desktop, and dex")
def test_where_there_is_no_user_manager_the_desktop_starts_both(
    tmp_path: Path, panotti: Callable[..., Panotti]
) -> None:
    with Desktop(tmp_path / "Jörg's home") as desktop:
        daemon = panotti({"api": {"port": 0}}, environment=desktop.environment)
        done = daemon.command("autostart", "enable")
        assert "XDG autostart" in done.stdout, done.stderr
        folder = Path(desktop.environment["XDG_CONFIG_HOME"], "autostart")
        started = subprocess.Popen(
            ["dex", "--autostart", "--search-paths", folder], env=daemon.environment, start_new_session=True
        )
        try:
            wait_until(lambda: shown(desktop).startswith("Idle"), "both are there")
            daemon.command("stop")
            wait_until(lambda: "not running" in shown(desktop), "the icon shows that the daemon is gone")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGTERM)
            started.wait()
            wait_until(lambda: not group(started.pid), "all have ended")


def test_it_needs_no_console(daemon: Panotti) -> None:
    closed = 'exec "$0" -m panotti_daemon config check >&- 2>&-'
    done = subprocess.run(["sh", "-c", closed, sys.executable], env=daemon.environment, check=False)
    assert done.returncode == 0


def shown(desktop: Desktop) -> str:
    """What the icon's menu says first; empty while there is no icon."""
    return desktop.tray_items()[0].labels()[0] if desktop.tray_items() else ""


def group(number: int) -> list[psutil.Process]:
    members = []
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if os.getpgid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
    return members


def interpreter(folder: Path) -> Path:
    """Another installation of Panotti: a virtual environment that sees what is installed in this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    here = [path for path in site.getsitepackages() if Path(path).is_dir()]
    (packages / "panotti.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in here))
    return folder / "bin/python"
