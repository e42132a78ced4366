"""The servers that recordings may be sent to: their keys. All else about them stands in the settings."""

from __future__ import annotations

import typer

from panotti_daemon.cli.ask import ask, typed_secret


def register(app: typer.Typer) -> None:
    app.add_typer(remote, name="remote")


remote = typer.Typer(help="The servers of `engine.remote`, if you have any.", no_args_is_help=True)


@remote.callback()
def _group() -> None:
    """Or typer would take the only command for the group."""


@remote.command()
def key(
    name: str = typer.Argument(..., help="As `key` of a server in the settings."),
    unset: bool = typer.Option(False, "--unset", help="Remove it."),
) -> None:
    """Keep a server's key in the keyring. Asks for it, or reads it from stdin."""
    if unset:
        ask(lambda client: client.remove_server_key(name))
        typer.echo(f"The key {name} is removed.")
        return
    value = typed_secret(name)
    ask(lambda client: client.keep_server_key(name, value))
    typer.echo(f"The key {name} is kept.")
