"""A pystray icon for Linux desktops, spoken over D-Bus: a StatusNotifierItem with its menu as com.canonical.dbusmenu.

pystray's own Linux backends need GTK bindings or fall back to an icon without a menu. This one needs nothing that must
be compiled, takes half the memory of GTK, and changes a label inside an open menu. All of it lives on one asyncio loop.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

from dbus_fast import Message, MessageFlag, PropertyAccess, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusBool, DBusInt32, DBusObjectPath, DBusSignature, DBusStr
from dbus_fast.errors import AuthError, InvalidAddressError
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

from panotti_daemon.desktop.dbus_menu import DbusMenu, MenuNode
from panotti_daemon.desktop.pixmaps import Pixmap
from panotti_daemon.errors import Unavailable

# pystray chooses a backend while it is imported, and the real ones may raise anything where there is no display.
os.environ["PYSTRAY_BACKEND"] = "dummy"
import pystray

del os.environ["PYSTRAY_BACKEND"]

ITEM_PATH = "/StatusNotifierItem"
MENU_PATH = "/MenuBar"
WATCHER = "org.kde.StatusNotifierWatcher"
DBUS = "org.freedesktop.DBus"

Pixmaps = Annotated[list[list[Any]], DBusSignature("a(iiay)")]
ToolTip = Annotated[list[Any], DBusSignature("(sa(iiay)ss)")]

READ = PropertyAccess.READ


class DbusIcon(pystray.Icon):  # type: ignore[misc]
    """Its properties may be set from any thread. `serve` is `run` for a program that has a loop already.

    Its icon is one picture in several sizes, as pixels.
    """

    def __init__(
        self,
        name: str,
        icon: Sequence[Pixmap] = (),
        title: str = "",
        menu: pystray.Menu | None = None,
        *,
        bus_address: str | None = None,
        on_open: Callable[[], object] = lambda: None,
    ) -> None:
        """`on_open` is called when the menu is about to be seen."""
        super().__init__(name, icon, title, menu)
        self._bus_address = bus_address
        self._attention = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bus: MessageBus | None = None
        self._item = _Item(self)
        self._dbus_menu = DbusMenu(on_open)

    @property
    def attention(self) -> bool:
        """Whether something is wrong that the user should look at."""
        return self._attention

    @attention.setter
    def attention(self, attention: bool) -> None:
        if attention != self._attention:
            self._attention = attention
            self._soon(self._item.new_attention_icon)
            self._soon(self._item.new_status)

    async def serve(self) -> None:
        """Shows the icon until `stop`. Raises Unavailable where there is no session bus, or when it goes away."""
        try:
            self._bus = bus = await MessageBus(self._bus_address).connect()
            assert bus._writer is not None
            assert bus._sock is not None
            bus._writer.sock = PatientSocket(bus._sock)  # type: ignore[assignment]
        except (OSError, AuthError, InvalidAddressError) as error:
            raise Unavailable(f"The desktop's session bus does not answer: {error}") from error
        self._loop = asyncio.get_running_loop()
        gone = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
        try:
            self._refresh_menu()
            bus.export(ITEM_PATH, self._item)
            bus.export(MENU_PATH, self._dbus_menu)
            self._mark_ready()
            bus.add_message_handler(self._on_message)
            rule = f"type='signal',sender='{DBUS}',member='NameOwnerChanged',arg0='{WATCHER}'"
            await bus.call(_call(DBUS, "/org/freedesktop/DBus", DBUS, "AddMatch", "s", rule))
            self._register()
            await asyncio.shield(gone)
        except (OSError, EOFError) as error:
            raise Unavailable("The desktop's session bus is gone.") from error
        finally:
            self._loop = None
            if not gone.done():
                bus.disconnect()
            await asyncio.gather(gone, return_exceptions=True)

    def _on_message(self, message: Message) -> None:
        if message.member == "NameOwnerChanged" and message.sender == DBUS:
            name, _, owner = message.body
            if name == WATCHER and owner:
                self._register()

    def _register(self) -> None:
        """Unanswered where no panel is up yet: the watcher's name tells when one comes, or comes back."""
        assert self._bus is not None
        self._send(
            _call(WATCHER, "/StatusNotifierWatcher", WATCHER, "RegisterStatusNotifierItem", "s", self._bus.unique_name)
        )

    def _send(self, message: Message) -> None:
        assert self._bus is not None
        message.flags = MessageFlag.NO_REPLY_EXPECTED
        self._bus.send(message)

    def _soon(self, function: Callable[[], object]) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(function)

    def _run(self) -> None:
        asyncio.run(self.serve())

    def _stop(self) -> None:
        assert self._bus is not None
        self._soon(self._bus.disconnect)

    def _show(self) -> None:
        self._soon(self._item.new_status)

    _hide = _show

    def _update_icon(self) -> None:
        self._icon_valid = True
        self._soon(self._item.new_icon)
        if self._attention:
            self._soon(self._item.new_attention_icon)

    def _update_title(self) -> None:
        self._soon(self._item.new_title)
        self._soon(self._item.new_tool_tip)

    def _update_menu(self) -> None:
        self._soon(self._refresh_menu)

    def _refresh_menu(self) -> None:
        self._dbus_menu.show(self._nodes(self.menu))

    def _nodes(self, menu: pystray.Menu | None) -> tuple[MenuNode, ...]:
        return tuple(
            MenuNode(_properties(item), self._nodes(item.submenu), partial(item, self))
            for item in (menu.items if menu is not None else ())
        )

    def _notify(self, message: str, title: str | None = None) -> None:
        name = "org.freedesktop.Notifications"
        arguments: tuple[Any, ...] = (self.name, 0, "", title or self.title, message, [], {}, -1)
        call = _call(name, "/org/freedesktop/Notifications", name, "Notify", "susssasa{sv}i", *arguments)
        self._soon(lambda: self._send(call))


