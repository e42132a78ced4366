"""What the desktop offers: a place for the icon, a notification server, and a login that starts programs."""

from __future__ import annotations

import asyncio
import os
import sys

from panotti_daemon.desktop.autostart import Launch, State, autostart_here
from panotti_daemon.desktop.open_with import OpenWith
from panotti_daemon.desktop.tray import tray_possible
from panotti_daemon.doctor.finding import Finding
from panotti_daemon.errors import PanottiError

BUS_SECONDS = 3.0


async def tray() -> Finding:
    if reason := tray_possible(os.environ):
        return Finding("tray", False, reason, "Log in to a desktop session; without one everything else works.")
    if sys.platform == "linux" and not await _has_owner("org.kde.StatusNotifierWatcher"):
        return Finding(
            "tray",
            False,
            "this desktop shows no tray icons by itself",
            "On GNOME: sudo apt install gnome-shell-extension-appindicator, then log in again.",
        )
    return Finding("tray", True, "there is a place for the icon")


async def notifications() -> Finding:
    if sys.platform != "linux":
        return Finding("notifications", True, "the system's own")
    if await _has_owner("org.freedesktop.Notifications"):
        return Finding("notifications", True, "a notification server is running")
    return Finding(
        "notifications",
        False,
        "no notification server answers",
        "Inside a desktop session: sudo apt install dunst, then log in again.",
    )


def autostart() -> Finding:
    try:
        found = autostart_here().status()
    except (PanottiError, OSError) as error:
        return Finding("login", False, f"what starts at login cannot be seen: {error}", "panotti autostart status")
    match found.state:
        case State.ENABLED:
            return Finding("login", True, f"Panotti starts at login ({found.means})")
        case State.STALE:
            return Finding("login", False, "; ".join(found.reasons), "panotti autostart enable")
        case _:
            return Finding("login", True, "Panotti does not start at login; `panotti autostart enable` changes that")


def open_with() -> Finding:
    """“Transcribe with Panotti”, on Linux."""
    try:
        found = OpenWith(Launch.of_this_installation(os.environ), os.environ).status()
    except PanottiError as error:
        return Finding("open with", False, error.message, "panotti desktop status")
    match found.state:
        case State.STALE:
            reason = f"the entry for file managers is stale: {found.reason}"
            return Finding("open with", False, reason, "panotti desktop install")
        case State.ENABLED:
            return Finding("open with", True, "file managers offer “Transcribe with Panotti”")
        case _:
            return Finding("open with", True, "not installed; `panotti desktop install` offers it in file managers")


async def _has_owner(name: str) -> bool:
    """Whether somebody on the session bus has this name, or would be started for it."""
    try:
        async with asyncio.timeout(BUS_SECONDS):
            return name in await _names_on_bus()
    except Exception:  # no bus, or one that does not answer: dbus-fast raises whatever it stumbled over
        return False


async def _names_on_bus() -> set[str]:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

    bus = await MessageBus().connect()
    try:
        found = set[str]()
        for member in ("ListNames", "ListActivatableNames"):
            reply = await bus.call(
                Message(
                    destination="org.freedesktop.DBus",
                    path="/org/freedesktop/DBus",
                    interface="org.freedesktop.DBus",
                    member=member,
                )
            )
            found.update(reply.body[0] if reply and reply.body else ())
        return found
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
