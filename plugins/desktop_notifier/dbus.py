"""The notification server of a Linux desktop: desktop-notifier's backend, and what it lacks.

A notification takes the place of the one with the same identifier. Ids are good for as long as the server lives that
gave them: another one gives the same ids to other programs. And they can be kept beyond the end of this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from html import escape
from typing import Any

from dbus_fast import Message, MessageType
from dbus_fast.aio.proxy_object import ProxyInterface
from dbus_fast.errors import DBusError
from desktop_notifier import Button, Capability, Notification
from desktop_notifier.backends.dbus import DEFAULT_ACTION_KEY, DBusDesktopNotifier

from .errors import NoServer

NAME = "org.freedesktop.Notifications"
DBUS = "org.freedesktop.DBus"
CLOSE_SECONDS = 0.5
DEFAULT_ACTION = (DEFAULT_ACTION_KEY, "")
"""desktop-notifier asks for it, also where a click has nothing to do."""


class DbusBackend(DBusDesktopNotifier):
    tenure = ""
    """Names this life of the server, on this bus and no other."""
    is_lost = False
    """Whether the server or the bus has gone, so that a new connection is needed."""

    @property
    def numbers(self) -> dict[str, int]:
        """The server's ids of what may still be shown, by identifier."""
        return dict(self._platform_to_interface_notification_identifier.inverse)

    async def connect(self) -> None:
        """Raises NoServer, and what the connection raises."""
        if not self.interface:
            self.interface = await self._init_dbus()

    def adopt(self, numbers: Mapping[str, int], buttons: Mapping[str, tuple[Button, ...]]) -> None:
        """Takes on what an earlier process has shown through this very server."""
        for identifier, number in numbers.items():
            self._platform_to_interface_notification_identifier[number] = identifier
            shown = Notification("", "", identifier=identifier, buttons=buttons[identifier])
            self._notification_cache[identifier] = shown

    async def close(self) -> None:
        bus = getattr(self, "bus", None)  # only once it is connected
        if bus is None:
            return
        bus.disconnect()
        with suppress(Exception):  # it may have gone in its own way
            async with asyncio.timeout(CLOSE_SECONDS):
                await bus.wait_for_disconnect()

    async def _init_dbus(self) -> ProxyInterface:
        try:
            interface: Any = await super()._init_dbus()
            capabilities = await interface.call_get_capabilities()
            rule = f"type='signal',sender='{DBUS}',member='NameOwnerChanged',arg0='{NAME}'"
            self.bus.add_message_handler(self._see)
            await self._ask_bus("AddMatch", rule)
            self.tenure = f"{await self._ask_bus('GetId')} {await self._ask_bus('GetNameOwner', NAME)}"
        except DBusError as error:
            raise NoServer("no notification server is running") from error
        notify = interface.call_notify

        async def notify_in_place(
            app_name: str, _: int, icon: str, title: str, message: str, actions: list[str], *rest: Any
        ) -> int:
            body = escape(message, quote=False) if "body-markup" in capabilities else message
            offered = actions if self._is_clickable else [a for a in actions if a not in DEFAULT_ACTION]
            number: int = await notify(app_name, self._replaced, icon, title, body, offered, *rest)
            return number

        interface.call_notify = notify_in_place
        return interface  # type: ignore[no-any-return]

    async def _get_capabilities(self) -> frozenset[Capability]:
        found = await super()._get_capabilities()
        # a server without actions may show a dialog instead where one is asked for
        return found if Capability.BUTTONS in found else found - {Capability.ON_CLICKED}

    async def _send(self, notification: Notification) -> None:
        numbers = self._platform_to_interface_notification_identifier
        self._replaced = numbers.inverse.pop(notification.identifier, 0)
        self._is_clickable = notification.on_clicked is not None
        await super()._send(notification)

    async def _clear(self, identifier: str) -> None:
        if identifier in self.numbers:
            await super()._clear(identifier)

    async def _ask_bus(self, member: str, *body: str) -> Any:
        message = Message(
            destination=DBUS, path="/org/freedesktop/DBus", interface=DBUS, member=member, signature="s" * len(body)
        )
        message.body = list(body)
        reply = await self.bus.call(message)
        if reply is None or reply.message_type is MessageType.ERROR:
            raise NoServer("no notification server is running")
        return reply.body[0] if reply.body else None

    def _see(self, message: Message) -> None:
        if message.member == "NameOwnerChanged" and message.sender == DBUS and message.body[0] == NAME:
            self.is_lost = True
            self._platform_to_interface_notification_identifier.clear()
            self._notification_cache.clear()
