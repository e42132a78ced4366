"""Shows files and folders in the programs that the user has for them."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from panotti_daemon.choices import Format
from panotti_daemon.desktop import detached
from panotti_daemon.desktop.session_bus import session_bus

if TYPE_CHECKING:
    from panotti_daemon.api.schemas import LedgerEntry
    from panotti_daemon.client import Client

FILE_MANAGER = "org.freedesktop.FileManager1"
ANSWER_SECONDS = 5.0
FOR_READERS = (Format.TXT, Format.MD, Format.SRT, Format.VTT, Format.JSON)
"""What is opened of a transcript in several formats, the first that is there."""


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
            detached.start(["explorer", "/select,", str(path)])  # apart, as only the path may be quoted
        elif not await _file_manager_shows(path):
            await asyncio.to_thread(_open, path.parent)


async def transcript_of(daemon: Client, entry: LedgerEntry) -> Path | None:
    """The transcript to open of a recording, as it stands on the disk."""
    if entry.recording_id is None:
        return None
    recording = await daemon.recording(entry.recording_id)
    there = {output.format: output.path for output in recording.outputs if output.present}
    return next((Path(there[format]) for format in FOR_READERS if format in there), None)


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
