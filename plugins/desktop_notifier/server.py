"""Whoever shows notifications on this desktop, through the backends of desktop-notifier. The class that the library
puts around them neither tells whether a notification was sent nor lets go of its connection."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from desktop_notifier import Button, Capability, Icon, Notification, Urgency
from desktop_notifier.main import get_backend_class

from panotti_daemon.core.plugins import BaseModel, Field

from .errors import NoDesktop, NoServer
from .news import LABELS, Deed, News

if sys.platform == "linux":
    from .dbus import DbusBackend as Backend
else:
    from desktop_notifier.backends.base import DesktopNotifierBackend as Backend

CALL_SECONDS = 5.0

OnClick = Callable[[str, Deed | None], object]
"""Told the subject of the notification and the button that was pressed, or None for a click beside the buttons."""


class Memory(BaseModel):
    """What a later process must know to go on with the notifications of this one. Only D-Bus needs it: elsewhere the
    system itself knows them by their subjects."""

    tenure: str = ""
    numbers: dict[str, int] = Field(default_factory=dict)


class Server:
    """A notification is known by the subject of its news: another one with the same takes its place."""

    def __init__(self, icon: Path, on_click: OnClick, on_dismissed: Callable[[str], object]) -> None:
        self._icon = Icon(path=icon) if icon.is_file() else None
        self._on_click = on_click
        self._on_dismissed = on_dismissed
        self._soon = asyncio.get_running_loop().call_soon_threadsafe
        self._backend: Backend | None = None
        self._one_at_a_time = asyncio.Lock()

    async def show(self, news: News) -> None:
        """Raises NoServer, or what the connection raises."""
        async with self._one_at_a_time:
            is_new = self._backend is None
            try:
                await self._show(news)
            except Exception:
                await self._disconnect()
                if is_new:
                    raise
                # the connection may have been gone for long, and another server be there by now
                try:
                    await self._show(news)
                except Exception:
                    await self._disconnect()
                    raise

    async def clear(self, subject: str) -> None:
        """Takes a notification off the desktop, if it is still there."""
        async with self._one_at_a_time:
            if self._backend is None:
                return
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    await self._backend.clear(subject)
            except Exception:  # whatever D-Bus, Cocoa or WinRT come up with: what was shown has gone with it
                await self._disconnect()

    async def close(self) -> None:
        """What is shown stays."""
        async with self._one_at_a_time:
            await self._disconnect()

    @property
    def memory(self) -> Memory:
        if sys.platform == "linux" and self._backend:
            return Memory(tenure=self._backend.tenure, numbers=self._backend.numbers)
        return Memory()

    async def recall(self, memory: Memory, shown: Iterable[News]) -> bool:
        """Goes on with what an earlier process has shown; False where it was shown by another server. Raises as `show`
        does."""
        async with self._one_at_a_time, asyncio.timeout(CALL_SECONDS):
            backend = self._backend = self._backend or self._new_backend()
            if sys.platform == "linux":
                await backend.connect()
                if backend.tenure != memory.tenure:
                    return False
                buttons = {news.subject: _buttons(news) for news in shown}
                numbers = {subject: number for subject, number in memory.numbers.items() if subject in buttons}
                backend.adopt(numbers, buttons)
            return True

    async def _show(self, news: News) -> None:
        if sys.platform == "linux" and self._backend and self._backend.is_lost:
            await self._disconnect()
        backend = self._backend = self._backend or self._new_backend()
        async with asyncio.timeout(CALL_SECONDS):
            capabilities = await backend.get_capabilities()
            if not capabilities:
                raise NoDesktop("this system shows notifications of installed, signed programs only")
            await backend.request_authorisation()
            sent = asyncio.Event()
            await backend.send(
                Notification(
                    news.title,
                    news.message,
                    urgency=Urgency(news.urgency),
                    buttons=_buttons(news) if Capability.BUTTONS in capabilities else (),
                    on_clicked=partial(self._soon, self._on_click, news.subject, None) if news.click else None,
                    on_dispatched=sent.set,
                    identifier=news.subject,
                )
            )
        if not sent.is_set():
            raise NoServer("no notification server is running")

    def _new_backend(self) -> Backend:
        if sys.platform == "linux":
            if not os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
                # desktop-notifier takes a missing session bus for success
                raise NoDesktop("there is no desktop session to show notifications in")
            backend = Backend("Panotti", self._icon)
        else:
            backend = get_backend_class()("Panotti", self._icon)
        backend.on_clicked = lambda subject: self._soon(self._on_click, subject, None)
        backend.on_button_pressed = lambda subject, button: self._soon(self._on_click, subject, Deed(button))
        backend.on_dismissed = lambda subject: self._soon(self._on_dismissed, subject)
        return backend

    async def _disconnect(self) -> None:
        backend, self._backend = self._backend, None
        if sys.platform == "linux" and backend:
            await backend.close()


def _buttons(news: News) -> tuple[Button, ...]:
    return tuple(Button(LABELS[deed], identifier=deed) for deed in news.buttons)