class PatientSocket:
    """dbus-fast 5.2 takes a full socket for a lost connection; "nothing sent" has it wait until there is room.

    A panel that asks for the pixels of a few icons at once fills the socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, data: memoryview) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0


class _Item(ServiceInterface):
    """What a panel asks about the icon itself. KDE's interface, which the others follow."""

    def __init__(self, icon: DbusIcon) -> None:
        super().__init__("org.kde.StatusNotifierItem")
        self._icon = icon

    @dbus_property(READ, "Category")
    def category(self) -> DBusStr:
        return "ApplicationStatus"

    @dbus_property(READ, "Id")
    def id(self) -> DBusStr:
        return str(self._icon.name)

    @dbus_property(READ, "Title")
    def title(self) -> DBusStr:
        return str(self._icon.title)

    @dbus_property(READ, "Status")
    def status(self) -> DBusStr:
        if not self._icon.visible:
            return "Passive"
        return "NeedsAttention" if self._icon.attention else "Active"

    @dbus_property(READ, "WindowId")
    def window_id(self) -> DBusInt32:
        return 0

    @dbus_property(READ, "IconThemePath")
    def icon_theme_path(self) -> DBusStr:
        return ""

    @dbus_property(READ, "IconName")
    def icon_name(self) -> DBusStr:
        return ""

    @dbus_property(READ, "IconPixmap")
    def icon_pixmap(self) -> Pixmaps:
        return [[pixmap.side, pixmap.side, pixmap.pixels] for pixmap in self._icon.icon]

    @dbus_property(READ, "OverlayIconName")
    def overlay_icon_name(self) -> DBusStr:
        return ""

    @dbus_property(READ, "OverlayIconPixmap")
    def overlay_icon_pixmap(self) -> Pixmaps:
        return []

    @dbus_property(READ, "AttentionIconName")
    def attention_icon_name(self) -> DBusStr:
        return ""

    @dbus_property(READ, "AttentionIconPixmap")
    def attention_icon_pixmap(self) -> Pixmaps:
        return self.icon_pixmap if self._icon.attention else []

    @dbus_property(READ, "AttentionMovieName")
    def attention_movie_name(self) -> DBusStr:
        return ""

    @dbus_property(READ, "ToolTip")
    def tool_tip(self) -> ToolTip:
        return ["", [], self._icon.title, ""]

    @dbus_property(READ, "ItemIsMenu")
    def item_is_menu(self) -> DBusBool:
        return True

    @dbus_property(READ, "Menu")
    def menu(self) -> DBusObjectPath:
        return MENU_PATH

    @dbus_method("Activate")
    def activate(self, x: DBusInt32, y: DBusInt32) -> None:
        self._icon()

    @dbus_method("SecondaryActivate")
    def secondary_activate(self, x: DBusInt32, y: DBusInt32) -> None:
        pass

    @dbus_method("ContextMenu")
    def context_menu(self, x: DBusInt32, y: DBusInt32) -> None:
        pass

    @dbus_method("Scroll")
    def scroll(self, delta: DBusInt32, orientation: DBusStr) -> None:
        pass

    @dbus_signal("NewTitle")
    def new_title(self) -> None:
        pass

    @dbus_signal("NewIcon")
    def new_icon(self) -> None:
        pass

    @dbus_signal("NewAttentionIcon")
    def new_attention_icon(self) -> None:
        pass

    @dbus_signal("NewOverlayIcon")
    def new_overlay_icon(self) -> None:
        pass

    @dbus_signal("NewToolTip")
    def new_tool_tip(self) -> None:
        pass

    @dbus_signal("NewStatus")
    def new_status(self) -> DBusStr:
        return str(self.status)


def _properties(item: pystray.MenuItem) -> dict[str, Variant]:
    """Invisible items stay in the menu, so that showing one is not a change of structure."""
    visible = Variant("b", bool(item.visible))
    if item is pystray.Menu.SEPARATOR:
        return {"type": Variant("s", "separator"), "visible": visible}
    properties = {
        "label": Variant("s", item.text.replace("_", "__")),  # one underscore marks a mnemonic
        "enabled": Variant("b", bool(item.enabled)),
        "visible": visible,
    }
    if item.submenu is not None:
        properties["children-display"] = Variant("s", "submenu")
    if item.checked is not None:
        properties["toggle-type"] = Variant("s", "radio" if item.radio else "checkmark")
        properties["toggle-state"] = Variant("i", int(item.checked))
    return properties


def _call(destination: str, path: str, interface: str, member: str, signature: str, *body: Any) -> Message:
    return Message(
        destination=destination, path=path, interface=interface, member=member, signature=signature, body=list(body)
    )
