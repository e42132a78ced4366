"""The models: list, pull, use, verify, remove. Needs no running daemon; one that runs is told which model to use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from panotti_daemon.cli.ask import JSON, ask, confirm, print_json
from panotti_daemon.errors import ModelUnavailable, NotRunning, PanottiError
from panotti_daemon.paths import Paths
from panotti_daemon.sizes import shown_size

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from panotti_daemon.api.model_schemas import ListedModel, ModelInventory, ModelUse
    from panotti_daemon.engine.models.store import ResolvedModel

OnFraction = Callable[[float], None]

NAME = typer.Argument(..., help="As `panotti models list` has it, or the id of a Hugging Face repository.")


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="The models that turn speech into text.", no_args_is_help=True)
    for command in (list_, pull, use, verify, remove):
        group.command(name=command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="models")


def list_(as_json: bool = JSON) -> None:
    """List all models, the best first, and say which are used and why."""
    inventory = _inventory()
    if as_json:
        print_json(inventory)
        return
    used = {use.model for use in inventory.uses}
    for model in inventory.models:
        mark = "*" if model.name in used else " "
        languages = "English" if model.english_only else "99 languages"
        size = shown_size(model.size) if model.size else ""
        typer.echo(f"{mark} {model.name:<20} {size:>8}  {languages:<13} {_whereabouts(model)}".rstrip())
    typer.echo(f"\nengine.model is {inventory.setting} ({inventory.origin or 'the default'}).")
    for meaning in inventory.uses:
        typer.echo(f"{_concerned(meaning, inventory)}{_meaning(meaning)}")
        for warning in meaning.warnings:
            typer.echo(f"  {warning}")
    typer.echo(f"This machine: {inventory.machine}.")


def pull(name: str = NAME) -> None:
    """Download a model, or fetch a damaged one anew. Broken off, it goes on from there the next time."""
    from panotti_daemon.engine.models.damage import note_whole
    from panotti_daemon.engine.models.store import pull

    paths = Paths.from_environment()
    paths.create()  # before the model is, or the folder of all data would be open to others
    models = paths.models
    with _progress_bar(f"Downloading {name}") as report:
        try:
            model = pull(name, models, lambda _name, fraction: report(fraction or 0.0))
        except ModelUnavailable as error:
            raise PanottiError(error.message, title="The download failed") from None
    note_whole(model.path, models)
    typer.echo(f"{model.name} is in {model.path}; every checksum is right.")


def use(
    name: str = typer.Argument(None, metavar="NAME", help="As `panotti models list` has it, a path, or `auto`."),
    unset: bool = typer.Option(False, "--unset", help="Take the choice back: what config.yaml says holds again."),
) -> None:
    """Choose the model for all folders that name none. Takes effect at once."""
    if (name is None) is not unset:
        raise typer.BadParameter("Name a model, or say --unset.")
    try:
        inventory = ask(lambda client: client.use_model(name))
    except NotRunning:
        from panotti_daemon.engine.models.manager import use

        use(Paths.from_environment(), name)
        inventory = _inventory()
    typer.echo(f"engine.model is {inventory.setting} ({inventory.origin or 'the default'}).")
    for meaning in inventory.uses:
        if meaning.setting != inventory.setting:
            typer.echo(f"{', '.join(meaning.folders)} names a model of its own: {meaning.setting}.")
        elif meaning.model is None:
            is_here = any(model.name == meaning.setting and model.path for model in inventory.models)
            later = "" if is_here else ". It is downloaded when it is first needed, or now by `panotti models pull`"
            typer.echo(f"{meaning.why}{later}.")
        elif inventory.setting == "auto":
            typer.echo(_meaning(meaning))


def verify(
    name: str = typer.Argument(None, help="One of those that are here; without it, all."), as_json: bool = JSON
) -> None:
    """Compare a model's files with their published checksums."""
    from panotti_daemon.engine.models.checksums import Verdict, Verification
    from panotti_daemon.engine.models.checksums import verify as verify_folder
    from panotti_daemon.engine.models.damage import known_damage, note_damage, note_whole

    models = Paths.from_environment().models
    found = []
    for model in _here(name, models):
        size = sum(file.stat().st_size for file in model.path.iterdir() if file.is_file())
        with _progress_bar(f"Verifying {model.name}") as report:
            result = verify_folder(model.path, _counting(report, size))
        if result.verdict is Verdict.DAMAGED:
            note_damage(model.path, models, result.reason)
        elif result.verdict is Verdict.WHOLE:
            note_whole(model.path, models)
        elif noted := known_damage(model.path, models):
            result = Verification(Verdict.DAMAGED, noted)
        found.append((model, result))
    if as_json:
        print_json(
            [
                {"name": model.name, "path": str(model.path), "verdict": result.verdict, "reason": result.reason}
                for model, result in found
            ]
        )
    for model, result in found if not as_json else []:
        typer.echo(f"{model.name:<20} {result.verdict:<8} {_told(model, result.verdict, result.reason)}")
    if any(result.verdict is Verdict.DAMAGED for _, result in found):
        raise typer.Exit(1)


