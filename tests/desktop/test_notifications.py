"""The notifier on a real session bus: with dunst, and with a server that notes what it is asked to show."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest

from panotti_daemon.core.plugins import Event, NotificationCompleted
from panotti_daemon.paths import bundled
from panotti_daemon.testing import PluginHost, Services, host
from tests.daemon import PATIENCE
from tests.desktop.desktop import Desktop, wait_for
from tests.desktop.notification_server import Bus, Notice, NotificationServer, serving
from tests.plugins.test_desktop_notifier import attention, completed, failed

ACCEPTED, NO_SERVER, CLICKED = "accepted by the server", "no server", "clicked"


@pytest.fixture(autouse=True)
def _at_the_bus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "bus" in request.fixturenames:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", request.getfixturevalue("bus").address)


@asynccontextmanager
async def hosted(**config: Any) -> AsyncIterator[PluginHost]:
    """As it is after its first run."""
    quick = {"together_seconds": 0.02, "pause_seconds": 0, **config}
    folder = bundled("plugins") / "desktop_notifier"
    async with host(folder, config=quick, state={"welcomed": True}, services=Services()) as notifier:
        yield notifier


async def restart(notifier: PluginHost) -> None:
    await notifier.plugin.shutdown()
    await notifier.plugin.initialize()


async def told(notifier: PluginHost, event: Event) -> str:
    [answer] = await notifier.deliver(event)
    return answer.read(NotificationCompleted).status


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


def clicks(notifier: PluginHost) -> list[NotificationCompleted]:
    read = [event.read(NotificationCompleted) for event in notifier.events]
    return [completed for completed in read if completed.status == CLICKED]


async def one_click(notifier: PluginHost) -> NotificationCompleted:
    await eventually(lambda: clicks(notifier))
    [click] = clicks(notifier)
    return click


def unix_sockets() -> int:
    return len(psutil.Process().net_connections(kind="unix"))


def test_a_transcript_is_really_shown_by_the_desktops_server(desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", desktop.environment["DBUS_SESSION_BUS_ADDRESS"])

    async def main() -> None:
        async with hosted() as notifier:
            assert await told(notifier, completed()) == ACCEPTED
            assert (await notifier.plugin.health()).ok

    asyncio.run(main())

    def displayed() -> list[Any]:
        desktop.run("dunstctl", "close-all")
        history = json.loads(desktop.run("dunstctl", "history"))["data"][0]
        return [entry for entry in history if entry["summary"]["data"] == "Call 1 is transcribed"]

    (shown,) = wait_for(displayed, "dunst has shown it")
    assert shown["appname"]["data"] == "Panotti"
    assert shown["icon_path"]["data"].endswith("panotti.png")
    assert "1 min 02 s, 120 words" in shown["message"]["data"]
    assert "Hello Ann." in shown["message"]["data"]


def test_dunst_is_asked_to_replace_to_withdraw_and_tells_of_a_click(
    desktop: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", desktop.environment["DBUS_SESSION_BUS_ADDRESS"])
    desktop.run("dunstctl", "close-all")

    def displayed() -> str:
        return desktop.run("dunstctl", "count", "displayed").strip()

    async def main() -> None:
        async with hosted() as notifier:
            await told(notifier, failed(1))
            await told(notifier, completed(1))
            await asyncio.to_thread(wait_for, lambda: displayed() == "1", "one has taken the other's place")
            await asyncio.to_thread(desktop.run, "dunstctl", "action")
            assert (await one_click(notifier)).title == "Call 1 is transcribed"
            assert notifier.services.log == ["open /out/call.txt"]

            await asyncio.to_thread(desktop.run, "dunstctl", "close-all")
            await told(notifier, attention())
            await asyncio.to_thread(wait_for, lambda: displayed() == "1", "the problem is shown")
            await notifier.deliver(attention(over=True))
            await asyncio.to_thread(wait_for, lambda: displayed() == "0", "the problem is withdrawn")

    asyncio.run(main())


def test_a_burst_is_shown_as_one(bus: Bus) -> None:
    async def main() -> None:
        async with serving(bus.address) as server, hosted(together_seconds=0.5) as notifier:
            await notifier.publish(*(completed(number) for number in range(10)))
            await notifier.idle()
            assert {event.data["status"] for event in notifier.events} == {ACCEPTED}
            [notice] = server.on_screen.values()
            assert (notice.app, notice.title) == ("Panotti", "10 transcripts ready")
            assert notice.body == "Call 0\nCall 1\nCall 2\nand 7 more"

    asyncio.run(main())


def test_a_notification_has_our_icon_its_urgency_and_its_buttons(bus: Bus) -> None:
    async def main() -> None:
        async with serving(bus.address, "actions") as server, hosted() as notifier:
            for event in (completed(1), failed(2), attention()):
                await told(notifier, event)
            done, failure, problem = server.on_screen.values()
            assert done.icon.endswith("/icons/panotti.png")
            assert done.actions == {"default": "", "open": "Open", "show": "Show in folder"}
            assert failure.actions == {"default": "", "retry": "Retry", "show": "Show in folder"}
            assert problem.actions == {}
            assert (done.urgency, failure.urgency, problem.urgency) == (1, 1, 2)

    asyncio.run(main())


def test_a_server_without_actions_is_asked_for_none(bus: Bus) -> None:
    async def main() -> None:
        async with serving(bus.address) as server, hosted() as notifier:
            assert await told(notifier, failed(1)) == ACCEPTED
            assert [notice.actions for notice in server.came] == [{}]

    asyncio.run(main())


def test_what_was_said_is_no_markup(bus: Bus) -> None:
    async def body(*capabilities: str) -> str:
        async with serving(bus.address, *capabilities) as server, hosted() as notifier:
            await told(notifier, completed(excerpt="Bits & <b>bytes</b>"))
            [notice] = server.came
            return notice.body.split("\n")[1]

    assert asyncio.run(body()) == "“Bits & <b>bytes</b>”"
    assert asyncio.run(body("body-markup")) == "“Bits &amp; &lt;b&gt;bytes&lt;/b&gt;”"


def test_what_is_told_of_the_same_recording_takes_its_place(bus: Bus) -> None:
    async def main() -> None:
        async with serving(bus.address) as server, hosted() as notifier:
            await told(notifier, failed(1))
            await told(notifier, failed(2))
            await told(notifier, completed(1))
            assert server.titles == ["Call 1 is transcribed", "call.wav failed"]

    asyncio.run(main())


def test_what_is_no_longer_true_goes_off_the_screen(bus: Bus) -> None:
    async def main() -> None:
        async with serving(bus.address) as server, hosted(level="failures") as notifier:
            await told(notifier, failed(1))
            await told(notifier, attention())
            assert server.titles == ["call.wav failed", "A folder is gone"]
            await notifier.deliver(completed(1))
            assert server.titles == ["A folder is gone"]
            await notifier.deliver(attention(over=True))
            assert server.titles == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("event", "action", "done"),
    [
        (completed(1), "default", "open /out/call.txt"),
        (completed(1), "open", "open /out/call.txt"),
        (completed(1), "show", "show /out/call.txt in its folder"),
        (failed(1), "default", "show /in/call.wav in its folder"),
        (failed(1), "retry", "retry r1"),
    ],
)
def test_a_click_does_what_it_says_and_is_an_event_of_its_own(bus: Bus, event: Event, action: str, done: str) -> None:
    async def main() -> None:
        async with serving(bus.address, "actions") as server, hosted() as notifier:
            assert await told(notifier, event) == ACCEPTED
            await server.click(1, action)
            click = await one_click(notifier)
            assert (click.title, click.recordings) == (server.came[0].title, ["r1"])
            assert notifier.services.log == [done]
            assert (notifier.events[-1].cause_id, notifier.events[-1].correlation_id) == (
                event.id,
                event.correlation_id,
            )

    asyncio.run(main())


def test_a_click_still_works_and_an_end_still_withdraws_after_the_daemon_was_started_again(bus: Bus) -> None:
    async def main() -> None:
        async with serving(bus.address, "actions") as server, hosted() as notifier:
            await told(notifier, completed(1))
            await told(notifier, failed(2))
            await restart(notifier)
            await told(notifier, completed(2))
            assert server.titles == ["Call 1 is transcribed", "Call 2 is transcribed"]
            await server.click(1)
            assert (await one_click(notifier)).recordings == ["r1"]
            assert notifier.services.log == ["open /out/call.txt"]

    asyncio.run(main())


def test_ids_of_a_former_server_are_not_taken_for_those_of_another(bus: Bus) -> None:
    async def main() -> None:
        async with hosted() as notifier:
            async with serving(bus.address, "actions"):
                await told(notifier, completed(1))
            async with serving(bus.address, "actions") as another:
                another.on_screen[1] = of_another_program()
                await another.click(1)
                await notifier.plugin.shutdown()
            async with serving(bus.address, "actions") as yet_another:
                yet_another.on_screen[1] = of_another_program()
                await notifier.plugin.initialize()
                await notifier.deliver(attention(over=True))
                await yet_another.click(1)
                await told(notifier, completed(2))
            assert clicks(notifier) == []
            assert notifier.services.log == []

    asyncio.run(main())


def of_another_program() -> Notice:
    return Notice("Mail", "", "A letter came", "", {}, 1)


def test_a_click_that_comes_to_nothing_harms_nothing(bus: Bus) -> None:
    async def gone(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    async def main() -> None:
        async with serving(bus.address, "actions") as server, hosted() as notifier:
            plugin: Any = notifier.plugin
            plugin.context.desktop.open = gone
            await told(notifier, completed(1))
            await server.click(1)
            await one_click(notifier)
            assert await told(notifier, completed(2)) == ACCEPTED

    asyncio.run(main())


def test_a_dismissed_notification_is_no_click(bus: Bus) -> None:
    async def main() -> None:
        async with serving(bus.address, "actions") as server, hosted() as notifier:
            await told(notifier, completed(1))
            await server.close(1, 2)
            await told(notifier, completed(2))
            assert clicks(notifier) == []
            assert server.titles == ["Call 2 is transcribed"]

    asyncio.run(main())


def test_the_first_run_explains_itself_once_as_soon_as_somebody_shows_it(bus: Bus) -> None:
    async def main() -> None:
        quick = {"together_seconds": 0.02, "pause_seconds": 0}
        async with host(bundled("plugins") / "desktop_notifier", config=quick) as notifier:
            await told(notifier, completed(1))
            async with serving(bus.address) as server:
                await restart(notifier)
                await eventually(lambda: server.titles == ["Panotti is listening"])
                await told(notifier, completed(2))
                await restart(notifier)
                await told(notifier, completed(3))
                assert [n.title for n in server.came].count("Panotti is listening") == 1

    asyncio.run(main())


def test_a_server_that_goes_is_missed_and_one_that_comes_is_found(bus: Bus) -> None:
    async def main() -> None:
        async with hosted() as notifier:
            assert await told(notifier, completed()) == NO_SERVER
            assert not (await notifier.plugin.health()).ok
            for capabilities in ([], ["actions"]):
                async with serving(bus.address, *capabilities) as server:
                    assert await told(notifier, completed()) == ACCEPTED
                    [notice] = server.came
                    assert bool(notice.actions) is bool(capabilities)
                    assert (await notifier.plugin.health()).ok
                assert await told(notifier, completed()) == NO_SERVER
                health = await notifier.plugin.health()
                assert (health.ok, health.message) == (False, "no notification server is running")

    asyncio.run(main())


def test_a_server_that_was_replaced_while_nothing_was_told_shows_the_next_one(bus: Bus) -> None:
    async def main() -> None:
        async with hosted() as notifier:
            async with serving(bus.address):
                assert await told(notifier, completed(1)) == ACCEPTED
            async with serving(bus.address, "actions") as server:
                assert await told(notifier, completed(2)) == ACCEPTED
                assert [list(notice.actions) for notice in server.came] == [["default", "open", "show"]]

    asyncio.run(main())


def test_a_bus_that_goes_is_missed_and_one_that_comes_is_found(bus: Bus) -> None:
    async def main() -> None:
        async with hosted() as notifier:
            async with serving(bus.address):
                assert await told(notifier, completed()) == ACCEPTED
            bus.stop()
            assert await told(notifier, completed()) == NO_SERVER
            assert await told(notifier, attention()) == NO_SERVER
            bus.start()
            async with serving(bus.address) as server:
                assert await told(notifier, completed()) == ACCEPTED
                assert server.titles == ["Call 1 is transcribed"]

    asyncio.run(main())


def test_a_bus_that_was_replaced_while_nothing_was_told_shows_the_next_one(bus: Bus) -> None:
    async def main() -> None:
        async with hosted() as notifier:
            async with serving(bus.address):
                assert await told(notifier, completed()) == ACCEPTED
            bus.stop()
            bus.start()
            async with serving(bus.address) as server:
                assert await told(notifier, completed()) == ACCEPTED
                assert server.titles == ["Call 1 is transcribed"]

    asyncio.run(main())


def test_a_server_that_does_not_answer_is_not_waited_for_long(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serving(bus.address) as server, hosted() as notifier:
            plugin: Any = notifier.plugin
            monkeypatch.setitem(type(plugin._server).show.__globals__, "CALL_SECONDS", 0.2)
            mute(server)
            assert await told(notifier, completed()) == NO_SERVER
            assert (await notifier.plugin.health()).message.startswith("no notification server answers")

    asyncio.run(main())


def mute(server: NotificationServer) -> None:
    """It takes calls and never answers them."""
    server._bus.remove_message_handler(server.answer)
    server._bus.add_message_handler(lambda message: True)


def test_no_connection_outlives_the_plugin(bus: Bus) -> None:
    before = unix_sockets()

    async def main() -> None:
        async with hosted() as notifier:
            async with serving(bus.address):
                for _ in range(3):
                    await told(notifier, completed())
            await told(notifier, completed())

    asyncio.run(main())
    assert unix_sockets() == before
