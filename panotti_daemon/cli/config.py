"""The settings from the command line: where they are, and what holds now."""

from __future__ import annotations

import typer

from panotti_daemon.cli.ask import JSON, print_json
from panotti_daemon.paths import Paths, bundled


def register(app: typer.Typer) -> None:
    app.add_typer(config, name="config")


config = typer.Typer(help="Show and check the settings.", no_args_is_help=True)


@config.command()
def path() -> None:
    """Print where config.yaml belongs; it need not exist."""
    typer.echo(Paths.from_environment().config_file)


@config.command()
def show(as_json: bool = JSON) -> None:
    """Print the settings that hold now. They come from config.yaml, the environment and the defaults."""
    import yaml

    from panotti_daemon.settings import load

    values = load(Paths.from_environment()).model_dump(mode="json")
    if as_json:
        print_json(values)
    else:
        typer.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), nl=False)


@config.command()
def check() -> None:
    """Say whether the settings can be used. Exit status 1 and one line if they cannot."""
    from panotti_daemon.core.plugins.discovery import discover
    from panotti_daemon.core.plugins.wishes import StoredWishes

    paths = Paths.from_environment()
    plugins = {folder.name for folder in discover((bundled("plugins"), paths.plugins))}
    StoredWishes(paths).check_names(plugins)
    typer.echo("The settings are fine.")
    if not paths.config_file.exists():
        typer.echo(f"There is no {paths.config_file}, and none is needed.")
