"""The models on this machine: list, remove. Needs no running daemon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from panotti_daemon.cli.ask import JSON, confirm, megabytes, print_json
from panotti_daemon.errors import PanottiError
from panotti_daemon.paths import Paths

if TYPE_CHECKING:
    from panotti_daemon.engine.downloaded import DownloadedModel


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="The models on this machine.", no_args_is_help=True)
    for command in (list_, remove):
        group.command(name=command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="models")


def list_(as_json: bool = JSON) -> None:
    """List the models on this machine, the best first."""
    from panotti_daemon.engine.model_store import local_models

    ours = _downloaded()
    found = local_models(Paths.from_environment().models)
    if as_json:
        print_json([_facts(model.name, model.path, ours.get(model.path)) for model in found])
        return
    for model in found:
        typer.echo(f"{model.name:<20} {_told(ours.get(model.path), model.path)}")
    if not found:
        typer.echo("None. The first transcription downloads one.")


def remove(
    name: str = typer.Argument(..., help="As `panotti models list` has it."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Remove a model that Panotti downloaded."""
    from panotti_daemon.engine.downloaded import remove

    model = next((model for model in _downloaded().values() if model.name == name), None)
    if model is None:
        raise PanottiError("`panotti models list` shows those that there are.", title=f"Panotti downloaded no {name}")
    confirm(f"Remove {model.path}, {megabytes(model.size)}? It can be downloaded again.", yes=yes)
    try:
        remove(model)
    except OSError as error:
        raise PanottiError(f"{error.filename}: {error.strerror}.", title=f"{name} cannot be removed") from None
    typer.echo(f"{megabytes(model.size)} freed.")


def _downloaded() -> dict[Path, DownloadedModel]:
    from panotti_daemon.engine.downloaded import downloaded

    return {model.path: model for model in downloaded(Paths.from_environment().models)}


def _told(model: DownloadedModel | None, path: Path) -> str:
    if model is None:
        return f"in {path}, not downloaded by Panotti"
    return f"{megabytes(model.size)}, last used on {model.last_used.astimezone():%Y-%m-%d}"


def _facts(name: str, path: Path, model: DownloadedModel | None) -> dict[str, object]:
    ours = {"bytes": model.size, "last_used": model.last_used.isoformat()} if model else {}
    return {"name": name, "path": str(path), "downloaded": model is not None, **ours}
