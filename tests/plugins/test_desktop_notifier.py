from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from panotti_daemon.core.plugins import Event, NotificationCompleted
from panotti_daemon.explain import dotted, explain
from panotti_daemon.paths import bundled
from panotti_daemon.testing import Hosting, PluginHost, event_for
from plugins.desktop_notifier.news import Kind, News, folded, news_of, subject_of
from plugins.desktop_notifier.plugin import Plugin
from tests.daemon import PATIENCE

pytest_plugins = ["panotti_daemon.testing.fixtures"]

FOLDER = bundled("plugins") / "desktop_notifier"
ACCEPTED = "accepted by the server"


@pytest.fixture(autouse=True)
def _no_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)


def completed(
    number: int = 1, status: str = "completed", excerpt: str = "Hello Ann.", file: str | None = "/out/call.txt"
) -> Event:
    return event_for(
        "transcription_local.completed",
        {
            "recording": {"id": f"r{number}", "title": f"Call {number}"},
            "transcription": {"status": status, "output_file": file},
            "metadata": {"duration": 62.4, "words": 120, "excerpt": excerpt},
        },
    )


def failed(number: int = 1, path: str | None = "/in/call.wav") -> Event:
    return event_for(
        "transcription_local.error",
        {"event_id": f"e{number}", "recording_id": f"r{number}" if path else None, "path": path},
    )


def attention(*, over: bool = False) -> Event:
    problem = {"about": "folder:/in", "title": "A folder is gone", "message": "/in is not there.", "over": over}
    return event_for("daemon.attention", problem)


def rests() -> Event:
    until = datetime(2026, 3, 1, 12, 30).astimezone(UTC)
    return event_for("daemon.plugin_rests", {"plugin": "diary", "reason": "It failed.", "until": until.isoformat()})


def notifier(hosted: Hosting, **config: Any) -> AbstractAsyncContextManager[PluginHost]:
    return hosted(FOLDER, config={"together_seconds": 0.02, "pause_seconds": 0, **config})


def told_of(event: Event, *, show_text: bool = True) -> News:
    news = news_of(event, show_text=show_text)
    assert news
    return news


def test_times_are_those_of_where_the_computer_is_by_now(travel: Callable[[str], None]) -> None:
    travel("UTC0")
    event = rests()
    before = told_of(event).message
    travel("XYZ-1")
    assert told_of(event).message != before


@pytest.mark.parametrize(
    ("event", "title", "message", "urgency", "click", "buttons"),
    [
        (completed(), "Call 1 is transcribed", "1 min 02 s, 120 words\n“Hello Ann.”", "normal", "open", "open show"),
        (completed(excerpt=""), "Call 1 is transcribed", "1 min 02 s, 120 words", "normal", "open", "open show"),
        (
            completed(status="no_speech", file=None),
            "No speech in Call 1",
            "There was nothing to transcribe.",
            "low",
            "show",
            "show",
        ),
        (completed(status="restored"), "The transcript of Call 1 is back", "1 min 02 s", "low", "open", "open show"),
        (failed(), "call.wav failed", "The file is damaged.", "normal", "show", "retry show"),
        (failed(path=None), "transcription_local failed", "The file is damaged.", "normal", None, ""),
        (attention(), "A folder is gone", "/in is not there.", "critical", None, ""),
        (rests(), "The plugin diary rests", "It failed.\nIt is tried again at 12:30.", "critical", None, ""),
    ],
)
def test_each_kind_of_news_has_its_words_its_urgency_and_its_buttons(
    event: Event, title: str, message: str, urgency: str, click: str | None, buttons: str
) -> None:
    news = told_of(event)
    assert (news.title, news.message, news.urgency) == (title, message, urgency)
    assert (news.click, " ".join(news.buttons)) == (click, buttons)


@pytest.mark.parametrize("event", [attention(over=True), event_for("recording.forgotten")])
def test_the_end_of_something_is_no_news(event: Event) -> None:
    assert news_of(event) is None


