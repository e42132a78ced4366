"""Recordings from the command line: list, explain, retry, now, cancel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from panotti_daemon.choices import FileState
from panotti_daemon.cli.ask import JSON, absolute, ask, counted, print_json
from panotti_daemon.errors import PanottiError

if TYPE_CHECKING:
    from panotti_daemon.client import Client

NOTHING = "Nothing is under way for it"


def register(app: typer.Typer) -> None:
    for command in (recordings, explain, retry, now, cancel):
        app.command()(command)


def recordings(
    state: FileState = typer.Option(None, help="Only those in this state."),
    limit: int = typer.Option(50, min=1, max=1000),
    as_json: bool = JSON,
) -> None:
    """List files, each with its state and why. The last changed come first."""
    page = ask(lambda client: client.ledger(state=state, limit=limit))
    if as_json:
        print_json(page)
        return
    for entry in page.items:
        typer.echo(f"{entry.state.value:<12} {entry.path}: {entry.reason}")
    if page.total > len(page.items):
        typer.echo(f"{len(page.items)} of {page.total}; --limit shows more.")
    elif not page.items:
        typer.echo("None.")


def explain(path: Path, as_json: bool = JSON) -> None:
    """Say what happened to a file, and why."""
    entry = ask(lambda client: client.explain(absolute(path)))
    if as_json:
        print_json(entry)
        return
    typer.echo(f"{entry.state.value}: {entry.reason}")
    if entry.incomplete:
        typer.echo("It is incomplete: less is there than its header promises.")
    if not entry.present:
        typer.echo("The file itself is gone from its folder.")


def retry(
    path: Path = typer.Argument(
        None, help="A file; without one, everything that failed or waits for something outside."
    ),
) -> None:
    """Try again what failed, waits or was cancelled."""
    if path is None:
        changed = ask(lambda client: client.retry_failed())
    else:
        changed = ask(lambda client: client.retry_file(absolute(path)))
    tried = f"{counted(changed.count, 'recording')} tried again."
    typer.echo(tried if changed.count else "There is nothing to try again.")


def now(path: Path) -> None:
    """Transcribe this file next, before everything that waits."""
    changed = ask(lambda client: client.transcribe_file_now(absolute(path)))
    typer.echo("It is next." if changed.count else "There is nothing left to do for it; `panotti explain` says why.")


def cancel(path: Path) -> None:
    """End what is under way for this file. `panotti retry` takes it up again."""

    async def cancelled(client: Client) -> int:
        entry = await client.explain(absolute(path))
        if entry.recording_id is None:
            raise PanottiError(f"{entry.reason}.", title=NOTHING)
        return (await client.cancel_recording(entry.recording_id)).count

    typer.echo("Cancelled." if ask(cancelled) else f"{NOTHING}.")
