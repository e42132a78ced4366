"""The tray icon: a process of its own that follows the daemon and lets the user steer it.

It is a client of the API like any other. Closing it, or a crash in a desktop's library, cannot touch the daemon; the
daemon may come and go, and the icon tells. Nothing of a GUI is imported before the icon is shown, so that others can
ask `tray_possible` for free.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from panotti_daemon.api.model_schemas import ModelInventory
from panotti_daemon.api.schemas import Status
from panotti_daemon.client import Client
from panotti_daemon.desktop import detached
from panotti_daemon.desktop.actions import Actions, starts_at_login
from panotti_daemon.desktop.icons import IconState
from panotti_daemon.desktop.menu import SEPARATOR, MenuEntry, View, view_of
from panotti_daemon.desktop.session_bus import session_bus
from panotti_daemon.errors import PanottiError, Unavailable
from panotti_daemon.paths import Paths

if TYPE_CHECKING:
    import pystray

FIRST_DELAY, LONGEST_DELAY = 0.5, 5.0
"""Seconds between two looks for a daemon that is away."""

EXIT_UNAVAILABLE = 1
EXIT_ALREADY_RUNNING = 3

NATIVE_SIZE = 64


def main(paths: Paths) -> int:
    """Shows the icon until it is closed; returns the process's exit status."""
    reason = tray_possible(os.environ)
    if reason is not None:
        print(f"No tray icon: {reason}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    paths.create()
    try:
        with FileLock(paths.tray_lock_file, timeout=0):
            if _speaks_dbus(os.environ):
                asyncio.run(DbusTray(paths).serve())
            else:
                NativeTray(paths).serve()
    except Timeout:
        print("The tray icon is already there.", file=sys.stderr)
        return EXIT_ALREADY_RUNNING
    except Unavailable as error:
        print(f"No tray icon: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    return 0


def tray_possible(environment: Mapping[str, str]) -> str | None:
    """Why there can be no tray icon here, or None where there can be one, as far as can be told without trying."""
    if sys.platform in ("darwin", "win32"):
        return None
    if not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        return "there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)."
    if _speaks_dbus(environment) and session_bus(environment) is None:
        return "there is no D-Bus session bus (DBUS_SESSION_BUS_ADDRESS is not set)."
    return None


def start_detached(paths: Paths) -> None:
    """Starts the tray icon as a process that outlives this one, unless it is there already."""
    paths.create()
    try:
        with FileLock(paths.tray_lock_file, timeout=0):
            pass
    except Timeout:
        return
    detached.start([sys.executable, "-P", "-m", "panotti_daemon", "tray"])


class Tray(ABC):
    """Follows the daemon, and does what the menu's entries say, on one asyncio loop."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._view: View | None = None
        self._status: Status | None = None
        self._starts_at_login: bool | None = None
        self._models: ModelInventory | None = None
        self._looking: set[asyncio.Future[None]] = set()
        self._actions = Actions(
            paths,
            tell=self._notify,
            close=self.close,
            login_changed=self._look_at_login,
            models_changed=self._look_at_models,
        )
        self._closed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @abstractmethod
    def _show(self, view: View, shown: View | None) -> None:
        """Makes the icon look like `view`; it looks like `shown` now."""

    @abstractmethod
    def _notify(self, message: str) -> None: ...

    async def run(self) -> None:
        """Until it is closed."""
        self._loop = asyncio.get_running_loop()
        self._look_at_login()
        following = asyncio.create_task(self._follow())
        following.add_done_callback(lambda _: self._closed.set())
        await self._closed.wait()
        tasks = [following, *self._looking]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if not following.cancelled():
            following.result()

    def close(self) -> None:
        """From any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._closed.set)

    def choose(self, entry: MenuEntry) -> None:
        """From any thread: does what an entry of the menu says."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._actions.perform(entry), self._loop)

    async def _follow(self) -> None:
        delay = FIRST_DELAY
        while True:
            with contextlib.suppress(PanottiError):
                async for status in Client.from_paths(self._paths).statuses():
                    delay = FIRST_DELAY
                    self._see(status)
            self._see(None)
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    def _see(self, status: Status | None) -> None:
        before, self._status = self._status, status
        if status and _of_models(status) != (before and _of_models(before)):
            self._look_at_models()
        view = view_of(status, starts_at_login=self._starts_at_login, models=self._models)
        if view != self._view:
            self._show(view, self._view)
            self._view = view

    def _look_anew(self) -> None:
        """At what no status tells, and others may have changed meanwhile."""
        self._look_at_login()
        self._look_at_models()

    def _look_at_login(self) -> None:
        """The system is asked in a thread: it may take its time."""

        async def look() -> None:
            self._starts_at_login = await asyncio.to_thread(starts_at_login)

        self._look(look())

    def _look_at_models(self) -> None:
        """They stand on a disk, and so not in the status."""

        async def look() -> None:
            with contextlib.suppress(PanottiError):
                self._models = await Client.from_paths(self._paths).models()

        self._look(look())

    def _look(self, look: Coroutine[Any, Any, None]) -> None:
        async def shown() -> None:
            await look
            self._see(self._status)

        looking = asyncio.ensure_future(shown())
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)


def _of_models(status: Status) -> object:
    """What changes when other models are here, or another one is used."""
    return status.pid, status.engine.model, [(download.model, download.problem) for download in status.downloads]


class DbusTray(Tray):
    """On Linux: the icon and the client share a loop."""

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        from panotti_daemon.desktop.dbus_icon import DbusIcon

        self._icon = DbusIcon("panotti", bus_address=session_bus(os.environ), on_open=self._look_anew)

    async def serve(self) -> None:
        """Raises Unavailable when the session bus is not there, or goes away."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.close)
        self._see(None)
        self._icon.visible = True
        serving = asyncio.create_task(self._icon.serve())
        serving.add_done_callback(lambda _: self._closed.set())
        await self.run()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    def _show(self, view: View, shown: View | None) -> None:
        from panotti_daemon.desktop.pixmaps import pixmaps

        if shown is None or (view.state, view.fraction) != (shown.state, shown.fraction):
            self._icon.icon = pixmaps(view.state, view.fraction)
        self._icon.attention = view.state is IconState.TROUBLE
        self._icon.title = view.title
        if shown is None or view.menu != shown.menu:
            self._icon.menu = pystray_menu(view.menu, self.choose)

    def _notify(self, message: str) -> None:
        self._icon.notify(message, "Panotti")


class NativeTray(Tray):
    """On macOS and Windows: pystray's own backend has the main thread, and the client's loop another.

    Setting a native menu closes it where it is open, so that happens only when something in it changed.
    """

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        import pystray

        from panotti_daemon.desktop.icons import draw

        self._icon = pystray.Icon("panotti", draw(IconState.OFFLINE, 0, NATIVE_SIZE), "Panotti")
        self._on_main_thread = main_thread_of(self._icon)

    def serve(self) -> None:
        self._icon.run(setup=lambda _: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        try:
            self._see(None)
            self._on_main_thread(lambda: setattr(self._icon, "visible", True))
            await self.run()
        finally:
            self._on_main_thread(self._icon.stop)

    def _show(self, view: View, shown: View | None) -> None:
        self._on_main_thread(lambda: self._change(view, shown))

    def _change(self, view: View, shown: View | None) -> None:
        from panotti_daemon.desktop.icons import draw

        if shown is None or (view.state, view.fraction) != (shown.state, shown.fraction):
            self._icon.icon = draw(view.state, view.fraction, NATIVE_SIZE)
        self._icon.title = view.title
        if shown is None or view.menu != shown.menu:
            self._icon.menu = pystray_menu(view.menu, self.choose)

    def _notify(self, message: str) -> None:
        if self._icon.HAS_NOTIFICATION:
            self._on_main_thread(lambda: self._icon.notify(message, "Panotti"))


def pystray_menu(entries: Sequence[MenuEntry], choose: Callable[[MenuEntry], object]) -> pystray.Menu:
    import pystray

    def item(entry: MenuEntry) -> pystray.MenuItem:
        if entry is SEPARATOR:
            return pystray.Menu.SEPARATOR
        return pystray.MenuItem(
            entry.label.replace("&", "&&") if sys.platform == "win32" else entry.label,
            pystray_menu(entry.children, choose) if entry.children else lambda: choose(entry),
            default=entry.default,
            checked=None if entry.checked is None else lambda _: bool(entry.checked),
            radio=entry.radio,
            visible=entry.visible,
            enabled=entry.enabled,
        )

    return pystray.Menu(*map(item, entries))


def main_thread_of(icon: pystray.Icon) -> Callable[[Callable[[], object]], object]:
    """How to have something done on the thread that pystray's loop runs on: elsewhere AppKit and Win32 crash."""
    if sys.platform == "darwin":
        from PyObjCTools import AppHelper  # type: ignore[import-not-found]

        return partial(AppHelper.callAfter)
    if sys.platform == "win32":
        return _WindowMessages(icon)
    return lambda function: function()


if sys.platform == "win32":

    class _WindowMessages:
        """Posts a message of our own to pystray's hidden window, whose procedure runs on its thread."""

        WM_APP = 0x8000

        def __init__(self, icon: pystray.Icon) -> None:
            from pystray._util import win32

            self._waiting: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
            self._post: Callable[[], object] = lambda: win32.PostMessage(icon._hwnd, self.WM_APP, 0, 0)
            icon._message_handlers[self.WM_APP] = self._take

        def __call__(self, function: Callable[[], object]) -> None:
            self._waiting.put(function)
            self._post()

        def _take(self, *_: object) -> None:
            self._waiting.get_nowait()()


def _speaks_dbus(environment: Mapping[str, str]) -> bool:
    """Not on macOS and Windows, nor for who asks for one of pystray's own backends."""
    return sys.platform not in ("darwin", "win32") and "PYSTRAY_BACKEND" not in environment
