from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from panotti_daemon.core.plugins import Event, NotificationCompleted, PluginBase, PluginError
from panotti_daemon.core.plugins.manager import load_plugin_class
from panotti_daemon.paths import bundled
from tests.plugins.hosting import NOW, RECORDING, hosted

CLASS: Any = load_plugin_class(bundled("plugins") / "desktop_notifier")
CODE: Any = sys.modules[CLASS.__module__]


@pytest.fixture(autouse=True)
def _no_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


def completed(number: int = 1, status: str = "completed", excerpt: str = "Hello Ann.") -> Event:
    return Event.create(
        "transcription_local.completed",
        {
            "recording": {
                "id": f"r{number}",
                "content_id": "c",
                "title": f"Call {number}",
                "path": str(RECORDING.path),
                "folder": "/in",
                "tracks": [],
            },
            "transcription": {
                "status": status,
                "timestamp": NOW.isoformat(),
                "recording_id": f"r{number}",
                "output_file": "/out/call.txt",
                "transcript_paths": {},
                "model": "tiny.en",
                "language": "en",
            },
            "metadata": {"duration": 62.4, "speech_seconds": 50.0, "words": 120, "excerpt": excerpt},
            "context": {"correlation_id": "c", "source_plugin": "transcription_local"},
        },
    )


def failed(number: int = 1, path: str | None = "/in/call.wav") -> Event:
    return Event.create(
        "transcription_local.error",
        PluginError(
            plugin="transcription_local",
            event_id=f"e{number}",
            event_name="recording.ready",
            recording_id=f"r{number}" if path else None,
            path=path,
            title="transcription_local failed",
            message="The file is damaged.",
            attempts=3,
        ),
    )


@asynccontextmanager
async def notifier(tmp_path: Path, **config: Any) -> AsyncIterator[PluginBase]:
    async with hosted("desktop_notifier", tmp_path, **{"together_seconds": 0.02, "pause_seconds": 0, **config}) as made:
        yield made


def news(tmp_path: Path, event: Event, **config: Any) -> tuple[str, str]:
    async def main() -> tuple[str, str]:
        async with notifier(tmp_path, **config) as plugin:
            made: Any = plugin._news(event)  # type: ignore[attr-defined]
            return made.title, made.message

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("event", "title", "message"),
    [
        (completed(), "Call 1 is transcribed", "1 min 02 s, 120 words\n“Hello Ann.”"),
        (completed(excerpt=""), "Call 1 is transcribed", "1 min 02 s, 120 words"),
        (completed(status="no_speech"), "No speech in Call 1", "There was nothing to transcribe."),
        (completed(status="restored"), "The transcript of Call 1 is back", "1 min 02 s"),
        (failed(), "call.wav failed", "The file is damaged."),
        (failed(path=None), "transcription_local failed", "The file is damaged."),
    ],
)
def test_each_kind_of_news_has_its_words(tmp_path: Path, event: Event, title: str, message: str) -> None:
    assert news(tmp_path, event) == (title, message)


def test_what_was_said_is_not_shown_to_a_user_who_does_not_want_it(tmp_path: Path) -> None:
    assert news(tmp_path, completed(), show_text=False) == ("Call 1 is transcribed", "1 min 02 s, 120 words")


def test_a_long_beginning_is_cut_between_words(tmp_path: Path) -> None:
    _, message = news(tmp_path, completed(excerpt="wordy " * 60))
    excerpt = message.split("“")[1]
    assert excerpt.endswith("wordy …”")
    assert len(excerpt) <= 165


def made(number: int, *, is_failure: bool = False) -> Any:
    return CODE.News(f"r{number}", f"Call {number}", f"Call {number} is transcribed", "the text", failed=is_failure)


def test_a_single_piece_of_news_is_told_as_it_is() -> None:
    assert CODE._folded([made(1)]) == made(1)


