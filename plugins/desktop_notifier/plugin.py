"""Tells the user of transcripts, failures and what needs attention, through the desktop's own notifications.

What comes closely together is told in one, what comes in quiet hours is told in one when they are over, and what is no
longer true is taken off the desktop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator

from panotti_daemon.core.plugins import (
    BaseModel,
    ConfigDict,
    Event,
    Field,
    Health,
    Hours,
    NotificationCompleted,
    PluginBase,
    checked_hours,
)

from .errors import NoDesktop, NoServer
from .news import WELCOME, Deed, Kind, News, folded, news_of, subject_of
from .server import Memory, Server

T = TypeVar("T")

Status = Literal["accepted by the server", "no server"]

RECALL_SECONDS = 1.0
QUIET_CHECK_SECONDS = 60.0
"""The end of the quiet hours is looked for so often: the machine may sleep, or its clock be set."""
MOST_SHOWN = 100
"""So many notifications are remembered; no server tells of each that it has dropped."""

COMPLETED = "desktop_notification.completed"
SHOWN, HELD, WELCOMED = "shown", "held/", "welcomed"
"""The keys of what is kept."""


class Shown(BaseModel):
    """A notification that may still be on the desktop, and those of its subjects of which it is still true."""

    news: News
    subjects: frozenset[str]


class Kept(BaseModel):
    """What outlives the daemon, so that a click still works, and what is no longer true can still be taken away."""

    memory: Memory = Memory()
    shown: list[Shown] = Field(default_factory=list)


class Told(NamedTuple):
    status: Status
    news: News
    """The notification; of several, if they were told together."""


class Plugin(PluginBase):
    class Config(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

        level: Literal["all", "failures", "none"] = "all"
        show_text: bool = True
        """The first words of the transcript; lock screens may show them to others."""
        quiet_hours: Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(checked_hours)] | None = None
        """Local time, as in `22:00-07:00`."""
        together_seconds: float = Field(1.5, ge=0)
        """What comes within this time of the first is told with it."""
        pause_seconds: float = Field(10.0, ge=0)
        """Between two notifications."""

    config: Config

    async def initialize(self) -> None:
        self._server = Server(self.context.resources / "icons" / "panotti.png", self._clicked, self._dismissed)
        self._quiet = Hours.parse(self.config.quiet_hours) if self.config.quiet_hours else None
        self._waiting: list[tuple[News, asyncio.Future[Told]]] = []
        self._last_told = float("-inf")
        self._shown: dict[str, Shown] = {}
        self._health = Health()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._teller: asyncio.Task[None] | None = None
        self._recalled = asyncio.Event()
        self._holding = asyncio.Event()
        self._start(self._begin())
        # a click on what an earlier process has shown should find somebody from the start; a bus that hangs may not
        with suppress(TimeoutError):
            async with asyncio.timeout(RECALL_SECONDS):
                await self._recalled.wait()

    async def handle(self, event: Event) -> list[Event]:
        await self._recalled.wait()
        subject = subject_of(event)
        news = news_of(event, show_text=self.config.show_text)
        if news is None or not self._is_wanted(news):
            await self._withdraw(subject)
            return []
        if self._quiet_until():
            await self._withdraw(subject)
            await self._hold(news)
            return []
        told = await self._tell(news)
        await self._withdraw(subject, but=told.news.subject)
        return [self.create_child_event(event, COMPLETED, _completed(told.status, told.news, news))]

    async def health(self) -> Health:
        return self._health

    async def shutdown(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.close()

    async def _begin(self) -> None:
        try:
            await self._recall()
        finally:
            self._recalled.set()
        if self.config.level == "all":
            await self._welcome()
        await self._tell_held()

    def _is_wanted(self, news: News) -> bool:
        match self.config.level:
            case "all":
                return True
            case "failures":
                return news.kind is not Kind.DONE
            case "none":
                return False

    async def _tell(self, news: News) -> Told:
        """Together with what comes within a moment."""
        told: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.append((news, told))
        if self._teller is None or self._teller.done():
            self._teller = self._start(self._tell_waiting())
        return await told

    async def _tell_waiting(self) -> None:
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
            latest = {news.subject: news for news, _ in waiting}
            showing = self._start(self._show(folded([*latest.values()]), frozenset(latest)))
            await asyncio.wait([showing])
            for _, told in waiting:
                if not told.done():
                    _pass_on(showing, told)

    async def _show(self, news: News, subjects: frozenset[str]) -> Told:
        try:
            await self._server.show(news)
        except NoDesktop as error:  # that is how it is on a server: nothing to be mended
            self._health = Health(message=str(error))
            return Told("no server", news)
        except Exception as error:  # whatever D-Bus, Cocoa or WinRT come up with
            trouble = str(error) if isinstance(error, NoServer) else f"no notification server answers ({error!r})"
            self._health = Health(ok=False, message=trouble)
            return Told("no server", news)
        self._health = Health()
        self._shown.pop(news.subject, None)
        without_text = news.model_copy(update={"message": ""})
        self._shown[news.subject] = Shown(news=without_text, subjects=subjects)
        for oldest in [*self._shown][:-MOST_SHOWN]:
            del self._shown[oldest]
        await self._keep()
        return Told("accepted by the server", news)

    async def _withdraw(self, subject: str, but: str = "") -> None:
        """What was told of a subject is no longer true."""
        if await self.get_state(HELD + subject):
            await self.delete_state(HELD + subject)
        concerned = [s for s in self._shown.values() if subject in s.subjects and s.news.subject != but]
        for shown in concerned:
            subjects = shown.subjects - {subject}
            if subjects:
                self._shown[shown.news.subject] = Shown(news=shown.news, subjects=subjects)
            else:
                del self._shown[shown.news.subject]
                await self._server.clear(shown.news.subject)
        if concerned:
            await self._keep()

    async def _welcome(self) -> None:
        """Once for each home, as soon as there is somebody to show it."""
        if self._quiet_until() or await self.get_state(WELCOMED):
            return
        told = await self._show(WELCOME, frozenset())
        if told.status == "accepted by the server":
            await self.update_state(WELCOMED, True)

    def _quiet_until(self) -> datetime | None:
        return self._quiet.end_of(self.context.clock.now()) if self._quiet else None

    async def _hold(self, news: News) -> None:
        await self.update_state(HELD + news.subject, news.model_dump(mode="json"))
        self._holding.set()

    async def _tell_held(self) -> None:
        """What was not told in quiet hours, once they are over."""
        while True:
            self._holding.clear()
            held = await self.list_state(HELD)
            if not held:
                await self._holding.wait()
            elif end := self._quiet_until():
                left = end - self.context.clock.now()
                await asyncio.sleep(min(left / timedelta(seconds=1), QUIET_CHECK_SECONDS))
            else:
                await asyncio.gather(*(self._tell_late(News.model_validate(news)) for news in held.values()))

    async def _tell_late(self, news: News) -> None:
        if self._is_wanted(news):
            told = await self._tell(news)
            await self._publish(_completed(told.status, told.news, news), news)
        await self.delete_state(HELD + news.subject)

    def _clicked(self, subject: str, deed: Deed | None) -> None:
        if shown := self._shown.pop(subject, None):
            self._start(self._do(deed or shown.news.click, shown.news))

    def _dismissed(self, subject: str) -> None:
        if self._shown.pop(subject, None):
            self._start(self._keep())

    async def _do(self, deed: Deed | None, news: News) -> None:
        try:
            match deed:
                case Deed.OPEN if news.path:
                    await self.context.desktop.open(news.path)
                case Deed.SHOW if news.path:
                    await self.context.desktop.show_in_folder(news.path)
                case Deed.RETRY:
                    for recording in news.recordings:
                        await self.context.requests.retry_recording(recording)
        except Exception as error:  # what a person asked for has nobody else to fail to
            self.context.log.warning("a click came to nothing", deed=deed, reason=str(error))
        await self._keep()
        await self._publish(_completed("clicked", news, news), news)

    async def _publish(self, payload: NotificationCompleted, about: News) -> None:
        await self.publish(
            Event.create(
                COMPLETED,
                payload,
                correlation_id=about.correlation_id,
                cause_id=about.event_id,
                source_plugin=self.manifest.name,
                created_at=self.context.clock.now(),
            )
        )

    async def _recall(self) -> None:
        kept = Kept.model_validate(await self.get_state(SHOWN, {}))
        if not kept.shown:
            return
        try:
            if await self._server.recall(kept.memory, [shown.news for shown in kept.shown]):
                self._shown = {shown.news.subject: shown for shown in kept.shown}
        except Exception as error:  # as in _show: then there is nothing left to be clicked, either
            self.context.log.info("earlier notifications are forgotten", reason=str(error))

    async def _keep(self) -> None:
        kept = Kept(memory=self._server.memory, shown=[*self._shown.values()])
        await self.update_state(SHOWN, kept.model_dump(mode="json"))

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.context.log.error("notifications stumbled", exc_info=error)


def _pass_on(ended: asyncio.Task[T], waiting: asyncio.Future[T]) -> None:
    """What a task came to, to somebody who waits for it."""
    if ended.cancelled():
        waiting.cancel()
    elif error := ended.exception():
        waiting.set_exception(error)
    else:
        waiting.set_result(ended.result())


def _completed(
    status: Literal["accepted by the server", "no server", "clicked"], shown: News, about: News
) -> NotificationCompleted:
    return NotificationCompleted(status=status, title=shown.title, recordings=list(about.recordings))
