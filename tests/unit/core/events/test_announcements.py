from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from panotti_daemon.core.events.announcements import Announcements
from panotti_daemon.core.events.models import Announcement, Event
from tests.unit.core.events.scene import holds

Message = Event | Announcement


class Listener:
    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[str] = []
        self._error = error

    async def __call__(self, message: Message) -> None:
        self.heard.append(message.name)
        if self._error:
            raise self._error


def play(act: Callable[[Announcements], Awaitable[None]], **options: float) -> None:
    async def main() -> None:
        announcements = Announcements(**options)  # type: ignore[arg-type]
        try:
            await act(announcements)
        finally:
            await announcements.stop()

    asyncio.run(main())


def about(name: str) -> Announcement:
    return Announcement.create(name, {})


def test_a_listener_hears_everything_in_its_order_until_it_ends_that() -> None:
    async def act(announcements: Announcements) -> None:
        listener, other = Listener(), Listener()
        end = announcements.listen(listener)
        announcements.listen(other)
        announcements.start()
        await announcements.put(about("a.one"))
        announcements.put_nowait(Event.create("a.two", {}))
        await holds(lambda: len(other.heard) == 2)
        end()
        await announcements.put(about("a.three"))
        await holds(lambda: len(other.heard) == 3)
        assert listener.heard == ["a.one", "a.two"]

    play(act)


def test_a_listener_that_raises_does_not_keep_others_from_hearing() -> None:
    async def act(announcements: Announcements) -> None:
        bad, good = Listener(ValueError("bad")), Listener()
        announcements.listen(bad)
        announcements.listen(good)
        announcements.start()
        await announcements.put(about("a.one"))
        await announcements.put(about("a.two"))
        await holds(lambda: good.heard == ["a.one", "a.two"])
        assert bad.heard == ["a.one", "a.two"]

    play(act)


def test_a_publisher_waits_for_room_and_nothing_is_dropped() -> None:
    async def act(announcements: Announcements) -> None:
        listener = Listener()
        announcements.listen(listener)
        await announcements.put(about("a.one"))
        waiting = asyncio.create_task(announcements.put(about("a.two")))
        await asyncio.sleep(0)
        assert not waiting.done()
        announcements.start()
        await waiting
        await holds(lambda: listener.heard == ["a.one", "a.two"])
        assert announcements.dropped == 0

    play(act, room=1)


def test_what_finds_no_room_in_time_is_dropped_and_counted() -> None:
    async def act(announcements: Announcements) -> None:
        await announcements.put(about("a.one"))
        await announcements.put(about("a.two"))
        announcements.put_nowait(Event.create("a.three", {}))
        assert announcements.dropped == 2

    play(act, room=1, patience_seconds=0.01)


def test_a_thousand_are_kept() -> None:
    async def act(announcements: Announcements) -> None:
        for _ in range(1000):
            announcements.put_nowait(Event.create("a.happened", {}))
        assert announcements.dropped == 0
        announcements.put_nowait(Event.create("a.happened", {}))
        assert announcements.dropped == 1

    play(act)
