"""Shows files and folders in the programs that the user has for them."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from pathlib import Path

from panotti_daemon.desktop import detached
from panotti_daemon.desktop.session_bus import session_bus

FILE_MANAGER = "org.freedesktop.FileManager1"
ANSWER_SECONDS = 5.0


class Opener:
    """Its methods raise OSError, also for what is gone: the programs would say nothing, or make it anew."""

    async def open(self, path: Path) -> None:
        await asyncio.to_thread(_open, path)

    async def show_in_folder(self, path: Path) -> None:
        """With the file selected where the file manager can do that."""
        await asyncio.to_thread(_must_exist, path)
        if sys.platform == "darwin":
            detached.start(["open", "-R", str(path)])
        elif sys.platform == "win32":
            detached.start(["explorer", f"/select,{path}"])
        elif not await _file_manager_shows(path):
            await asyncio.to_thread(_open, path.parent)


def _open(path: Path) -> None:
    _must_exist(path)
    if sys.platform == "win32":
        os.startfile(path)  # noqa: S606
    else:
        detached.start(["open" if sys.platform == "darwin" else "xdg-open", str(path)])


def _must_exist(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


async def _file_manager_shows(path: Path) -> bool:
    """Asks the desktop's file manager, which the session bus starts where it does not run."""
    from dbus_fast import Message, MessageType
    from dbus_fast.aio import MessageBus
    from dbus_fast.errors import AuthError

    address = session_bus(os.environ)
    if address is None:
        return False
    show = Message(
        destination=FILE_MANAGER,
        path="/org/freedesktop/FileManager1",
        interface=FILE_MANAGER,
        member="ShowItems",
        signature="ass",
        body=[[path.as_uri()], ""],
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            bus = await MessageBus(address).connect()
            try:
                reply = await bus.call(show)
            finally:
                bus.disconnect()
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
    except (OSError, EOFError, AuthError):  # TimeoutError is an OSError
        return False
    return reply is not None and reply.message_type is MessageType.METHOD_RETURN
