"""`panotti open`: what the user wants to see, in the program that the desktop has for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from panotti_daemon.cli.ask import absolute, ask
from panotti_daemon.errors import PanottiError
from panotti_daemon.paths import Paths

if TYPE_CHECKING:
    from panotti_daemon.client import Client

NOTHING = "There is nothing to open"


def register(app: typer.Typer) -> None:
    app.command("open")(open_)


def open_(
    path: Path = typer.Argument(None, help="A recording, whose transcript is opened; without one, all transcripts."),
    folder: bool = typer.Option(False, "--folder", help="Show it in its folder instead."),
) -> None:
    """Open a recording's transcript, or the folder of transcripts."""
    import asyncio

    from panotti_daemon.desktop.opening import Opener

    target = ask(lambda client: _transcript(client, absolute(path))) if path else _transcripts()
    opener = Opener()
    try:
        asyncio.run(opener.show_in_folder(target) if folder else opener.open(target))
    except OSError as error:
        raise PanottiError(f"{target} cannot be opened: {error.strerror}.", title=NOTHING) from error
    typer.echo(f"Opening {target.parent if folder else target}")


async def _transcript(client: Client, path: str) -> Path:
    from panotti_daemon.desktop.opening import transcript_of

    entry = await client.explain(path)
    if transcript := await transcript_of(client, entry):
        return transcript
    raise PanottiError(f"{path} has no transcript: {entry.state.value}: {entry.reason}.", title=NOTHING)


def _transcripts() -> Path:
    """Those of the folder that is watched first. Raises PanottiError where there are none yet."""
    from panotti_daemon.settings import load

    first = load(Paths.from_environment()).watch[0]
    folder = first.path if first.output in ("beside", None) else Path(first.output)
    if not os.path.exists(folder):  # noqa: PTH110 pathlib raises where it may not look
        coming = f"The first transcript makes it: drop a recording into {first.path} while `panotti run` runs."
        raise PanottiError(f"{folder} is not there. {coming}", title=NOTHING)
    return folder
