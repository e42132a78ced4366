"""Launch at login from the command line: on, off, and what the system itself says of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from panotti_daemon.cli.ask import JSON, ask, print_json
from panotti_daemon.errors import NotRunning
from panotti_daemon.paths import Paths

if TYPE_CHECKING:
    from panotti_daemon.desktop.autostart import Autostart, AutostartStatus


def register(app: typer.Typer) -> None:
    app.add_typer(autostart, name="autostart")


autostart = typer.Typer(help="Start Panotti at login.", no_args_is_help=True)


@autostart.command()
def enable(now: bool = typer.Option(False, "--now", help="Start it now, too.")) -> None:
    """Start Panotti at every login. Repairs what an upgrade or a move has broken."""
    here = _here()
    here.enable()
    typer.echo(f"Panotti will start at login ({here.status().means}).")
    running = _running()
    if running:
        typer.echo(f"It is running already, as process {running}.")
    elif now:
        here.start()
        typer.echo("It was started.")
    else:
        typer.echo("It was not started now: `panotti autostart enable --now` does that.")


@autostart.command()
def disable() -> None:
    """Start it at login no more. What runs goes on: `panotti stop` ends it."""
    _here().disable()
    typer.echo("Panotti will not start at login.")


@autostart.command()
def status(as_json: bool = JSON) -> None:
    """Show whether it starts at login. That is what the system would do, not what was asked for once."""
    found = _here().status()
    if as_json:
        print_json(asdict(found))
        return
    typer.echo(_sentence(found))
    for entry in found.entries:
        reason = f": {entry.reason}" if entry.reason else ""
        typer.echo(f"  {entry.starts}: {entry.state}{reason} ({entry.where})")


def _sentence(found: AutostartStatus) -> str:
    from panotti_daemon.desktop.autostart import State

    match found.state:
        case State.ENABLED:
            return f"Panotti starts at login ({found.means})."
        case State.DISABLED:
            return "Panotti does not start at login. `panotti autostart enable` changes that."
        case State.DISABLED_BY_USER:
            return "Panotti does not start at login: it was turned off. `panotti autostart enable` turns it on."
        case State.STALE:
            return "Panotti does not start at login as it should. `panotti autostart enable` repairs it."


def _here() -> Autostart:
    from panotti_daemon.desktop.autostart import autostart_here
    from panotti_daemon.settings import load

    return autostart_here(tray=load(Paths.from_environment()).tray.enabled is not False)


def _running() -> int | None:
    """The daemon's process."""
    try:
        return ask(lambda client: client.status()).pid
    except NotRunning:
        return None