@pytest.mark.parametrize(
    ("folded", "title", "message"),
    [
        ([made(1), made(2)], "2 transcripts ready", "Call 1\nCall 2"),
        ([made(n) for n in range(1, 11)], "10 transcripts ready", "Call 1\nCall 2\nCall 3\nand 7 more"),
        (
            [made(1), made(2, is_failure=True)],
            "1 transcript ready, 1 recording failed",
            "Call 2: the text\nCall 1",
        ),
        (
            [made(1, is_failure=True), made(2, is_failure=True)],
            "2 recordings failed",
            "Call 1: the text\nCall 2: the text",
        ),
    ],
)
def test_what_comes_together_is_told_in_one_failures_first(folded: list[Any], title: str, message: str) -> None:
    told = CODE._folded(folded)
    assert (told.title, told.message) == (title, message)


Act = Callable[[PluginBase], Awaitable[None]]


def play(tmp_path: Path, act: Act, **config: Any) -> None:
    async def main() -> None:
        async with notifier(tmp_path, **config) as plugin:
            await act(plugin)

    asyncio.run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have somebody who shows notifications")
def test_without_a_desktop_nothing_is_shown_and_both_answer_and_health_say_so(tmp_path: Path) -> None:
    async def act(plugin: PluginBase) -> None:
        assert (await plugin.health()).ok
        event = completed()
        (answer,) = await plugin.handle(event) or ()
        told = answer.read(NotificationCompleted)
        assert (answer.name, answer.cause_id) == ("desktop_notification.completed", event.id)
        assert (told.status, told.title, told.recordings) == ("no server", "Call 1 is transcribed", ["r1"])
        health = await plugin.health()
        assert (health.ok, health.message) == (False, "there is no desktop session to show notifications in")

    play(tmp_path, act)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a bus that can be gone")
def test_a_bus_address_without_a_bus_is_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path / 'gone'}")

    async def act(plugin: PluginBase) -> None:
        (answer,) = await plugin.handle(completed()) or ()
        assert answer.data["status"] == "no server"
        assert (await plugin.health()).message.startswith("no notification server answers")

    play(tmp_path, act)


class Counted(CLASS):  # type: ignore[misc]
    """Gathers as the plugin does, and keeps what it would send."""

    async def initialize(self) -> None:
        await super().initialize()
        self.sent: list[Any] = []

    async def _send(self, news: Any) -> str:
        self.sent.append(news)
        return "accepted by the server"


@asynccontextmanager
async def counted(tmp_path: Path, **config: Any) -> AsyncIterator[Any]:
    async with notifier(tmp_path, **config) as plain:
        plugin = Counted(plain.manifest, plain.config, plain.context, plain._ports)
        await plugin.initialize()
        yield plugin
        await plugin.shutdown()


def test_a_hundred_at_once_make_one_notification_and_a_hundred_answers(tmp_path: Path) -> None:
    async def main() -> None:
        async with counted(tmp_path) as plugin:
            answers = await asyncio.gather(*(plugin.handle(completed(number)) for number in range(100)))
            assert [news.title for news in plugin.sent] == ["100 transcripts ready"]
            assert [answer[0].data["recordings"] for answer in answers] == [[f"r{number}"] for number in range(100)]

    asyncio.run(main())


def test_what_comes_later_is_told_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with counted(tmp_path) as plugin:
            await plugin.handle(completed(1))
            await plugin.handle(failed(2))
            assert [news.title for news in plugin.sent] == ["Call 1 is transcribed", "call.wav failed"]

    asyncio.run(main())


def test_what_was_stopped_while_it_waited_is_not_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with counted(tmp_path) as plugin:
            stopped = asyncio.create_task(plugin.handle(completed(1)))
            other = asyncio.create_task(plugin.handle(completed(2)))
            await asyncio.sleep(0)
            stopped.cancel()
            await other
            assert [news.title for news in plugin.sent] == ["Call 2 is transcribed"]

    asyncio.run(main())


def test_a_user_who_wants_none_gets_none(tmp_path: Path) -> None:
    async def main() -> None:
        async with counted(tmp_path, enabled=False) as plugin:
            assert await plugin.handle(completed()) == []
            assert plugin.sent == []

    asyncio.run(main())
