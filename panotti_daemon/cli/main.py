"""The command `panotti`: one module for each group of commands, and one place where errors become a line."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import typer

from panotti_daemon import __version__
from panotti_daemon.cli import (
    autostart,
    cleanup,
    config,
    daemon,
    desktop,
    doctor,
    events,
    forget,
    models,
    opening,
    plugin_kit,
    plugins,
    recordings,
    remote,
    transcribe,
)
from panotti_daemon.errors import AlreadyRunning, PanottiError

FAILED = 1
ALREADY_RUNNING = 3

app = typer.Typer(
    name="panotti",
    help="Drop a recording into a folder; its transcript appears. All of it on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    daemon,
    transcribe,
    recordings,
    opening,
    forget,
    cleanup,
    events,
    models,
    remote,
    plugins,
    plugin_kit,
    config,
    autostart,
    desktop,
    doctor,
):
    module.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"panotti {__version__}")
        raise typer.Exit


@app.callback()
def panotti(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    home: Path = typer.Option(None, "--home", help="Keep everything under this folder, as PANOTTI_HOME does."),
) -> None:
    if home:
        os.environ["PANOTTI_HOME"] = str(home)


def run() -> None:
    """Errors of ours are one line that says what to do, exit status 1; wrong usage is 2."""
    try:
        app()
    except AlreadyRunning as error:
        _complain(error)
        sys.exit(ALREADY_RUNNING)
    except PanottiError as error:
        _complain(error)
        sys.exit(FAILED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _complain(PanottiError(f"{error.strerror}. Make room, and try again.", title="Something could not be written"))
        sys.exit(FAILED)


def _complain(error: PanottiError) -> None:
    typer.echo(f"{error.title}: {error.message}", err=True)
