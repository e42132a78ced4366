"""`panotti doctor`: what is missing for folders, model, tray and notifications, and the one command that mends it."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from panotti_daemon.cli.ask import JSON, print_json
from panotti_daemon.errors import NotRunning, PanottiError, SettingsError
from panotti_daemon.paths import Paths, bundled

if TYPE_CHECKING:
    from panotti_daemon.settings import Settings

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
    from panotti_daemon.settings import load

    try:
        settings = load(paths)
    except SettingsError as error:
        yield Finding("settings", False, error.message, f"Edit {paths.config_file}")
    else:
        yield Finding("settings", True, f"{paths.config_file}" if paths.config_file.exists() else "all defaults")
        yield from _folders(settings, paths)
        yield from _models(settings, paths)
    yield _tray()
    yield _notifications()
    yield _daemon(paths)


def _folders(settings: Settings, paths: Paths) -> Iterator[Finding]:
    for folder in settings.watch:
        yield _watched(folder.path, made_at_start=folder.path == paths.recordings)
    outputs = [folder.path if folder.output == "beside" else folder.output for folder in settings.watch]
    for output in dict.fromkeys(output for output in outputs if output):
        yield _writable(output)


def _watched(folder: Path, *, made_at_start: bool) -> Finding:
    quoted = shlex.quote(str(folder))
    if folder.is_dir():
        readable = os.access(folder, os.R_OK | os.X_OK)
        return Finding("recordings", readable, f"{folder}", None if readable else f"chmod u+rx {quoted}")
    if folder.exists():
        return Finding("recordings", False, f"{folder} is not a folder", f"mv {quoted} {quoted}.old")
    if made_at_start:
        return Finding("recordings", True, f"{folder} will be made at the first `panotti run`")
    return Finding("recordings", False, f"{folder} is not there", f"mkdir -p {quoted}")


def _writable(folder: Path) -> Finding:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            later = "" if there == folder else " will be made at the next `panotti run`"
            return Finding("transcripts", True, f"{folder}{later}")
    except NotADirectoryError:
        quoted = shlex.quote(str(there))
        return Finding("transcripts", False, f"{there} is not a folder", f"mv {quoted} {quoted}.old")
    except OSError as error:
        what = f"{there} cannot be written: {error.strerror}"
        return Finding("transcripts", False, what, f"chmod u+rwx {shlex.quote(str(there))}")


def _models(settings: Settings, paths: Paths) -> Iterator[Finding]:
    from panotti_daemon.engine.model_store import resolve

    names = [settings.engine.model if folder.model == "auto" else folder.model for folder in settings.watch]
    for name in dict.fromkeys(names):
        try:
            model = resolve(name, paths.models, download=False)
        except PanottiError as error:
            yield Finding("model", False, error.message, _model_remedy(name, paths))
        else:
            yield Finding("model", True, f"{model.name} in {model.path}")


def _model_remedy(name: str, paths: Paths) -> str:
    from panotti_daemon.engine.model_store import can_be_downloaded

    if name == "auto":
        return "pip install 'panotti-daemon[starter]'"
    if not can_be_downloaded(name):
        return f"Edit {paths.config_file}"
    sample = bundled("resources") / "samples" / "two-voices.wav"
    return f"panotti transcribe --model {shlex.quote(name)} {shlex.quote(str(sample))}"


def _tray() -> Finding:
    from panotti_daemon.desktop.tray import tray_possible

    if reason := tray_possible(os.environ):
        return Finding("tray", False, reason, "Log in to a desktop session; without one everything else works.")
    if sys.platform == "linux" and not _has_owner("org.kde.StatusNotifierWatcher"):
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
    if _has_owner("org.freedesktop.Notifications"):
        return Finding("notifications", True, "a notification server is running")
    return Finding(
        "notifications",
        False,
        "no notification server answers",
        "Inside a desktop session: sudo apt install dunst, then log in again.",
    )


def _has_owner(name: str) -> bool:
    """Whether somebody on the session bus has this name, or would be started for it."""
    import asyncio

    async def names() -> set[str]:
        async with asyncio.timeout(BUS_SECONDS):
            return await _names_on_bus()

    try:
        return name in asyncio.run(names())
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


def _daemon(paths: Paths) -> Finding:
    from panotti_daemon.cli.ask import ask

    try:
        status = ask(lambda client: client.status())
    except NotRunning:
        return Finding("daemon", True, "not running; `panotti run` starts it")
    except PanottiError as error:
        return Finding("daemon", False, error.message, f"Look into {paths.log_file}")
    return Finding("daemon", not status.problems, "; ".join(status.problems) or f"running at {status.url}")