def test_whatever_is_told_of_a_recording_has_the_same_subject() -> None:
    about_one = [completed(1), failed(1), event_for("recording.forgotten", {"recording_id": "r1"})]
    assert {subject_of(event) for event in about_one} == {"r1"}
    assert subject_of(attention()) == subject_of(attention(over=True)) != subject_of(rests())


def test_what_was_said_is_not_shown_to_a_user_who_does_not_want_it() -> None:
    assert told_of(completed(), show_text=False).message == "1 min 02 s, 120 words"


def test_a_long_beginning_is_cut_between_words() -> None:
    excerpt = told_of(completed(excerpt="wordy " * 60)).message.split("“")[1]
    assert excerpt.endswith("wordy …”")
    assert len(excerpt) <= 165


def made(number: int, kind: Kind = Kind.DONE) -> News:
    return News(kind=kind, subject=f"r{number}", name=f"Call {number}", title="It is so", message="the text")


def test_a_single_piece_of_news_is_told_as_it_is() -> None:
    assert folded([made(1)]) == made(1)


@pytest.mark.parametrize(
    ("news", "title", "message", "urgency"),
    [
        ([made(1), made(2)], "2 transcripts ready", "Call 1\nCall 2", "normal"),
        ([made(n) for n in range(1, 11)], "10 transcripts ready", "Call 1\nCall 2\nCall 3\nand 7 more", "normal"),
        (
            [made(1), made(2, Kind.FAILED)],
            "1 transcript ready, 1 recording failed",
            "Call 2: the text\nCall 1",
            "normal",
        ),
        (
            [made(1, Kind.FAILED), made(2, Kind.FAILED)],
            "2 recordings failed",
            "Call 1: the text\nCall 2: the text",
            "normal",
        ),
        (
            [made(1), made(2, Kind.FAILED), made(3, Kind.ATTENTION)],
            "1 problem, 1 transcript ready, 1 recording failed",
            "Call 3: the text\nCall 2: the text\nCall 1",
            "critical",
        ),
    ],
)
def test_what_comes_together_is_told_in_one_what_is_wrong_first(
    news: Sequence[News], title: str, message: str, urgency: str
) -> None:
    told = folded(news)
    assert (told.title, told.message, told.urgency) == (title, message, urgency)


def test_a_folded_one_retries_what_failed_and_shows_what_was_transcribed() -> None:
    mixed = folded([told_of(completed(1)), told_of(failed(2)), told_of(failed(3))])
    assert (mixed.recordings, list(mixed.buttons)) == (("r2", "r3"), ["retry", "show"])
    transcripts = folded([told_of(completed(1)), told_of(completed(2))])
    assert (transcripts.click, transcripts.path, list(transcripts.buttons)) == ("show", Path("/out/call.txt"), ["show"])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have somebody who shows notifications")
async def test_without_a_desktop_nothing_is_shown_and_the_answer_says_so_and_that_is_no_trouble(
    hosted: Hosting,
) -> None:
    async with notifier(hosted) as notifying:
        event = completed()
        [answer] = await notifying.deliver(event)
        told = answer.read(NotificationCompleted)
        assert (answer.name, answer.cause_id) == ("desktop_notification.completed", event.id)
        assert (told.status, told.title, told.recordings) == ("no server", "Call 1 is transcribed", ["r1"])
        health = await notifying.plugin.health()
        assert (health.ok, health.message) == (True, "there is no desktop session to show notifications in")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a bus that can be gone")
async def test_a_bus_address_without_a_bus_is_no_server(
    hosted: Hosting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path / 'gone'}")
    async with notifier(hosted) as notifying:
        [answer] = await notifying.deliver(completed())
        assert answer.data["status"] == "no server"
        health = await notifying.plugin.health()
        assert not health.ok
        assert health.message.startswith("no notification server answers")


