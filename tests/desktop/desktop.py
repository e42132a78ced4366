"""A real Linux desktop without a screen, private to a test run: an X server, a session bus, a window manager, a panel
that hosts tray icons and a notification server. HOME is a throw-away folder.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dbus_fast import Message, MessageType, Variant, unpack_variants
from dbus_fast.aio import MessageBus
from PIL import Image, ImageChops

from tests.daemon import PATIENCE

PROGRAMS = ("Xvfb", "dbus-daemon", "openbox", "xfce4-panel", "dunst", "xdotool", "import")
INSTALL = "apt-get install xvfb dbus openbox xfce4-panel xfconf dunst xdotool x11-utils imagemagick"

PROPERTIES = "org.freedesktop.DBus.Properties"
WATCHER = "org.kde.StatusNotifierWatcher"
ITEM = "org.kde.StatusNotifierItem"
MENU = "com.canonical.dbusmenu"


def missing_programs() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """The first true answer of `condition`."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)
    return answer


class NoAnswer(Exception):
    """An error came back over D-Bus."""


@dataclass(frozen=True)
class MenuRow:
    id: int
    label: str
    enabled: bool
    visible: bool
    separator: bool
    checked: bool
    children: list[MenuRow]


@dataclass(frozen=True)
class TrayItem:
    """An icon that registered with the panel, used as the panel uses it."""

    desktop: Desktop
    owner: str
    path: str

    def property(self, name: str) -> Any:
        return self.desktop.call(self.owner, self.path, PROPERTIES, "Get", "ss", ITEM, name)[0]

    def all_properties(self, times: int) -> list[dict[str, Any]]:
        """All of them so many times at once."""
        return [
            answer for (answer,) in self.desktop.calls(times, self.owner, self.path, PROPERTIES, "GetAll", "s", ITEM)
        ]

    def activate(self) -> None:
        self.desktop.call(self.owner, self.path, ITEM, "Activate", "ii", 0, 0)

    def menu_revision(self) -> int:
        return int(self._layout()[0])

    def menu(self) -> list[MenuRow]:
        return _row(self._layout()[1]).children

    def labels(self) -> list[str]:
        return [row.label for row in self.menu() if row.visible and not row.separator]

    def row(self, *labels: str) -> MenuRow:
        """The row with the last of these labels, in the submenus with the others."""
        rows = self.menu()
        for label in labels:
            found = [row for row in rows if row.label == label and row.visible]
            assert found, f"no {label!r} among {[row.label for row in rows]}"
            rows = found[0].children
        return found[0]

    def open(self) -> None:
        """As a panel tells it before the menu is seen."""
        self.desktop.call(self.owner, self.property("Menu"), MENU, "AboutToShow", "i", 0)

    def click(self, *labels: str) -> None:
        self.press(self.row(*labels))

    def press(self, row: MenuRow) -> None:
        arguments = (row.id, "clicked", Variant("s", ""), 0)
        self.desktop.call(self.owner, self.property("Menu"), MENU, "Event", "isvu", *arguments)

    def _layout(self) -> list[Any]:
        return self.desktop.call(self.owner, self.property("Menu"), MENU, "GetLayout", "iias", 0, -1, [])


