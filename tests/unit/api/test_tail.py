from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from panotti_daemon.api.schemas import MissedMessages
from panotti_daemon.api.tail import ROOM, Tail
from panotti_daemon.core.events.models import Announcement, Event
from tests.unit.core.events.scene import Scene, holds, play


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "panotti.db"


Messages = AsyncIterator[Event | Announcement | MissedMessages | None]


async def follow(tail: Tail, keep_alive_seconds: float = 20.0) -> tuple[Messages, asyncio.Task[object]]:
    """A stream that listens already, and its first message to come."""
    messages = tail.messages(keep_alive_seconds)
    first = asyncio.ensure_future(anext(messages))
    await asyncio.sleep(0)
    return messages, first


def test_stored_events_and_announcements_are_told_to_everybody_who_watches(path: Path) -> None:
    async def act(s: Scene) -> None:
        tail = Tail(s.bus)
        streams = [await follow(tail) for _ in range(2)]
        (event,) = await s.publish("a.stored")
        announcement = Announcement.create("a.passing", {})
        await s.bus.announce(announcement)
        for messages, first in streams:
            assert [await first, await anext(messages)] == [event, announcement]
        tail.close()
        for messages, _ in streams:
            assert [message async for message in messages] == []

    play(path, act)


def test_who_reads_too_slowly_is_told_how_much_passed(path: Path) -> None:
    async def act(s: Scene) -> None:
        tail = Tail(s.bus)
        messages, first = await follow(tail)
        await s.bus.announce(Announcement.create("a.first", {}))
        await first
        passed: list[Event | Announcement] = []

        async def hear(message: Event | Announcement) -> None:
            passed.append(message)

        s.bus.listen(hear)
        for _ in range(ROOM + 4):
            await s.bus.announce(Announcement.create("a.flood", {}))
        await holds(lambda: len(passed) == ROOM + 4)
        heard: list[object] = []
        while not isinstance(message := await anext(messages), MissedMessages):
            heard.append(message)
        assert (len(heard), message.count) == (ROOM, 4)
        tail.close()
        assert [message async for message in messages] == []

    play(path, act)


def test_a_stream_gives_a_sign_of_life_where_nothing_happens(path: Path) -> None:
    async def act(s: Scene) -> None:
        tail = Tail(s.bus)
        messages, first = await follow(tail, keep_alive_seconds=0.01)
        assert await first is None
        assert await anext(messages) is None
        tail.close()
        assert [message async for message in messages] == []

    play(path, act)


def test_a_stream_that_is_left_listens_no_longer(path: Path) -> None:
    async def act(s: Scene) -> None:
        tail = Tail(s.bus)
        _, first = await follow(tail)
        first.cancel()
        await asyncio.wait([first])
        later, told = await follow(tail)
        await s.publish("a.later")
        assert isinstance(await told, Event)
        tail.close()
        assert [message async for message in later] == []

    play(path, act)
