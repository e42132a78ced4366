"""Tells the user of transcripts and failures through the desktop's own notifications.

What comes closely together is gathered and told in one, so that a hundred files dropped together make a handful of
notifications and not a hundred.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from desktop_notifier import Icon, Notification
from desktop_notifier.main import get_backend_class

from panotti_daemon.core.plugins import (
    BaseModel,
    ConfigDict,
    Event,
    Field,
    Health,
    NotificationCompleted,
    PluginBase,
    PluginError,
    TranscriptionCompleted,
)

Status = Literal["accepted by the server", "no server"]

SEND_SECONDS = 5.0
CLOSE_SECONDS = 0.5
EXCERPT_LETTERS = 160
NAMES_SHOWN = 3


@dataclass(frozen=True)
class News:
    """What there is to tell of one recording."""

    recording_id: str
    name: str
    title: str
    message: str
    failed: bool = False


class NoServer(Exception):
    """Nobody shows notifications; the message says why"""


class Server:
    """The desktop's notification server, through the backend of desktop-notifier. The class that the library puts
    around it neither tells whether a notification was sent nor lets go of its connection."""

    def __init__(self, icon: Path) -> None:
        self._backend = get_backend_class()("Panotti", Icon(path=icon) if icon.is_file() else None)

    async def show(self, title: str, message: str) -> None:
        """Raises NoServer, or what the connection raises."""
        if not await self._backend.get_capabilities():
            raise NoServer("this system shows notifications of installed, signed programs only")
        await self._backend.request_authorisation()
        sent = asyncio.Event()
        await self._backend.send(Notification(title, message, on_dispatched=sent.set))
        if not sent.is_set():
            raise NoServer("no notification server is running")

    async def close(self) -> None:
        bus: Any = getattr(self._backend, "bus", None)  # of D-Bus alone, and only once it is connected
        if bus is None:
            return
        bus.disconnect()
        with suppress(Exception):  # it may have gone in its own way
            async with asyncio.timeout(CLOSE_SECONDS):
                await bus.wait_for_disconnect()


class Plugin(PluginBase):
    class Config(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)

        enabled: bool = True
        show_text: bool = True
        """The first words of the transcript; lock screens may show them to others."""
        together_seconds: float = Field(1.5, ge=0)
        """What comes within this time of the first is told with it."""
        pause_seconds: float = Field(10.0, ge=0)
        """Between two notifications."""

    config: Config

    async def initialize(self) -> None:
        self._server: Server | None = None
        self._waiting: list[tuple[News, asyncio.Future[Status]]] = []
        self._teller: asyncio.Task[None] | None = None
        self._last_told = float("-inf")
        self._trouble = ""

    async def handle(self, event: Event) -> list[Event]:
        news = self._news(event)
        if news is None or not self.config.enabled:
            return []
        told: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self._waiting.append((news, told))
        if self._teller is None or self._teller.done():
            self._teller = asyncio.create_task(self._tell())
        payload = NotificationCompleted(status=await told, title=news.title, recordings=[news.recording_id])
        return [self.create_child_event(event, "desktop_notification.completed", payload)]

    async def health(self) -> Health:
        return Health(ok=not self._trouble, message=self._trouble)

    async def shutdown(self) -> None:
        if self._teller:
            self._teller.cancel()
            await asyncio.gather(self._teller, return_exceptions=True)
        await self._disconnect()

    def _news(self, event: Event) -> News | None:
        if event.name.endswith(".error"):
            error = event.read(PluginError)
            name = Path(error.path).name if error.path else error.plugin
            return News(error.recording_id or error.event_id, name, f"{name} failed", error.message, failed=True)
        done = event.read(TranscriptionCompleted)
        name = done.recording.title
        if done.transcription.status == "no_speech":
            return News(done.recording.id, name, f"No speech in {name}", "There was nothing to transcribe.")
        length = _length(done.metadata.duration)
        if done.transcription.status == "restored":
            return News(done.recording.id, name, f"The transcript of {name} is back", length)
        excerpt = done.metadata.excerpt if self.config.show_text else ""
        if len(excerpt) > EXCERPT_LETTERS:
            excerpt = excerpt[:EXCERPT_LETTERS].rsplit(" ", 1)[0] + " …"
        message = f"{length}, {done.metadata.words} words" + (f"\n“{excerpt}”" if excerpt else "")
        return News(done.recording.id, name, f"{name} is transcribed", message)

    async def _tell(self) -> None:
        """Waits for what belongs together, then sends one notification for all of it."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            pause = self._last_told + self.config.pause_seconds - loop.time()
            await asyncio.sleep(max(self.config.together_seconds, pause))
            # a handler that was stopped meanwhile comes again, or was not to be told
            waiting = [(news, told) for news, told in self._waiting if not told.done()]
            self._waiting = []
            if not waiting:
                continue
            self._last_told = loop.time()
            status = await self._send(_folded([news for news, _ in waiting]))
            for _, told in waiting:
                if not told.done():
                    told.set_result(status)

    async def _send(self, news: News) -> Status:
        self._trouble = _why_no_server()
        if self._trouble:
            return "no server"
        self._server = self._server or Server(self.context.resources / "icons" / "panotti.png")
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._server.show(news.title, news.message)
        except Exception as error:  # whatever D-Bus, Cocoa or WinRT come up with
            self._trouble = str(error) if isinstance(error, NoServer) else f"no notification server answers ({error!r})"
            # an interface that went away would otherwise be talked to for ever
            await self._disconnect()
            return "no server"
        return "accepted by the server"

    async def _disconnect(self) -> None:
        server, self._server = self._server, None
        if server:
            await server.close()


def _folded(news: list[News]) -> News:
    if len(news) == 1:
        return news[0]
    failed = [n for n in news if n.failed]
    done = [n for n in news if not n.failed]
    titles = []
    if done:
        titles.append(f"{len(done)} transcript{'s' * (len(done) > 1)} ready")
    if failed:
        titles.append(f"{len(failed)} recording{'s' * (len(failed) > 1)} failed")
    lines = [f"{n.name}: {n.message}" if n.failed else n.name for n in (*failed, *done)][:NAMES_SHOWN]
    if len(news) > NAMES_SHOWN:
        lines.append(f"and {len(news) - NAMES_SHOWN} more")
    return News("", "", ", ".join(titles), "\n".join(lines), failed=bool(failed))


def _length(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _why_no_server() -> str:
    """desktop-notifier takes a missing session bus for success, so look before."""
    if sys.platform != "linux" or os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return ""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime, "bus").exists():
        return ""
    return "there is no desktop session to show notifications in"