class Desktop:
    """Use as a context manager; ends everything that it started."""

    def __init__(self, home: Path, **more: str) -> None:
        """`more` stands in the environment of the session, such as GTK_THEME."""
        self._home = home
        self._more = more
        self._panel: subprocess.Popen[bytes] | None = None
        self._bus: subprocess.Popen[bytes] | None = None
        self._started = ExitStack()
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Desktop:
        runtime = self._home / "run"
        runtime.mkdir(parents=True, mode=0o700)
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self._home),
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_CONFIG_HOME": str(self._home / ".config"),
            "XDG_DATA_HOME": str(self._home / ".local/share"),
            "XDG_STATE_HOME": str(self._home / ".local/state"),
            "XDG_CACHE_HOME": str(self._home / ".cache"),
            "XDG_CURRENT_DESKTOP": "XFCE",
            "NO_AT_BRIDGE": "1",
            **self._more,
        }
        try:
            screen = ("-screen", "0", "1000x700x24", "-nolisten", "tcp")
            number, _ = self._start_and_read("Xvfb", *screen, "-displayfd", "{fd}")
            self.environment["DISPLAY"] = f":{number}"
            bus = ("--session", "--nofork", "--nopidfile", "--print-address={fd}")
            self.environment["DBUS_SESSION_BUS_ADDRESS"], self._bus = self._start_and_read("dbus-daemon", *bus)
            self._start("openbox")
            self._start("dunst")
            self.start_panel()
        except BaseException:
            self._started.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_panel()
        self._started.close()

    def start_panel(self) -> None:
        """Returns when it hosts tray icons."""
        self._panel = self._popen("xfce4-panel", "--disable-wm-check")
        wait_for(self._has_host, "the panel hosts tray icons")

    def stop_panel(self) -> None:
        if self._panel is not None:
            end(self._panel)
            self._panel = None
            wait_for(lambda: not self._has_host(), "the panel is gone")

    def screenshot(self, path: Path) -> None:
        self.run("import", "-window", "root", str(path))

    def find_colour(self, colour: tuple[int, int, int]) -> tuple[int, int] | None:
        """The middle of all that has this colour on the screen, in pixels."""
        with TemporaryDirectory() as folder:
            self.screenshot(Path(folder, "screen.png"))
            with Image.open(Path(folder, "screen.png")) as picture:
                screen = picture.convert("RGB")
        flat = Image.new("RGB", screen.size, colour)
        box = ImageChops.difference(screen, flat).convert("L").point(lambda value: 255 * (value == 0)).getbbox()
        return None if box is None else ((box[0] + box[2]) // 2, (box[1] + box[3]) // 2)

    def windows(self) -> set[str]:
        """The ids of all windows that can be seen, menus among them."""
        return set(self.run("xdotool", "search", "--onlyvisible", "--name", ".*").split())

    def stop_bus(self) -> None:
        assert self._bus is not None
        end(self._bus)

    def clipboard(self) -> str:
        """Empty where nobody has put anything there."""
        command = ("xclip", "-out", "-selection", "clipboard")
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False).stdout

    def run(self, *command: str) -> str:
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout

    def tray_items(self) -> list[TrayItem]:
        try:
            names = self._watcher("RegisteredStatusNotifierItems")
        except NoAnswer:
            return []
        return [TrayItem(self, owner, f"/{path}") for owner, _, path in (name.partition("/") for name in names)]

    def tray_item(self) -> TrayItem:
        """The only icon, once it is there."""
        items: list[TrayItem] = wait_for(self.tray_items, "an icon is registered")
        assert len(items) == 1
        return items[0]

    def call(self, owner: str, path: str, interface: str, member: str, signature: str = "", *body: Any) -> list[Any]:
        """Calls a method on the session bus. Raises NoAnswer."""
        return self.calls(1, owner, path, interface, member, signature, *body)[0]

    def calls(
        self, times: int, owner: str, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> list[list[Any]]:
        """Calls a method so many times at once, without waiting for one answer before the next call."""
        messages = [
            Message(
                destination=owner, path=path, interface=interface, member=member, signature=signature, body=list(body)
            )
            for _ in range(times)
        ]
        return asyncio.run(_call(self.environment["DBUS_SESSION_BUS_ADDRESS"], messages))

    def _has_host(self) -> bool:
        try:
            return bool(self._watcher("IsStatusNotifierHostRegistered"))
        except (NoAnswer, OSError):
            return False

    def _watcher(self, name: str) -> Any:
        return self.call(WATCHER, "/StatusNotifierWatcher", PROPERTIES, "Get", "ss", WATCHER, name)[0]

    def _start(self, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        process = self._popen(*command, **options)
        self._started.callback(end, process)
        return process

    def _start_and_read(self, *command: str) -> tuple[str, subprocess.Popen[bytes]]:
        """Starts a program that writes one line to the file descriptor `{fd}` of its arguments."""
        read_end, write_end = os.pipe()
        with os.fdopen(read_end) as answer:
            process = self._start(*(part.format(fd=write_end) for part in command), pass_fds=(write_end,))
            os.close(write_end)
            return answer.readline().strip(), process

    def _popen(self, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        log = (self._home / f"{Path(command[0]).name}.log").open("ab")
        with log:
            return subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True, **options
            )


def end(process: subprocess.Popen[Any], number: signal.Signals = signal.SIGTERM) -> None:
    """Ends a process that was started as the leader of a session of its own, with all that it started."""
    try:
        os.killpg(process.pid, number)
        process.wait(5)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        process.kill()
    finally:
        process.wait()


async def _call(address: str, messages: list[Message]) -> list[list[Any]]:
    bus = await MessageBus(address).connect()
    try:
        replies = await asyncio.gather(*map(bus.call, messages))
        for reply in replies:
            if reply is None or reply.message_type is MessageType.ERROR:
                raise NoAnswer(reply and reply.body)
        return [list(unpack_variants(reply.body)) for reply in replies]
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


def _row(layout: Any) -> MenuRow:
    id_, properties, children = layout
    return MenuRow(
        id=id_,
        label=properties.get("label", ""),
        enabled=properties.get("enabled", True),
        visible=properties.get("visible", True),
        separator=properties.get("type") == "separator",
        checked=properties.get("toggle-state") == 1,
        children=[_row(child) for child in children],
    )
