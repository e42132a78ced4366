"""The daemon from the command line: run, stop, status, tray, pause, resume, backlog."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from panotti_daemon.cli.ask import JSON, absolute, ask, counted, print_json
from panotti_daemon.errors import PanottiError
from panotti_daemon.paths import Paths

if TYPE_CHECKING:
    from panotti_daemon.app import Daemon
    from panotti_daemon.settings import Settings, WatchFolder

STOP_SECONDS = 10.0
LOOK_SECONDS = 1.0
LONGEST_PAUSE_MINUTES = 366 * 24 * 60
NO_BACKLOG = "No files wait for a yes."


def register(app: typer.Typer) -> None:
    for command in (run, stop, status, tray, pause, resume, backlog):
        app.command()(command)


def run(
    watch: list[Path] = typer.Option([], "--watch", "-w", help="Watch this folder instead of those in the settings."),
    output: Path = typer.Option(None, "--output", "-o", help="Where the transcripts of --watch go."),
    port: int = typer.Option(None, help="The port of the API; 0: any free one."),
    no_tray: bool = typer.Option(False, "--no-tray", help="Start no tray icon."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log to the terminal, too."),
) -> None:
    """Start the daemon, and stay until it is stopped."""
    import asyncio

    from panotti_daemon.cli.first_run import welcome

    _import_structlog_alone()
    from panotti_daemon import logs
    from panotti_daemon.app import Daemon
    from panotti_daemon.clock import SystemClock
    from panotti_daemon.desktop.instance import only_instance, withdraw
    from panotti_daemon.process import LEFTOVER_SECONDS, Ending, adopt_children
    from panotti_daemon.settings import load

    paths = Paths.from_environment()
    settings = load(paths, _flags(watch, output, port, no_tray=no_tray, verbose=verbose))
    paths.create()
    with only_instance(paths):
        logs.configure(settings.log, paths.log_file, terminal=verbose)
        adopt_children()
        ending = Ending(at_last=partial(withdraw, paths.runtime_file))
        daemon = Daemon(paths, settings, SystemClock(), ending)
        daemon.notes += welcome(paths)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(daemon.run(_greet))
            ending.within(LEFTOVER_SECONDS)


def _import_structlog_alone() -> None:
    """structlog loads rich wherever it is installed: 5 MB all day, for tracebacks in colour."""
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


def _flags(watch: list[Path], output: Path | None, port: int | None, *, no_tray: bool, verbose: bool) -> dict[str, Any]:
    flags: dict[str, Any] = {}
    if watch:
        folder_output = {"output": absolute(output)} if output else {}
        flags["watch"] = [{"path": absolute(folder), **folder_output} for folder in watch]
    elif output:
        raise typer.BadParameter("--output goes with --watch")
    if port is not None:
        flags["api"] = {"port": port}
    if no_tray:
        flags["tray"] = {"enabled": False}
    if verbose:
        flags["log"] = {"level": "debug"}
    return flags


def _loop_factory() -> Any:
    if sys.platform == "darwin":
        # notifications are delivered by Cocoa's run loop, which must be the main thread's
        from rubicon.objc.eventloop import RubiconEventLoop

        return RubiconEventLoop
    return None


async def _greet(daemon: Daemon) -> None:
    import asyncio

    tray = _start_tray(daemon.paths, daemon.settings)
    folders = await asyncio.gather(*map(_about_folder, daemon.settings.watch))
    with suppress(OSError):  # nobody reads it, which is no reason to end
        _say_ready(daemon, folders, tray)


async def _about_folder(folder: WatchFolder) -> str:
    import asyncio

    from panotti_daemon.core.plugins.blocking import in_own_thread
    from panotti_daemon.intake.watcher import look_at_root

    with suppress(TimeoutError):  # of a drive that hangs, nothing is known
        async with asyncio.timeout(LOOK_SECONDS):
            _, problem = await in_own_thread(lambda: look_at_root(folder.path), "look at folders")
        if problem:
            return f"{folder.path}: {problem.reason}"
    goes = "beside them" if folder.output == "beside" else f"to {folder.output}"
    return f"Drop recordings into {folder.path}; transcripts go {goes}"


def _say_ready(daemon: Daemon, folders: list[str], tray: str) -> None:
    typer.echo("Panotti is running.")
    for line in folders:
        typer.echo(f"  {line}")
    typer.echo(f"  API: {daemon.url} (its token is in {daemon.paths.runtime_file})")
    typer.echo(f"  Tray icon: {tray}")
    for note in daemon.notes:
        typer.echo(f"  {note}")
    if sys.stdout.isatty():
        typer.echo("Ctrl+C ends it.")
    sys.stdout.flush()


def _start_tray(paths: Paths, settings: Settings) -> str:
    if settings.tray.enabled is False:
        return "none, as set"
    from panotti_daemon.desktop.tray import start_detached, tray_possible

    if reason := tray_possible(os.environ):
        return f"none: {reason} Everything else works."
    start_detached(paths)
    return "started"


def stop() -> None:
    """Stop the daemon. What is under way goes on at the next start."""
    pid = ask(lambda client: client.status()).pid
    ask(lambda client: client.shutdown())
    runtime_file = Paths.from_environment().runtime_file
    deadline = time.monotonic() + STOP_SECONDS
    while runtime_file.exists() or _lives(pid):
        if time.monotonic() > deadline:
            raise PanottiError(f"Process {pid} has not ended yet; its log may say why.")
        time.sleep(0.05)
    typer.echo("Panotti has stopped.")


def _lives(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def status(as_json: bool = JSON) -> None:
    """Show what the daemon is at, and what is wrong."""
    found = ask(lambda client: client.status())
    if as_json:
        print_json(found)
        return
    typer.echo(found.summary)
    waiting = found.queue
    parts = [
        (waiting.growing, "arriving"),
        (waiting.ready, "queued"),
        (waiting.waiting, "waiting"),
        (waiting.failed, "failed"),
    ]
    if any(count for count, _ in parts):
        typer.echo("Files: " + ", ".join(f"{count} {what}" for count, what in parts if count))
    for folder in found.folders:
        reason = f" ({folder.reason})" if folder.reason else ""
        typer.echo(f"Folder {folder.path}: {folder.state}{reason}; transcripts: {folder.output}")
    if found.engine.servers:
        typer.echo(f"Recordings are sent to {', '.join(found.engine.servers)}")
    for asked in found.backlog:
        typer.echo(_about(asked.files, asked.folder, asked.estimated_seconds))
    for plugin in found.plugins:
        reason = f" ({plugin.reason})" if plugin.reason else ""
        typer.echo(f"Plugin {plugin.name}: {plugin.state}{reason}")
    for problem in found.problems:
        typer.echo(f"! {problem}")
    typer.echo(f"API {found.url}, process {found.pid}, log {found.log_file}")


def tray() -> None:
    """Show the tray icon beside a daemon that runs, or will."""
    from panotti_daemon.desktop.tray import main

    raise typer.Exit(main(Paths.from_environment()))


def pause(
    minutes: float = typer.Option(
        None, "--for", min=1, max=LONGEST_PAUSE_MINUTES, help="Resume by itself after so many minutes."
    ),
) -> None:
    """Begin no further transcription. What is in the engine's hands waits with it."""
    until = datetime.now().astimezone() + timedelta(minutes=minutes) if minutes else None
    paused = ask(lambda client: client.pause(until))
    typer.echo(f"{paused.summary}." if until else "Paused until `panotti resume`.")


