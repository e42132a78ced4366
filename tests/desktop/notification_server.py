"""A notification server as the specification has it, without a screen, on a session bus of its own."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from dbus_fast import Message, MessageType, RequestNameReply
from dbus_fast.aio import MessageBus

from tests.desktop.desktop import end

NAME = "org.freedesktop.Notifications"
PATH = "/org/freedesktop/Notifications"
INTERFACE = """
<node><interface name="org.freedesktop.Notifications">
  <method name="Notify">
    <arg type="s" direction="in"/><arg type="u" direction="in"/><arg type="s" direction="in"/>
    <arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="as" direction="in"/>
    <arg type="a{sv}" direction="in"/><arg type="i" direction="in"/><arg type="u" direction="out"/>
  </method>
  <method name="CloseNotification"><arg type="u" direction="in"/></method>
  <method name="GetServerInformation">
    <arg type="s" direction="out"/><arg type="s" direction="out"/>
    <arg type="s" direction="out"/><arg type="s" direction="out"/>
  </method>
  <method name="GetCapabilities"><arg type="as" direction="out"/></method>
  <signal name="NotificationClosed"><arg type="u"/><arg type="u"/></signal>
  <signal name="ActionInvoked"><arg type="u"/><arg type="s"/></signal>
</interface></node>
"""
BUS = """
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""


class Bus:
    """A session bus on which nobody shows notifications, nor is started to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._config = folder / "bus.conf"
        self._config.write_text(BUS.format(socket=folder / "bus"))
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--nopidfile", "--print-address=1"],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout
        with self._process.stdout as answer:
            # without the guid, so that it is right for the bus that comes after this one
            self.address = answer.readline().strip().partition(",guid=")[0]

    def stop(self) -> None:
        end(self._process)


@dataclass(frozen=True)
class Notice:
    """A notification as it came to the server."""

    app: str
    icon: str
    title: str
    body: str
    actions: dict[str, str]
    urgency: int


class NotificationServer:
    def __init__(self, bus: MessageBus, *capabilities: str) -> None:
        self._bus = bus
        self._capabilities = ["body", *capabilities]
        self.came: list[Notice] = []
        """All that ever came."""
        self.on_screen: dict[int, Notice] = {}

    @property
    def titles(self) -> list[str]:
        return [notice.title for notice in self.on_screen.values()]

    async def click(self, number: int, action: str = "default") -> None:
        """As most servers do it: what was clicked goes away."""
        await self._signal("ActionInvoked", "us", number, action)
        await self.close(number, 2)

    async def close(self, number: int, reason: int) -> None:
        self.on_screen.pop(number, None)
        await self._signal("NotificationClosed", "uu", number, reason)

    async def _signal(self, name: str, signature: str, *body: object) -> None:
        await self._bus.send(Message.new_signal(PATH, NAME, name, signature, list(body)))

    def answer(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        match message.member:
            case "Introspect":
                return Message.new_method_return(message, "s", [INTERFACE])
            case "GetServerInformation":
                return Message.new_method_return(message, "ssss", ["noting", "tests", "1", "1.2"])
            case "GetCapabilities":
                return Message.new_method_return(message, "as", [self._capabilities])
            case "Notify":
                app, replaced, icon, title, body, actions, hints, _ = message.body
                number = replaced or len(self.came) + 1
                notice = Notice(
                    app, icon, title, body, dict(zip(actions[::2], actions[1::2], strict=True)), hints["urgency"].value
                )
                self.came.append(notice)
                self.on_screen[number] = notice
                return Message.new_method_return(message, "u", [number])
            case "CloseNotification":
                [number] = message.body
                if self.on_screen.pop(number, None) is None:
                    return Message.new_error(message, f"{NAME}.Error", "it is not there")
                return Message.new_method_return(message)
        return None


@asynccontextmanager
async def serving(address: str, *capabilities: str) -> AsyncIterator[NotificationServer]:
    bus = await MessageBus(address).connect()
    server = NotificationServer(bus, *capabilities)
    bus.add_message_handler(server.answer)
    assert await bus.request_name(NAME) is RequestNameReply.PRIMARY_OWNER
    try:
        yield server
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
