"""A menu on D-Bus, as the desktop's panel reads and clicks it: com.canonical.dbusmenu.

Without `from __future__ import annotations`, here and in dbus_icon.py: dbus-fast reads the annotations.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from dbus_fast import DBusError, ErrorType, PropertyAccess, Variant
from dbus_fast.annotations import DBusBool, DBusInt32, DBusSignature, DBusStr, DBusUInt32, DBusVariant
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

Layout = Annotated[tuple[int, list[Any]], DBusSignature("u(ia{sv}av)")]
LayoutChange = Annotated[tuple[int, int], DBusSignature("ui")]
Rows = Annotated[list[list[Any]], DBusSignature("a(ia{sv})")]
RowChanges = Annotated[tuple[list[list[Any]], list[list[Any]]], DBusSignature("a(ia{sv})a(ias)")]
Ids = Annotated[list[int], DBusSignature("ai")]
TwoIds = Annotated[tuple[list[int], list[int]], DBusSignature("aiai")]
Strings = Annotated[list[str], DBusSignature("as")]
MenuEvents = Annotated[list[list[Any]], DBusSignature("a(isvu)")]

READ = PropertyAccess.READ


@dataclass(frozen=True)
class MenuNode:
    """An entry with the properties that dbusmenu defines. An invisible one keeps its place in the structure."""

    properties: dict[str, Variant]
    children: tuple["MenuNode", ...]
    click: Callable[[], object]


@dataclass(frozen=True)
class _Row:
    """An entry as the bus knows it, in a table by id."""

    properties: dict[str, Variant]
    children: tuple[int, ...]
    click: Callable[[], object]


class DbusMenu(ServiceInterface):
    """The menu. As long as its structure stays, rows keep their ids and change in place, even while it is open.

    A new structure gets ids that were never used: a click that was meant for an old row cannot hit another.
    """

    def __init__(self, on_open: Callable[[], object] = lambda: None) -> None:
        """`on_open` is called when the menu is about to be seen; what it shows then changes in place."""
        super().__init__("com.canonical.dbusmenu")
        self._on_open = on_open
        self._revision = 0
        self._first_id = 1
        self._rows = _rows((), self._first_id)

    def show(self, nodes: Sequence[MenuNode]) -> None:
        """Makes these the menu, and tells the panel what changed, if anything did."""
        old, new = self._rows, _rows(nodes, self._first_id)
        if _shape(old) != _shape(new):
            self._first_id = max(old) + 1
            self._rows = _rows(nodes, self._first_id)
            self._revision += 1
            self.layout_updated()
            return
        self._rows = new
        if changed := [id_ for id_ in new if new[id_].properties != old[id_].properties]:
            self.items_properties_updated(changed)

    def _row(self, id_: int) -> _Row:
        try:
            return self._rows[id_]
        except KeyError:
            raise DBusError(ErrorType.INVALID_ARGS, f"no menu item {id_}") from None

    def _layout(self, id_: int, depth: int, names: Sequence[str]) -> list[Any]:
        row = self._row(id_)
        children = row.children if depth else ()
        return [
            id_,
            _chosen(row.properties, names),
            [Variant("(ia{sv}av)", self._layout(child, depth - 1, names)) for child in children],
        ]

    @dbus_property(READ, "Version")
    def version(self) -> DBusUInt32:
        return 3

    @dbus_property(READ, "TextDirection")
    def text_direction(self) -> DBusStr:
        return "ltr"

    @dbus_property(READ, "Status")
    def status(self) -> DBusStr:
        return "normal"

    @dbus_property(READ, "IconThemePath")
    def icon_theme_path(self) -> Strings:
        return []

    @dbus_method("GetLayout")
    def get_layout(self, parent: DBusInt32, depth: DBusInt32, names: Strings) -> Layout:
        return self._revision, self._layout(parent, depth, names)

    @dbus_method("GetGroupProperties")
    def get_group_properties(self, ids: Ids, names: Strings) -> Rows:
        known = [id_ for id_ in ids or self._rows if id_ in self._rows]
        return [[id_, _chosen(self._rows[id_].properties, names)] for id_ in known]

    @dbus_method("GetProperty")
    def get_property(self, id_: DBusInt32, name: DBusStr) -> DBusVariant:
        properties = self._row(id_).properties
        if name not in properties:
            raise DBusError(ErrorType.INVALID_ARGS, f"menu item {id_} has no {name}")
        return properties[name]

    @dbus_method("Event")
    def event(self, id_: DBusInt32, event: DBusStr, data: DBusVariant, timestamp: DBusUInt32) -> None:
        row = self._row(id_)
        if event == "clicked":
            row.click()

    @dbus_method("EventGroup")
    def event_group(self, events: MenuEvents) -> Ids:
        unknown = [id_ for id_, *_ in events if id_ not in self._rows]
        for id_, event, data, timestamp in events:
            if id_ not in unknown:
                self.event(id_, event, data, timestamp)
        return unknown

    @dbus_method("AboutToShow")
    def about_to_show(self, id_: DBusInt32) -> DBusBool:
        if id_ == 0:
            self._on_open()
        return False

    @dbus_method("AboutToShowGroup")
    def about_to_show_group(self, ids: Ids) -> TwoIds:
        if 0 in ids:
            self._on_open()
        return [], [id_ for id_ in ids if id_ not in self._rows]

    @dbus_signal("LayoutUpdated")
    def layout_updated(self) -> LayoutChange:
        return self._revision, 0

    @dbus_signal("ItemsPropertiesUpdated")
    def items_properties_updated(self, changed: Iterable[int]) -> RowChanges:
        return [[id_, self._rows[id_].properties] for id_ in changed], []

    @dbus_signal("ItemActivationRequested")
    def item_activation_requested(self, id_: int, timestamp: int) -> LayoutChange:
        return id_, timestamp


def _rows(nodes: Sequence[MenuNode], first_id: int) -> dict[int, _Row]:
    """The tree as a table: ids count up in reading order, and 0 is the menu itself."""
    rows: dict[int, _Row] = {}
    ids = itertools.count(first_id)

    def add(siblings: Sequence[MenuNode]) -> tuple[int, ...]:
        children = []
        for node in siblings:
            id_ = next(ids)
            children.append(id_)
            rows[id_] = _Row(node.properties, add(node.children), node.click)
        return tuple(children)

    return {0: _Row({"children-display": Variant("s", "submenu")}, add(nodes), lambda: None), **rows}


def _shape(rows: dict[int, _Row]) -> list[tuple[int, tuple[int, ...], Variant | None]]:
    return [(id_, row.children, row.properties.get("type")) for id_, row in rows.items()]


def _chosen(properties: dict[str, Variant], names: Sequence[str]) -> dict[str, Variant]:
    return {name: properties[name] for name in names if name in properties} if names else properties
