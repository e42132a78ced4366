"""The notifier on a real session bus: with dunst, and with a server that notes what it is asked to show."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from dbus_fast import Message, MessageType, RequestNameReply
from dbus_fast.aio import MessageBus

from panotti_daemon.core.plugins import PluginBase
from tests.desktop.desktop import Desktop, end, wait_for
from tests.plugins.hosting import hosted
from tests.plugins.test_desktop_notifier import completed

NAME = "org.freedesktop.Notifications"
INTERFACE = """
<node><interface name="org.freedesktop.Notifications">
  <method name="Notify">
    <arg type="s" direction="in"/><arg type="u" direction="in"/><arg type="s" direction="in"/>
    <arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="as" direction="in"/>
    <arg type="a{sv}" direction="in"/><arg type="i" direction="in"/><arg type="u" direction="out"/>
  </method>
  <method name="GetServerInformation">
    <arg type="s" direction="out"/><arg type="s" direction="out"/>
    <arg type="s" direction="out"/><arg type="s" direction="out"/>
  </method>
  <method name="GetCapabilities"><arg type="as" direction="out"/></method>
</interface></node>
"""
BUS = """
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""


class NotingServer:
    """A notification server as the specification has it, without a screen."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str, str]] = []

    def answer(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        match message.member:
            case "Introspect":
                return Message.new_method_return(message, "s", [INTERFACE])
            case "GetServerInformation":
                return Message.new_method_return(message, "ssss", ["noting", "tests", "1", "1.2"])
            case "GetCapabilities":
                return Message.new_method_return(message, "as", [["body"]])
            case "Notify":
                app_name, _, _, title, body, *_ = message.body
                self.shown.append((app_name, title, body))
                return Message.new_method_return(message, "u", [len(self.shown)])
        return None


class Bus:
    """A session bus on which nobody shows notifications, nor is started to."""

    def __init__(self, folder: Path) -> None:
        config = folder / "bus.conf"
        config.write_text(BUS.format(socket=folder / "bus"))
        self._process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address=1"],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout
        with self._process.stdout as answer:
            self.address = answer.readline().strip()

    def stop(self) -> None:
        end(self._process)


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    if shutil.which("dbus-daemon") is None:
        pytest.skip("needs dbus-daemon")
    running = Bus(tmp_path)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", running.address)
    yield running
    running.stop()


@asynccontextmanager
async def serving(on: Bus) -> AsyncIterator[NotingServer]:
    server = NotingServer()
    bus = await MessageBus(on.address).connect()
    bus.add_message_handler(server.answer)
    assert await bus.request_name(NAME) is RequestNameReply.PRIMARY_OWNER
    try:
        yield server
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


def play(tmp_path: Path, act: Callable[[PluginBase], Awaitable[None]]) -> None:
    async def main() -> None:
        async with hosted("desktop_notifier", tmp_path, together_seconds=0.02, pause_seconds=0) as plugin:
            await act(plugin)

    asyncio.run(main())


async def status(plugin: PluginBase, number: int = 1) -> Any:
    (answer,) = await plugin.handle(completed(number)) or ()
    return answer.data["status"]


def unix_sockets() -> int:
    return len(psutil.Process().net_connections(kind="unix"))


def test_a_transcript_is_really_shown_by_the_desktops_server(
    desktop: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", desktop.environment["DBUS_SESSION_BUS_ADDRESS"])

    async def act(plugin: PluginBase) -> None:
        assert await status(plugin) == "accepted by the server"
        assert (await plugin.health()).ok

    play(tmp_path, act)

    def displayed() -> list[Any]:
        desktop.run("dunstctl", "close-all")
        history = json.loads(desktop.run("dunstctl", "history"))["data"][0]
        return [entry for entry in history if entry["summary"]["data"] == "Call 1 is transcribed"]

    (shown,) = wait_for(displayed, "dunst has shown it")
    assert shown["appname"]["data"] == "Panotti"
    assert "1 min 02 s, 120 words" in shown["message"]["data"]
    assert "Hello Ann." in shown["message"]["data"]


def test_a_burst_is_shown_as_one(bus: Bus, tmp_path: Path) -> None:
    async def act(plugin: PluginBase) -> None:
        async with serving(bus) as server:
            answers = await asyncio.gather(*(status(plugin, number) for number in range(10)))
            assert set(answers) == {"accepted by the server"}
            assert server.shown == [("Panotti", "10 transcripts ready", "Call 0\nCall 1\nCall 2\nand 7 more")]

    play(tmp_path, act)


def test_a_server_that_goes_is_missed_and_one_that_comes_is_found(bus: Bus, tmp_path: Path) -> None:
    async def act(plugin: PluginBase) -> None:
        assert await status(plugin) == "no server"
        assert not (await plugin.health()).ok
        for _ in range(2):
            async with serving(bus) as server:
                assert await status(plugin) == "accepted by the server"
                assert len(server.shown) == 1
                assert (await plugin.health()).ok
            assert await status(plugin) == "no server"
            health = await plugin.health()
            assert (health.ok, health.message) == (False, "no notification server is running")

    play(tmp_path, act)


def test_a_bus_that_goes_is_missed(bus: Bus, tmp_path: Path) -> None:
    async def act(plugin: PluginBase) -> None:
        async with serving(bus):
            assert await status(plugin) == "accepted by the server"
        bus.stop()
        assert await status(plugin) == "no server"
        assert await status(plugin) == "no server"

    play(tmp_path, act)


def test_no_connection_outlives_the_plugin(bus: Bus, tmp_path: Path) -> None:
    before = unix_sockets()

    async def act(plugin: PluginBase) -> None:
        async with serving(bus):
            for _ in range(3):
                await status(plugin)
        await status(plugin)

    play(tmp_path, act)
    assert unix_sockets() == before