class Desk:
    """Shows everything, and notes it."""

    def __init__(self, memory: object) -> None:
        self.memory = memory
        self.shown: list[str] = []
        self.cleared: list[str] = []

    async def show(self, news: News) -> None:
        self.shown.append(news.title)

    async def clear(self, subject: str) -> None:
        self.cleared.append(subject)

    async def close(self) -> None: ...


@asynccontextmanager
async def at_desk(hosted: Hosting, **config: Any) -> AsyncIterator[tuple[PluginHost, Desk]]:
    async with notifier(hosted, **config) as notifying:
        await notifying.plugin.update_state("welcomed", True)
        yield notifying, await restarted(notifying)


async def restarted(notifying: PluginHost) -> Desk:
    """The desk at which the plugin finds itself after that."""
    plugin: Any = notifying.plugin
    await plugin.shutdown()
    await plugin.initialize()
    desk = plugin._server = Desk(plugin._server.memory)
    return desk


async def test_a_hundred_at_once_make_one_notification_and_a_hundred_answers(hosted: Hosting) -> None:
    async with at_desk(hosted, together_seconds=1.0) as (notifying, desk):
        await notifying.publish(*(completed(number) for number in range(100)))
        await notifying.idle()
    assert desk.shown == ["100 transcripts ready"]
    told = [answer.read(NotificationCompleted).recordings for answer in notifying.events]
    assert sorted(told) == sorted([f"r{number}"] for number in range(100))


async def test_what_comes_later_is_told_later(hosted: Hosting) -> None:
    async with at_desk(hosted) as (notifying, desk):
        await notifying.deliver(completed(1))
        await notifying.deliver(failed(2))
    assert desk.shown == ["Call 1 is transcribed", "call.wav failed"]


async def test_what_was_stopped_while_it_waited_is_not_told(hosted: Hosting) -> None:
    async with at_desk(hosted) as (notifying, desk):
        stopped = asyncio.ensure_future(notifying.plugin.handle(completed(1)))
        other = asyncio.ensure_future(notifying.plugin.handle(completed(2)))
        await asyncio.sleep(0)
        stopped.cancel()
        await other
    assert desk.shown == ["Call 2 is transcribed"]


async def test_of_one_recording_only_the_latest_is_told(hosted: Hosting) -> None:
    async with at_desk(hosted, together_seconds=0.5) as (notifying, desk):
        await notifying.publish(failed(1), completed(1))
        await notifying.idle()
    assert desk.shown == ["Call 1 is transcribed"]
    assert [answer.data["status"] for answer in notifying.events] == [ACCEPTED, ACCEPTED]


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("all", ["Call 1 is transcribed", "call.wav failed", "A folder is gone"]),
        ("failures", ["call.wav failed", "A folder is gone"]),
        ("none", []),
    ],
)
async def test_a_user_gets_what_the_level_says(hosted: Hosting, level: str, shown: list[str]) -> None:
    async with at_desk(hosted, level=level) as (notifying, desk):
        for event in (completed(1), failed(2), attention()):
            await notifying.deliver(event)
    assert desk.shown == shown


async def test_a_failure_that_is_over_is_withdrawn_even_where_transcripts_are_not_told(hosted: Hosting) -> None:
    async with at_desk(hosted, level="failures") as (notifying, desk):
        await notifying.deliver(failed(1))
        await notifying.deliver(completed(1))
    assert (desk.shown, desk.cleared) == (["call.wav failed"], ["r1"])


async def test_a_problem_that_is_over_is_withdrawn(hosted: Hosting) -> None:
    async with at_desk(hosted) as (notifying, desk):
        await notifying.deliver(attention())
        await notifying.deliver(attention(over=True))
    assert (desk.shown, desk.cleared) == (["A folder is gone"], [subject_of(attention())])


