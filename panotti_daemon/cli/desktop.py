"""“Transcribe with Panotti” in file managers: installed and removed, and what it does."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from panotti_daemon.cli.ask import JSON, print_json
from panotti_daemon.errors import PanottiError
from panotti_daemon.paths import Paths

if TYPE_CHECKING:
    from panotti_daemon.desktop.open_with import OpenWith


def register(app: typer.Typer) -> None:
    app.add_typer(desktop, name="desktop")


desktop = typer.Typer(help="“Transcribe with Panotti” in file managers.", no_args_is_help=True)


@desktop.command()
def install() -> None:
    """Put “Transcribe with Panotti” into the menus of file managers. Repairs what an upgrade or a move has broken."""
    here = _here()
    here.install()
    typer.echo(f"File managers offer “Transcribe with Panotti” for audio and video files ({here.entry}).")


@desktop.command()
def remove() -> None:
    """Take it out again."""
    _here().remove()
    typer.echo("File managers do not offer it any more.")


@desktop.command()
def status(as_json: bool = JSON) -> None:
    """Show whether file managers offer it."""
    found = _here().status()
    if as_json:
        print_json(asdict(found))
        return
    reason = f": {found.reason}; `panotti desktop install` repairs it" if found.reason else ""
    typer.echo(f"Transcribe with Panotti: {found.state}{reason} ({found.where})")


@desktop.command()
def transcribe(files: list[str] = typer.Argument(..., help="Files from anywhere.")) -> None:
    """Transcribe files before all others. Starts the daemon where needed."""
    import asyncio

    from panotti_daemon.desktop import opened

    absolute = [os.path.abspath(file) for file in files]  # noqa: PTH100 pathlib leaves every `..` in it

    async def hand_over() -> opened.Opened:
        try:
            outcome = await opened.transcribe(Paths.from_environment(), absolute)
            await opened.show(outcome)
        except PanottiError as error:
            await opened.tell(error.title, error.message)
            raise
        return outcome

    outcome = asyncio.run(hand_over())
    if outcome.words:
        typer.echo("\n".join(outcome.words))
    if outcome.refused:
        raise typer.Exit(1)


def _here() -> OpenWith:
    if sys.platform != "linux":
        raise PanottiError(
            "On macOS and Windows its installer does that: see packaging/ in the source.", title="Nothing was changed"
        )
    from panotti_daemon.desktop.autostart import Launch
    from panotti_daemon.desktop.open_with import OpenWith

    return OpenWith(Launch.of_this_installation(os.environ), os.environ)
