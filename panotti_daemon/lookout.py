"""Looks out for what only the user can put right, and tells it once when it begins and once when it is over.

It looks instead of being told, and believes only what it has seen twice in a row: what lasts but a moment, such as a
folder that is replaced or one more attempt at what waits, is neither a problem nor its end.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from panotti_daemon.clock import Clock
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.models import Event
from panotti_daemon.core.events.types import Attention
from panotti_daemon.intake.watcher import FolderState
from panotti_daemon.loops import keep_going
from panotti_daemon.models.database import Database, queries
from panotti_daemon.sizes import shown_size

LOOK_SECONDS = 15.0
NEARLY_FULL = 500 * 2**20
"""Bytes that are free."""
NEARLY_FULL_PART = 20
"""For a small disk, such as a stick: a twentieth of it."""
AMPLE = 2
"""Times as much is room again: well above the beginning, so that the two do not take turns."""
MOST_REASONS = 20
DISK = "disk:"


@dataclass(frozen=True)
class Problem:
    about: str
    title: str
    message: str


@dataclass(frozen=True)
class Told:
    event_id: str
    problem: Problem


_TOLD = TypeAdapter(dict[str, Told])


class Lookout:
    def __init__(
        self,
        database: Database,
        bus: EventBus,
        clock: Clock,
        *,
        folders: Callable[[], Sequence[FolderState]],
        disks: Sequence[Path],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`disks` are folders that are written to."""
        self._database = database
        self._bus = bus
        self._clock = clock
        self._folders = folders
        self._disks = disks
        self._look_seconds = look_seconds
        self._seen: frozenset[str] | None = None
        self._told: dict[str, Told] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def full_disks(self) -> list[str]:
        """Those told of, a sentence each."""
        return [told.problem.message for about, told in (self._told or {}).items() if about.startswith(DISK)]

    def start(self) -> None:
        self._task = asyncio.create_task(keep_going("look out", self._look_for_ever), name="lookout")

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        if self._told is None:
            self._told = await self._load()
        problems = {problem.about: problem for problem in await self._problems()}
        before, self._seen = self._seen, frozenset(problems)
        if before is None:
            return
        begun = [problem for about, problem in problems.items() if about in before and about not in self._told]
        over = [about for about in self._told if about not in problems and about not in before]
        if begun or over:
            self._told = await self._tell(self._told, begun, over)

    async def _look_for_ever(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._look_seconds)

    async def _problems(self) -> list[Problem]:
        folders = list(_folders_gone(self._folders()))
        full = await asyncio.to_thread(lambda: list(_nearly_full(self._disks, self._told or {})))
        async with self._database.reading() as connection:
            reasons = [row["error"] async for row in queries().what_is_missing(connection, limit=MOST_REASONS)]
        return [*folders, *full, *_waiting(reasons, self._folders())]

    async def _tell(self, told: dict[str, Told], begun: Iterable[Problem], over: Iterable[str]) -> dict[str, Told]:
        """What is told by now. It is stored together with the events, so that no restart tells anything again."""
        now = dict(told)
        events = []
        for problem in begun:
            event = self._event(problem)
            now[problem.about] = Told(event.id, problem)
            events.append(event)
        events += [self._event(ended.problem, begun_by=ended.event_id) for ended in map(now.pop, over)]
        async with self._database.transaction() as transaction:
            await self._bus.store(transaction, events)
            await queries().set_plugin_value(
                transaction.connection, plugin="daemon", key="attention", value=_TOLD.dump_json(now).decode()
            )
        return now

    def _event(self, problem: Problem, begun_by: str | None = None) -> Event:
        payload = Attention(
            about=problem.about, title=problem.title, message=problem.message, over=begun_by is not None
        )
        return Event.create(
            "daemon.attention",
            payload,
            correlation_id=begun_by,
            cause_id=begun_by,
            created_at=self._clock.now(),
        )

    async def _load(self) -> dict[str, Told]:
        async with self._database.reading() as connection:
            value = await queries().plugin_value(connection, plugin="daemon", key="attention")
        return _TOLD.validate_json(value) if value else {}


def _folders_gone(folders: Iterable[FolderState]) -> Iterator[Problem]:
    for folder in folders:
        path = folder.settings.path
        if folder.problem:
            title = f"{path.name} is gone" if folder.state == "missing" else f"{path.name} cannot be read"
            yield Problem(f"folder:{path}", title, f"{folder.problem}.")


def _nearly_full(folders: Iterable[Path], told: Container[str]) -> Iterator[Problem]:
    """One for each disk."""
    devices = set()
    for folder in folders:
        try:
            device, room = folder.stat().st_dev, shutil.disk_usage(folder)
        except OSError:
            continue
        about = f"{DISK}{folder}"
        least = min(NEARLY_FULL, room.total // NEARLY_FULL_PART) * (AMPLE if about in told else 1)
        if device not in devices and room.free < least:
            message = f"{shown_size(room.free)} are left for {folder}. Without room, recordings have to wait."
            yield Problem(about, "The disk is nearly full", message)
        devices.add(device)


def _waiting(reasons: Iterable[str], folders: Iterable[FolderState]) -> Iterator[Problem]:
    """Why recordings wait for something outside, but for what is told of a folder already."""
    gone = [str(folder.settings.path) for folder in folders if folder.problem]
    for reason in reasons:
        if not any(path in reason for path in gone):
            yield Problem(f"waiting:{reason}", "Recordings have to wait", reason)
