from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux" and not TYPE_CHECKING:
    pytest.skip("D-Bus is for Linux", allow_module_level=True)

from dbus_fast import Variant

from panotti_daemon.desktop.dbus_menu import DbusMenu, MenuNode


class RecordedMenu(DbusMenu):
    """Notes the signals that it would send."""

    def __init__(self) -> None:
        super().__init__()
        self.signals: list[str] = []

    def layout_updated(self) -> None:
        self.signals.append("layout")

    def items_properties_updated(self, changed: list[int]) -> None:  # type: ignore[override]
        self.signals.append(f"properties {changed}")


def node(label: str, *children: MenuNode, clicked: list[str] | None = None) -> MenuNode:
    return MenuNode({"label": Variant("s", label)}, children, lambda: (clicked or []).append(label))


def test_a_changed_label_is_no_new_layout() -> None:
    menu = RecordedMenu()
    menu.show((node("Pause"), node("Recent", node("one"))))
    menu.show((node("Resume"), node("Recent", node("one"))))
    assert menu.signals == ["layout", "properties [1]"]


def test_the_same_menu_again_is_silence() -> None:
    menu = RecordedMenu()
    menu.show((node("Pause"),))
    menu.show((node("Pause"),))
    assert menu.signals == ["layout"]


def test_a_new_structure_uses_no_id_again() -> None:
    menu = RecordedMenu()
    menu.show((node("one"), node("two")))
    before = set(menu._rows) - {0}
    menu.show((node("one"),))
    assert menu.signals == ["layout", "layout"]
    assert before.isdisjoint(set(menu._rows) - {0})