def remove(
    name: str = typer.Argument(..., help="As `panotti models list` has it."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Remove a model that Panotti downloaded."""
    from panotti_daemon.engine.models.downloaded import downloaded, remove

    found = downloaded(Paths.from_environment().models)
    model = next((model for model in found if model.name == name), None)
    if model is None:
        raise PanottiError("`panotti models list` shows those that there are.", title=f"Panotti downloaded no {name}")
    confirm(f"Remove {model.path}, {shown_size(model.size)}? It can be downloaded again.", yes=yes)
    try:
        remove(model)
    except OSError as error:
        raise PanottiError(f"{error.filename}: {error.strerror}.", title=f"{name} cannot be removed") from None
    typer.echo(f"{shown_size(model.size)} freed.")


def _inventory() -> ModelInventory:
    from panotti_daemon.api.model_schemas import ModelInventory
    from panotti_daemon.engine.models.manager import inventory

    return ModelInventory.model_validate(inventory(Paths.from_environment()))


def _here(name: str | None, models: Path) -> list[ResolvedModel]:
    from panotti_daemon.engine.models.store import canonical, damaged_models, local_models

    found = [*local_models(models), *(model for model, _ in damaged_models(models))]
    if name is None:
        return found
    wanted = [model for model in found if model.name == canonical(name)]
    if not wanted:
        raise PanottiError(
            "`panotti models list` shows those that there are.", title=f"The model {name} is not on this machine"
        )
    return wanted


def _whereabouts(model: ListedModel) -> str:
    if model.damage:
        return f"damaged: {model.damage}"
    if model.last_used:
        return f"last used on {model.last_used.astimezone():%Y-%m-%d}, in {model.path}"
    brought = {"cache": "by another tool, ", "starter": "by a package, "}.get(model.source or "", "")
    return f"{brought}in {model.path}" if model.path else "not here"


def _concerned(meaning: ModelUse, inventory: ModelInventory) -> str:
    return "" if len(inventory.uses) == 1 else f"{', '.join(meaning.folders)}: "


def _meaning(meaning: ModelUse) -> str:
    spoken = "" if meaning.language == "auto" else f" for the language {meaning.language}"
    spoken += " to translate" if meaning.translate else ""
    if meaning.model is None:
        return f"{meaning.setting}{spoken}: {meaning.why}."
    return f"{meaning.setting}{spoken} means {meaning.model}: it {meaning.why}."


def _told(model: ResolvedModel, verdict: str, reason: str) -> str:
    from panotti_daemon.engine.models.store import mending

    return {
        "whole": "every checksum is right",
        "damaged": f"{reason}: {mending(model)}",
        "unknown": "nobody knows its checksums",
    }[verdict]


def _counting(report: OnFraction, size: int) -> Callable[[int], None]:
    read = 0

    def count(number: int) -> None:
        nonlocal read
        read += number
        report(read / size)

    return count


@contextmanager
def _progress_bar(title: str) -> Iterator[OnFraction]:
    """On stderr, and only on a terminal."""
    import sys

    if not sys.stderr.isatty():
        yield lambda fraction: None
        return
    from rich import progress as bars
    from rich.console import Console
    from rich.markup import escape

    columns: tuple[ProgressColumn, ...] = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(title), total=1.0)
        yield lambda fraction: bar.update(task, completed=fraction)
