"""The real daemon and a notification server on a session bus: what is shown, and what a click on it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from panotti_daemon.models.recording.models import FileState
from tests.acceptance.test_crashes import crash_engine
from tests.daemon import Panotti, wait_until
from tests.desktop.notification_server import Bus, NotificationServer, serving
from tests.opener import noting_opener
from tests.watching import memo, watch


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    return tmp_path / "in"


@pytest.fixture
def opener(tmp_path: Path) -> tuple[Path, Path]:
    return noting_opener(tmp_path)


@pytest.fixture
def daemon(panotti: Callable[..., Panotti], bus: Bus, drop: Path, opener: tuple[Path, Path]) -> Iterator[Panotti]:
    """One that finds its session bus by the socket alone, as a service of the user does."""
    quick = {"together_seconds": 0, "pause_seconds": 0}
    settings = {"watch": [watch(drop)], "plugins": {"desktop_notifier": {"config": quick}}}
    programs, _ = opener
    environment = {"XDG_RUNTIME_DIR": str(bus.folder), "PATH": f"{programs}:/usr/bin:/bin"}
    with panotti(settings, environment=environment) as running:
        yield running


async def shown(server: NotificationServer, title: str) -> int:
    """Its number, once it is on the screen."""

    def number() -> int | None:
        return next((number for number, notice in server.on_screen.items() if notice.title == title), None)

    return await asyncio.to_thread(wait_until, number, f"{title!r} is shown")


def statuses(daemon: Panotti) -> list[str]:
    return [event["status"] for event in daemon.events("desktop_notification.completed")]


def test_a_click_opens_the_transcript_also_after_the_daemon_was_killed(
    bus: Bus, daemon: Panotti, drop: Path, opener: tuple[Path, Path]
) -> None:
    _, opened = opener

    async def main() -> None:
        async with serving(bus.address, "actions") as server:
            memo(drop / "call.wav")
            number = await shown(server, "call is transcribed")
            await asyncio.to_thread(wait_until, lambda: statuses(daemon), "that is stored")
            daemon.kill()
            await asyncio.to_thread(daemon.start)
            await server.click(number)
            await asyncio.to_thread(wait_until, opened.exists, "the transcript is opened")
            assert opened.read_text() == str(daemon.transcripts / "call.txt")
            await asyncio.to_thread(wait_until, lambda: "clicked" in statuses(daemon), "the click is an event")

    asyncio.run(main())
    assert statuses(daemon) == ["accepted by the server", "clicked"]


def test_a_failure_is_retried_by_its_button_and_its_success_takes_its_place(
    bus: Bus, daemon: Panotti, drop: Path
) -> None:
    async def main() -> None:
        async with serving(bus.address, "actions") as server:
            source = memo(drop / "call.wav")
            await asyncio.to_thread(fail, daemon, source)
            number = await shown(server, "call.wav failed")
            assert "The engine" in server.on_screen[number].body
            await server.click(number, "retry")
            await shown(server, "call is transcribed")
            assert "call.wav failed" not in server.titles

    asyncio.run(main())
    told = ["accepted by the server", "clicked", "accepted by the server"]
    wait_until(lambda: statuses(daemon) == told, "what was told is stored")


def fail(daemon: Panotti, source: Path) -> None:
    for attempt in (1, 2):
        assert crash_engine(daemon, source, attempt).state is FileState.WAITING
        daemon.post("/ledger/retry", {"path": str(source)})
    assert crash_engine(daemon, source, attempt=3).state is FileState.FAILED
