"""Entries for the login, against the rules of each system: what we write, and what we make of what we find."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panotti_daemon.desktop.autostart.entries import Launch, State
from panotti_daemon.desktop.autostart.linux import LinuxAutostart, entry_text, unit_text
from panotti_daemon.desktop.autostart.quoting import (
    entry_command,
    entry_string,
    split_entry_command,
    split_entry_string,
    split_unit_command,
    unit_command,
)
from panotti_daemon.desktop.autostart.windows import APPROVED, RUN, RunKey
from panotti_daemon.errors import AutostartFailed
from tests.daemon import wait_until

ODD = "Ü %h $HOME ${X} 'it' \"q\" `x` b\\n =;"
"""What a folder's name may hold, and each format reads in a way of its own."""

words = st.lists(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1), min_size=1)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Stands where the interpreter would, and notes what it was started with."""
    return echoing(tmp_path / ODD / "bin" / "python", tmp_path / "arguments")


def echoing(path: Path, notes: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$0" "$@" > {notes}.part && mv {notes}.part {notes}\n')
    path.chmod(0o755)
    return path


@given(words)
def test_what_a_unit_holds_is_read_back_word_by_word(command: list[str]) -> None:
    command[0] = f"/{command[0]}"
    assert split_unit_command(unit_command(command)) == command


@given(words)
def test_what_a_desktop_entry_holds_is_read_back_word_by_word(command: list[str]) -> None:
    assert split_entry_command(entry_command(command)) == command


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\t")))
def test_a_string_of_a_desktop_entry_is_one_line_and_is_read_back(value: str) -> None:
    assert "\n" not in entry_string(value)
    assert split_entry_string(entry_string(value)) == value


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [name for name in programs if not shutil.which(name)]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


@needs("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit(program: Path, tmp_path: Path) -> None:
    unit = tmp_path / "panotti.service"
    unit.write_text(unit_text(Launch(str(program), f"/home/{ODD}")))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", unit],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs("desktop-file-validate")
def test_the_desktop_entry_is_valid(program: Path, tmp_path: Path) -> None:
    entry = tmp_path / "panotti.desktop"
    entry.write_text(entry_text(Launch(str(program), f"/home/{ODD}"), "Panotti", "Transcribes", "run"))
    done = subprocess.run(["desktop-file-validate", entry], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@needs("gio")
@pytest.mark.parametrize("folder", ["plain", "with spaces", ODD])
def test_glib_starts_what_the_desktop_entry_says(folder: str, tmp_path: Path) -> None:
    notes = tmp_path / "arguments"
    launch = Launch(str(echoing(tmp_path / folder / "python", notes)), f"/home/{ODD}")
    entry = tmp_path / "panotti.desktop"
    entry.write_text(entry_text(launch, "Panotti", "Transcribes", "run", "--no-tray"))
    subprocess.run(["gio", "launch", entry], check=True)
    wait_until(notes.exists, "it was started")
    assert tuple(notes.read_text().splitlines()) == launch.command("run", "--no-tray")


@pytest.mark.parametrize("home", ["/a\nb", "/a\x00b", "/a\udcffb"])
def test_a_home_that_no_entry_can_name_is_refused(home: str) -> None:
    with pytest.raises(AutostartFailed, match="rename"):
        Launch("/usr/bin/python3", home).command("run")


def test_homes_do_not_take_each_others_place() -> None:
    names = {Launch("/usr/bin/python3", home).name for home in (None, "/a", "/b")}
    assert len(names) == 3


def test_another_name_of_the_same_interpreter_is_this_one(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        for name in ("python", "python3"):
            (tmp_path / folder / name).symlink_to(sys.executable)
    launch = Launch(str(tmp_path / "one/python3"))
    assert launch.why_stale(Launch(str(tmp_path / "one/python")).command("run"), "run") == ""
    assert "another Panotti" in launch.why_stale(Launch(str(tmp_path / "other/python3")).command("run"), "run")
    assert "gone" in launch.why_stale(Launch(str(tmp_path / "nowhere/python3")).command("run"), "run")


class TestWithoutAUserManager:
    @pytest.fixture
    def autostart(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LinuxAutostart]:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)

        def make(program: str = sys.executable, **options: Any) -> LinuxAutostart:
            return LinuxAutostart(Launch(program), {"XDG_CONFIG_HOME": str(tmp_path / "config")}, **options)

        return make

    def test_two_desktop_entries_are_made_and_removed(
        self, autostart: Callable[..., LinuxAutostart], tmp_path: Path
    ) -> None:
        here = autostart()
        assert here.status().state is State.DISABLED
        for _ in range(2):
            here.enable()
        assert here.status().state is State.ENABLED
        assert here.status().means == "XDG autostart"
        assert sorted(files(tmp_path)) == ["panotti-tray.desktop", "panotti.desktop"]
        for _ in range(2):
            here.disable()
        assert here.status().state is State.DISABLED
        assert files(tmp_path) == []

    def test_no_tray_icon_where_none_is_wanted(self, autostart: Callable[..., LinuxAutostart], tmp_path: Path) -> None:
        autostart().enable()
        autostart(tray=False).enable()
        assert files(tmp_path) == ["panotti.desktop"]

    @pytest.mark.parametrize("line", ["Hidden=true", "X-GNOME-Autostart-enabled=false"])
    def test_what_the_user_turned_off_in_the_desktops_settings_is_off_until_enabled_again(
        self, autostart: Callable[..., LinuxAutostart], line: str
    ) -> None:
        here = autostart()
        here.enable()
        with here.daemon_entry.open("a") as entry:
            entry.write(f"{line}\n")
        assert here.status().state is State.DISABLED_BY_USER
        here.enable()
        assert here.status().state is State.ENABLED

    def test_an_entry_of_an_installation_that_is_gone_is_stale_until_enabled_again(
        self, autostart: Callable[..., LinuxAutostart]
    ) -> None:
        autostart("/opt/old/bin/python3").enable()
        here = autostart()
        assert here.status().state is State.STALE
        assert "/opt/old/bin/python3, which is gone" in here.status().reasons[0]
        here.enable()
        assert here.status().state is State.ENABLED

    def test_arguments_that_the_user_added_are_no_fault(self, autostart: Callable[..., LinuxAutostart]) -> None:
        here = autostart()
        here.enable()
        here.daemon_entry.write_text(here.daemon_entry.read_text().replace("--no-tray", "--no-tray --verbose"))
        assert here.status().state is State.ENABLED

    def test_a_unit_that_nothing_would_start_is_stale_and_gives_way(
        self, autostart: Callable[..., LinuxAutostart]
    ) -> None:
        here = autostart()
        here.unit.parent.mkdir(parents=True)
        here.unit.write_text(unit_text(Launch(sys.executable)))
        assert here.status().state is State.STALE
        here.enable()
        assert not here.unit.exists()
        assert here.status().state is State.ENABLED

    def test_a_daemon_that_would_be_started_twice_is_stale_until_enabled_again(
        self, autostart: Callable[..., LinuxAutostart]
    ) -> None:
        here = autostart()
        here.enable()
        here.unit.parent.mkdir(parents=True)
        here.unit.write_text(unit_text(Launch(sys.executable)))
        assert here.status().state is State.STALE
        assert "started twice" in here.status().reasons[0]
        here.enable()
        assert here.status().state is State.ENABLED

    def test_a_folder_that_cannot_be_written_is_said_in_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "config").write_text("a file")
        here = LinuxAutostart(Launch(sys.executable), {"XDG_CONFIG_HOME": str(tmp_path / "config")})
        with pytest.raises(AutostartFailed, match="cannot be written"):
            here.enable()


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.skipif(sys.platform == "win32", reason="macOS is a Unix")
class TestLaunchAgent:
    def test_the_plist_says_what_to_start(self) -> None:
        from panotti_daemon.desktop.autostart.macos import plist

        launch = Launch(f"/Users/{ODD}/python3", f"/Users/{ODD}")
        content = plistlib.loads(plist(launch))
        assert tuple(content["ProgramArguments"]) == launch.command("run")
        assert content["RunAtLoad"] is True
        assert content["KeepAlive"] == {"Crashed": True}

    def test_it_is_made_repaired_and_removed(self, tmp_path: Path) -> None:
        from panotti_daemon.desktop.autostart.macos import LaunchAgent

        def agent(program: str = sys.executable) -> LaunchAgent:
            return LaunchAgent(Launch(program, "/Users/me"), {"HOME": str(tmp_path)})

        assert agent().status().state is State.DISABLED
        agent("/opt/old/python3").enable()
        assert agent().status().state is State.STALE
        agent().enable()
        assert agent().status().state is State.ENABLED
        agent().path.write_bytes(b"no plist")
        assert agent().status().state is State.STALE
        agent().disable()
        agent().disable()
        assert files(tmp_path) == []

    @pytest.mark.parametrize(
        ("line", "off"),
        [
            ('"io.github.panotti.daemon" => disabled', True),
            ('"io.github.panotti.daemon" => true', True),
            ('"io.github.panotti.daemon" => enabled', False),
            ('"io.github.panotti.daemon" => false', False),
            ('"io.github.panotti.daemon.other" => disabled', False),
            ('"ioXgithub.panotti.daemon" => disabled', False),
        ],
    )
    def test_launchctl_is_understood_before_and_after_macos_13(self, line: str, off: bool) -> None:
        from panotti_daemon.desktop.autostart.macos import is_switched_off

        printed = f'disabled services = {{\n\t\t"com.apple.ftpd" => disabled\n\t\t{line}\n\t}}'
        assert is_switched_off(printed, "io.github.panotti.daemon") is off


class RegistryDouble:
    """The user's part of a registry, by winreg's names."""

    HKEY_CURRENT_USER = 1
    KEY_SET_VALUE = 2
    REG_SZ = 1

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, Any]] = {}

    def OpenKey(  # noqa: N802
        self, key: int, sub_key: str, reserved: int = 0, access: int = 0
    ) -> AbstractContextManager[dict[str, Any]]:
        if sub_key not in self.keys:
            raise FileNotFoundError(2, "The system cannot find the file specified")
        return nullcontext(self.keys[sub_key])

    def CreateKey(self, key: int, sub_key: str, /) -> AbstractContextManager[dict[str, Any]]:  # noqa: N802
        return nullcontext(self.keys.setdefault(sub_key, {}))

    def QueryValueEx(self, key: dict[str, Any], name: str, /) -> tuple[Any, int]:  # noqa: N802
        if name not in key:
            raise FileNotFoundError(2, "The system cannot find the file specified")
        return key[name], self.REG_SZ

    def SetValueEx(  # noqa: N802
        self, key: dict[str, Any], value_name: str, reserved: Any, type: int, value: str, /
    ) -> None:
        key[value_name] = value

    def DeleteValue(self, key: dict[str, Any], value: str, /) -> None:  # noqa: N802
        if value not in key:
            raise FileNotFoundError(2, "The system cannot find the file specified")
        del key[value]


class TestRunKey:
    @pytest.fixture
    def registry(self) -> RegistryDouble:
        return RegistryDouble()

    def test_a_value_is_made_and_removed(self, registry: RegistryDouble) -> None:
        here = RunKey(Launch(sys.executable), registry)
        assert here.status().state is State.DISABLED
        for _ in range(2):
            here.enable()
        assert here.status().state is State.ENABLED
        for _ in range(2):
            here.disable()
        assert here.status().state is State.DISABLED
        assert registry.keys == {RUN: {}}

    def test_the_command_is_quoted_as_windows_reads_it(self, registry: RegistryDouble) -> None:
        RunKey(Launch(r"C:\Program Files\Größe\pythonw.exe", "D:\\My %TEMP%\\"), registry).enable()
        assert registry.keys[RUN].popitem()[1] == (
            r'"C:\Program Files\Größe\pythonw.exe" -P -m panotti_daemon --home "D:\My %TEMP%\\" run'
        )

    @pytest.mark.parametrize(("first", "state"), [(2, State.ENABLED), (3, State.DISABLED_BY_USER), (6, State.ENABLED)])
    def test_the_task_managers_word_counts_until_enabled_again(
        self, registry: RegistryDouble, first: int, state: State
    ) -> None:
        here = RunKey(Launch(sys.executable), registry)
        here.enable()
        registry.keys[APPROVED] = {"panotti": bytes([first, *bytes(11)]), "another": bytes([3, *bytes(11)])}
        assert here.status().state is state
        here.enable()
        assert here.status().state is State.ENABLED
        assert list(registry.keys[APPROVED]) == ["another"]

    def test_a_program_that_is_gone_or_another_is_stale_until_enabled_again(self, registry: RegistryDouble) -> None:
        here = RunKey(Launch(sys.executable), registry)
        for command, reason in (
            ('"/opt/my old/pythonw.exe" -m panotti_daemon run', "/opt/my old/pythonw.exe, which is gone"),
            (f"{sys.executable} -m something_else", "another Panotti"),
            ("", "starts nothing"),
        ):
            registry.keys[RUN] = {"panotti": command}
            assert here.status().state is State.STALE
            assert reason in here.status().reasons[0]
        here.enable()
        assert here.status().state is State.ENABLED

    def test_a_command_longer_than_windows_takes_is_refused(self, registry: RegistryDouble) -> None:
        with pytest.raises(AutostartFailed, match="at most 260 letters"):
            RunKey(Launch(sys.executable, "D:\\" + "deep\\" * 60), registry).enable()
        assert registry.keys == {}
