"""`panotti doctor`: what is missing for folders, model, tray and notifications, and the one command that mends it."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from panotti_daemon.cli.ask import JSON, print_json
from panotti_daemon.errors import NotRunning, PanottiError, SettingsError
from panotti_daemon.paths import Paths
from panotti_daemon.settings import Settings, load

BUS_SECONDS = 3.0


@dataclass(frozen=True)
class Finding:
    name: str
    ok: bool
    message: str
    remedy: str | None = None


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(as_json: bool = JSON) -> None:
    """Check what Panotti needs; exit status 1 if something is missing."""
    findings = list(_findings(Paths.from_environment()))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    for finding in findings if not as_json else []:
        typer.echo(f"{'✓' if finding.ok else '✗'} {finding.name}: {finding.message}")
        if finding.remedy:
            typer.echo(f"    {finding.remedy}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _findings(paths: Paths) -> Iterator[Finding]:
    try:
        settings = load(paths)
    except SettingsError as error:
        yield Finding("settings", False, error.message, f"Edit {paths.config_file}")
        return
    yield Finding("settings", True, f"{paths.config_file}" if paths.config_file.exists() else "all defaults")
    yield from _folders(settings, paths)
    yield _model(settings, paths)
    yield _tray()
    yield _notifications()
    yield _daemon(paths)


def _folders(settings: Settings, paths: Paths) -> Iterator[Finding]:
    for folder in settings.watch:
        if folder.path.is_dir():
            readable = os.access(folder.path, os.R_OK | os.X_OK)
            remedy = None if readable else f"chmod u+rx '{folder.path}'"
            yield Finding("recordings", readable, str(folder.path), remedy)
        elif folder.path == paths.recordings:
            yield Finding("recordings", True, f"{folder.path} will be made at the first `panotti run`")
        else:
            yield Finding("recordings", False, f"{folder.path} is not there", f"mkdir -p '{folder.path}'")
        if isinstance(folder.output, Path):
            yield _writable(folder.output)


def _writable(folder: Path) -> Finding:
    if not folder.exists():
        return Finding("transcripts", True, f"{folder} will be made at the next `panotti run`")
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Finding("transcripts", True, str(folder))
    except OSError as error:
        return Finding("transcripts", False, f"{folder} cannot be written: {error.strerror}", f"chmod u+rwx '{folder}'")


def _model(settings: Settings, paths: Paths) -> Finding:
    from panotti_daemon.engine.model_store import resolve

    try:
        model = resolve(settings.engine.model, paths.models, download=False)
    except PanottiError as error:
        return Finding("model", False, error.message, "pip install 'panotti-daemon[starter]'")
    return Finding("model", True, f"{model.name} in {model.path}")


def _tray() -> Finding:
    from panotti_daemon.desktop.tray import tray_possible

    if reason := tray_possible(os.environ):
        return Finding("tray", False, reason, "Log in to a desktop session; without one everything else works.")
    if sys.platform == "linux" and not asyncio.run(_has_owner("org.kde.StatusNotifierWatcher")):
        return Finding(
            "tray",
            False,
            "this desktop shows no tray icons by itself",
            "On GNOME: sudo apt install gnome-shell-extension-appindicator, then log in again.",
        )
    return Finding("tray", True, "there is a place for the icon")


def _notifications() -> Finding:
    if sys.platform != "linux":
        return Finding("notifications", True, "the system's own")
    if asyncio.run(_has_owner("org.freedesktop.Notifications")):
        return Finding("notifications", True, "a notification server is running")
    return Finding(
        "notifications",
        False,
        "no notification server answers",
        "Inside a desktop session: sudo apt install dunst, then log in again.",
    )


async def _has_owner(name: str) -> bool:
    """Whether somebody on the session bus has this name, or would be started for it."""
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

    try:
        async with asyncio.timeout(BUS_SECONDS):
            bus = await MessageBus().connect()
    except Exception:  # no bus: dbus-fast raises whatever it stumbled over
        return False
    try:
        for member in ("ListNames", "ListActivatableNames"):
            reply = await bus.call(
                Message(
                    destination="org.freedesktop.DBus",
                    path="/org/freedesktop/DBus",
                    interface="org.freedesktop.DBus",
                    member=member,
                )
            )
            if reply and reply.body and name in reply.body[0]:
                return True
        return False
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


def _daemon(paths: Paths) -> Finding:
    from panotti_daemon.cli.ask import ask

    try:
        status = ask(lambda client: client.status())
    except NotRunning:
        return Finding("daemon", True, "not running; `panotti run` starts it")
    except PanottiError as error:
        return Finding("daemon", False, error.message, f"Look into {paths.log_file}")
    return Finding("daemon", not status.problems, "; ".join(status.problems) or f"running at {status.url}")