def resume() -> None:
    """End a pause, or go on in spite of battery, load or hours."""
    status = ask(lambda client: client.resume())
    typer.echo(f"Resumed. {status.summary}." if status.pause else "Resumed.")


def backlog(
    yes: bool = typer.Option(False, "--yes", "-y", help="Transcribe them."),
    skip: bool = typer.Option(False, "--skip", help="Leave them alone."),
    folder: Path = typer.Option(None, help="Only of this folder."),
    as_json: bool = JSON,
) -> None:
    """Show the files that were there before Panotti. Say yes or no to them."""
    if yes and skip:
        raise typer.BadParameter("--yes and --skip exclude each other")
    where = absolute(folder) if folder else None
    if yes or skip:
        changed = ask(lambda client: client.decide_backlog(accept=yes, folder=where))
        if as_json:
            print_json(changed)
        else:
            will = "transcribed, newest first" if yes else "left alone"
            typer.echo(f"{counted(changed.count, 'file')} will be {will}." if changed.count else NO_BACKLOG)
        return
    found = [asked for asked in ask(lambda client: client.backlog()) if where in (None, asked.folder)]
    if as_json:
        print_json([asked.model_dump(mode="json") for asked in found])
    elif not found:
        typer.echo(NO_BACKLOG)
    for asked in found if not as_json else []:
        typer.echo(_about(asked.files, asked.folder, asked.estimated_seconds))


def _about(files: int, folder: str, seconds: float) -> str:
    hours = f"{seconds / 3600:.1f} hours" if seconds >= 5400 else f"{max(1, round(seconds / 60))} min"
    return (
        f"{counted(files, 'file')} in {folder} were there before Panotti. Transcribing them would take about {hours}: "
        "`panotti backlog --yes`, or --skip."
    )
