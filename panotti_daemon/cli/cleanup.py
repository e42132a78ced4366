"""`panotti cleanup`: what the plugin cleanup_files would do with finished recordings, has done, and can take back."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from panotti_daemon.cli.ask import JSON, ask, confirm, counted, print_json
from panotti_daemon.errors import PanottiError, RequestFailed
from panotti_daemon.sizes import shown_size

if TYPE_CHECKING:
    from panotti_daemon.client import Client

PLUGIN = "cleanup_files"
OFF = "Cleanup is switched off"
DELETE = "delete"
EARLIER = typer.Option(
    False, "--include-earlier", help="Also what was finished before cleanup was switched on, or was taken back."
)

group = typer.Typer(help="Keep finished recordings from filling the disk.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="cleanup")


@group.command()
def plan(include_earlier: bool = EARLIER, as_json: bool = JSON) -> None:
    """Show what would be done now, what is left alone, and why. Changes nothing."""
    found = _ask("plan", include_earlier=include_earlier)
    if as_json:
        print_json(found)
        return
    for due in found["due"]:
        typer.echo(f"{_action(due['action']):<8} {due['path']}: {due['why']}")
    _echo_left(found["left"])
    size = sum(due["size"] for due in found["due"])
    typer.echo(f"{counted(len(found['due']), 'file')}, {shown_size(size)}, would be cleaned up.")


@group.command()
def run(
    include_earlier: bool = EARLIER,
    yes: bool = typer.Option(False, "--yes", "-y", help="Delete without asking."),
    as_json: bool = JSON,
) -> None:
    """Do now what is due, as it is done every hour."""
    due = _ask("plan", include_earlier=include_earlier)["due"]
    deleted = [one for one in due if one["action"] == DELETE]
    if deleted:
        confirm(f"{counted(len(deleted), 'file')} would be deleted, which is irreversible. Go on?", yes=yes)
    done = _ask("run", include_earlier=include_earlier)
    if as_json:
        print_json(done)
        return
    for one in done["done"]:
        typer.echo(f"{_action(one['action']):<8} {one['path']}{_whither(one)}")
    _echo_left(done["refused"], "not done")
    typer.echo(f"{counted(len(done['done']), 'file')} cleaned up.")
    if any(one["action"] != DELETE for one in done["done"]):
        typer.echo("`panotti cleanup undo` takes it back.")


@group.command()
def undo(
    what: str = typer.Argument(
        None, metavar="[NUMBER|PATH]", help="An entry of the journal, or a file; without one, the last time as a whole."
    ),
    as_json: bool = JSON,
) -> None:
    """Put recordings back where they were. What was deleted cannot be."""
    undone = _ask("undo", what=_meant(what))
    if as_json:
        print_json(undone)
    else:
        for one in undone["done"]:
            typer.echo(f"back     {one['restored']}")
        _echo_left(undone["refused"], "not done")
    if undone["refused"]:
        raise typer.Exit(1)


@group.command()
def journal(limit: int = typer.Option(50, min=1), as_json: bool = JSON) -> None:
    """List what was done, the last first."""
    entries = _ask("journal", limit=limit)["entries"][::-1]
    if as_json:
        print_json(entries)
        return
    for one in entries:
        at = datetime.fromisoformat(one["at"]).astimezone()
        state = "" if one["step"] == "done" else f" ({one['step']})"
        typer.echo(
            f"{one['number']:>5} {at:%Y-%m-%d %H:%M} {_action(one['action'])} {one['path']}{_whither(one)}{state}"
        )
    if not entries:
        typer.echo("Nothing was done yet.")


def _ask(action: str, **arguments: Any) -> Any:
    async def asked(client: Client) -> Any:
        try:
            return await client.act(PLUGIN, action, arguments)
        except RequestFailed as error:
            if (await client.plugin(PLUGIN)).state == "disabled":
                raise PanottiError(f"`panotti plugins enable {PLUGIN}` switches it on.", title=OFF) from error
            raise

    return ask(asked)


def _meant(what: str | None) -> str | None:
    """A number as it is, a path in full: it may be that of a file that is gone, or of one in the trash."""
    return what if what is None or what.isdecimal() else os.path.abspath(Path(what).expanduser())  # noqa: PTH100


def _action(action: str) -> str:
    return "delete (irreversible)" if action == DELETE else action


def _whither(one: dict[str, Any]) -> str:
    places = [one["archived"], one["trashed"] and f"the trash ({one['trashed']})"]
    return "".join(f" -> {place}" for place in places if place)


def _echo_left(left: list[dict[str, str]], word: str = "stays") -> None:
    for one in left:
        typer.echo(f"{word:<8} {one['path']}: {one['reason']}")
