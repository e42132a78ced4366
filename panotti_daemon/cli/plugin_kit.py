"""Plugins from the command line, for those who write and install them: new, check, install, remove."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from panotti_daemon.cli.ask import ask, confirm, counted
from panotti_daemon.cli.plugins import plugins_app
from panotti_daemon.errors import NotRunning, PanottiError, PluginRefused, RequestFailed
from panotti_daemon.paths import Paths, bundled

if TYPE_CHECKING:
    from panotti_daemon.core.plugins.manifest import Manifest

NOT_FOUND = 404
WARNING = "A plugin is a program: it runs with all your rights. Install only what you trust."


def register(app: typer.Typer) -> None:
    for command in (new, check, install, remove):
        plugins_app.command()(command)


def new(
    name: str = typer.Argument(help="Made of a-z, 0-9 and _."),
    folder: Path = typer.Option(None, "--folder", help="Where to make it, if not in the folder of your plugins."),
) -> None:
    """Make a plugin that works, to be changed into the one you want."""
    from panotti_daemon.plugin_kit.scaffold import new_plugin

    made = new_plugin(name, folder.expanduser().absolute() if folder else _own_plugins())
    typer.echo(f"{made} is made. Change its plugin.py, then: panotti plugins check {made if folder else name}")
    if not folder:
        typer.echo(f"Panotti takes it up when it starts, or now: panotti plugins reload {name}")


def check(
    plugin: str = typer.Argument(None, help="A plugin's name or folder; without one, all of yours."),
    no_tests: bool = typer.Option(False, "--no-tests", help="Do not run its own tests."),
) -> None:
    """Say what is wrong with a plugin, with file and line. Exit status 1 if it cannot run."""
    from panotti_daemon.plugin_kit.check import check as findings

    known = _folders()
    folders = [_folder_of(plugin, known)] if plugin else [f for f in known.values() if f.parent == _user_folder()]
    if not folders:
        typer.echo(f"There are no plugins in {_user_folder()}.")
    wrong = 0
    for folder in folders:
        others = {name: manifest for name, manifest in _manifests(known).items() if name != folder.name}
        found = list(findings(folder, others, with_tests=not no_tests))
        for finding in found:
            typer.echo(finding)
        mistakes = sum(not finding.is_warning for finding in found)
        wrong += bool(mistakes)
        typer.echo(f"{folder.name}: {counted(mistakes, 'mistake')}." if mistakes else f"{folder.name} is fine.")
    if wrong:
        raise typer.Exit(1)


def install(
    source: str = typer.Argument(help="A folder, a zip, a wheel, or the name of a package."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    upgrade: bool = typer.Option(False, "--upgrade", help="Replace the one that is there."),
) -> None:
    """Install a plugin, once you have seen what it is and said yes."""
    from panotti_daemon.plugin_kit.sources import opened

    known = _folders()
    with opened(source, _own_plugins()) as offer:
        name, version = offer.manifest.name, offer.manifest.version
        there = known.get(name)
        if there and there.parent == bundled("plugins"):
            raise PluginRefused(f"{name} is the name of a plugin that comes with Panotti, which would hide this one.")
        if there and not upgrade:
            raise PluginRefused(f"{name} is there already, in {there}; --upgrade replaces it.")
        _describe(offer.manifest, offer.files, source)
        confirm("Install it?", yes=yes)
        where = offer.install(_user_folder(), upgrade=upgrade)
    typer.echo(f"{name} {version} is installed in {where}.")
    try:
        ask(lambda client: client.reload_plugin(name))
        typer.echo("It runs.")
    except NotRunning:
        typer.echo("It runs once Panotti does.")
    except RequestFailed as error:
        typer.echo(f"It does not run yet: {error.message}")


def remove(
    name: str,
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Remove a plugin of yours; what it stored stays."""
    from panotti_daemon.plugin_kit.placing import remove as remove_folder

    known = _folders()
    folder = _folder_of(name, known)
    if folder.parent != _user_folder():
        how = "panotti plugins disable" if folder.parent == bundled("plugins") else "pip uninstall"
        instead = f"; use {how}" if name in known else ""
        raise PluginRefused(f"{folder} is not in the folder of your plugins{instead}.")
    confirm(f"Remove {folder} and all that is in it?", yes=yes)
    remove_folder(folder)
    typer.echo(f"{name} is removed.")
    try:
        with suppress(NotRunning):
            ask(lambda client: client.reload_plugin(name))
    except RequestFailed as error:
        if error.status != NOT_FOUND:  # as it should be: it is gone
            typer.echo(error.message)


def _describe(manifest: Manifest, files: dict[str, int], source: str) -> None:
    needs = [f"{name} {versions}".strip() for name, versions in manifest.dependencies.items()]
    lines = {
        "from": [source],
        "gets": manifest.subscribes,
        "emits": manifest.emits,
        "needs": needs,
        "settings": list(manifest.config),
        "files": [f"{name} ({size} bytes)" for name, size in files.items()],
    }
    typer.echo(_plain(f"{manifest.name} {manifest.version}: {manifest.description}"))
    for title, values in lines.items():
        typer.echo(_plain(f"  {title:<9}{', '.join(values) or 'nothing'}"))
    typer.echo(WARNING)


def _plain(text: str) -> str:
    """A stranger's words, with nothing in them that moves the cursor or hides a line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _user_folder() -> Path:
    return Paths.from_environment().plugins


def _own_plugins() -> Path:
    """The same, below folders that others cannot read."""
    Paths.from_environment().create()
    return _user_folder()


def _folders() -> dict[str, Path]:
    """Of every plugin, by its name."""
    from panotti_daemon.core.plugins.discovery import discover

    found: dict[str, Path] = {}
    for folder in discover((bundled("plugins"), _user_folder())):
        found.setdefault(folder.name, folder)
    return found


def _manifests(folders: dict[str, Path]) -> dict[str, Manifest]:
    from panotti_daemon.core.plugins.manifest import read_manifest
    from panotti_daemon.errors import ManifestError

    found = {}
    for name, folder in folders.items():
        try:
            found[name] = read_manifest(folder)
        except ManifestError:
            continue
    return found


def _folder_of(plugin: str, known: dict[str, Path]) -> Path:
    from panotti_daemon.explain import suggest

    if plugin in known:
        return known[plugin]
    folder = Path(plugin).expanduser().absolute()
    if folder.is_dir():
        return folder
    raise PanottiError(f"{plugin} is neither a plugin nor a folder{suggest(plugin, known)}.", title="No such plugin")