async def test_failures_told_in_one_are_withdrawn_once_none_of_them_is_true_any_more(hosted: Hosting) -> None:
    async with at_desk(hosted, together_seconds=0.5, level="failures") as (notifying, desk):
        await notifying.publish(failed(1), failed(2))
        await notifying.idle()
        await notifying.deliver(completed(1))
        assert desk.cleared == []
        await notifying.deliver(completed(2))
    assert (desk.shown, desk.cleared) == (["2 recordings failed"], ["many-r1"])


async def test_what_a_new_notification_tells_together_is_withdrawn_where_it_stood_alone(hosted: Hosting) -> None:
    async with at_desk(hosted, together_seconds=0.5) as (notifying, desk):
        await notifying.deliver(failed(1))
        await notifying.publish(completed(1), completed(2))
        await notifying.idle()
    assert (desk.shown, desk.cleared) == (["call.wav failed", "2 transcripts ready"], ["r1"])


async def test_a_forgotten_recording_leaves_nothing_behind(hosted: Hosting) -> None:
    async with at_desk(hosted) as (notifying, desk):
        await notifying.deliver(completed(1))
        await notifying.deliver(event_for("recording.forgotten", {"recording_id": "r1"}))
        state = await notifying.state()
    assert desk.cleared == ["r1"]
    assert "Call 1" not in str(state)


def local(hour: int) -> datetime:
    return datetime(2026, 3, 1, hour).astimezone(UTC)


async def nothing_is_held(notifying: PluginHost) -> None:
    async with asyncio.timeout(PATIENCE):
        while [key for key in await notifying.state() if key.startswith("held/")]:
            await asyncio.sleep(0.005)
    await notifying.idle()


async def test_what_comes_in_quiet_hours_is_told_once_in_one_when_they_are_over(
    hosted: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_desk(hosted, quiet_hours="22:00-07:00", together_seconds=0.1) as (notifying, desk):
        plugin: Any = notifying.plugin
        monkeypatch.setitem(type(plugin)._tell_held.__globals__, "QUIET_CHECK_SECONDS", 0.01)
        notifying.clock.time = local(23)
        for event in (completed(1), failed(2), failed(3), completed(3)):
            assert await notifying.deliver(event) == []
        assert desk.shown == []

        notifying.clock.advance(9 * 3600)
        await nothing_is_held(notifying)
        told = [event.read(NotificationCompleted) for event in notifying.events]
    assert desk.shown == ["2 transcripts ready, 1 recording failed"]
    assert sorted((t.status, *t.recordings) for t in told) == [(ACCEPTED, "r1"), (ACCEPTED, "r2"), (ACCEPTED, "r3")]


async def test_what_was_held_back_is_told_after_a_restart(hosted: Hosting) -> None:
    async with at_desk(hosted, quiet_hours="22:00-07:00") as (notifying, _):
        notifying.clock.time = local(23)
        await notifying.deliver(completed(1))
        notifying.clock.advance(9 * 3600)
        desk = await restarted(notifying)
        await nothing_is_held(notifying)
    assert desk.shown == ["Call 1 is transcribed"]


async def test_what_is_no_longer_true_when_the_quiet_hours_end_is_not_told(hosted: Hosting) -> None:
    async with at_desk(hosted, quiet_hours="22:00-07:00") as (notifying, _):
        notifying.clock.time = local(23)
        await notifying.deliver(attention())
        assert [key for key in await notifying.state() if key.startswith("held/")]
        await notifying.deliver(attention(over=True))
        assert not [key for key in await notifying.state() if key.startswith("held/")]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"quiet_hours": "25:00"}, "quiet_hours: must look like 22:00-07:00 (it is '25:00')"),
        ({"quiet_hours": 7}, "quiet_hours: must look like 22:00-07:00 (it is 7)"),
        ({"pause_seconds": math.inf}, "pause_seconds: must be a finite number (it is inf)"),
    ],
)
def test_a_mistake_in_the_settings_is_named_with_what_is_allowed(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Plugin.Config.model_validate(settings)
    key, what = explain(raised.value, Plugin.Config)
    assert f"{dotted(key)}: {what}" == said
