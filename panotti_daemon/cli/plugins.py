"""Plugins from the command line: list, show, switch on and off, configure, reload, and do what they offer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import typer

from panotti_daemon.cli.ask import JSON, ask, counted, print_json, typed_secret

if TYPE_CHECKING:
    from panotti_daemon.api.plugin_schemas import PluginDetail, PluginSetting


def register(app: typer.Typer) -> None:
    app.add_typer(plugins_app, name="plugins")


IN_A_LINE = {"default_flow_style": True, "width": float("inf")}

plugins_app = typer.Typer(help="See and steer the plugins.", no_args_is_help=True)


@plugins_app.command("list")
def list_plugins(as_json: bool = JSON) -> None:
    """List the plugins, each with its state and what is wrong."""
    plugins = ask(lambda client: client.plugins())
    if as_json:
        print_json([plugin.model_dump(mode="json") for plugin in plugins])
        return
    width = max((len(plugin.name) for plugin in plugins), default=0)
    for plugin in plugins:
        line = f"{plugin.name:<{width}}  {plugin.version or '-':<8} {plugin.state:<12} {plugin.problem or ''}"
        typer.echo(line.rstrip())


@plugins_app.command()
def show(name: str, as_json: bool = JSON) -> None:
    """Show one plugin: its state, what it gets and gives, its settings. Says where each of these was written."""
    plugin = ask(lambda client: client.plugin(name))
    if as_json:
        print_json(plugin)
        return
    for label, value in _facts(plugin):
        typer.echo(f"{label:<12} {value}")
    is_known = plugin.state == "running"
    for setting in plugin.config:
        typer.echo(f"  {setting.key} = {_shown(setting, is_known=is_known)}  ({setting.origin})")


@plugins_app.command()
def enable(name: str) -> None:
    """Switch a plugin on, for good. What waits for it is delivered."""
    waiting = ask(lambda client: client.plugin(name)).waiting if _is_known(name) else 0
    plugin = ask(lambda client: client.enable_plugin(name))
    delivered = f" {counted(waiting, 'event')} waited for it." if waiting else ""
    typer.echo(f"{plugin.name} {plugin.version} runs.{delivered}")


@plugins_app.command()
def disable(name: str, force: bool = typer.Option(False, "--force", help="Stop what depends on it, too.")) -> None:
    """Switch a plugin off, for good. It gets no more events; those that wait for it are kept."""
    plugin = ask(lambda client: client.disable_plugin(name, force=force))
    kept = f" {counted(plugin.waiting, 'event')} will wait for it." if plugin.waiting else ""
    typer.echo(f"{plugin.name} is switched off.{kept}")


@plugins_app.command()
def reload(name: str) -> None:
    """Take a plugin's files and settings anew. Finds one that was put there since the start, too."""
    plugin = ask(lambda client: client.reload_plugin(name))
    typer.echo(f"{plugin.name} {plugin.version} runs.")


@plugins_app.command("set")
def configure(
    name: str,
    values: list[str] = typer.Argument(..., metavar="KEY=VALUE..."),
    secret: bool = typer.Option(False, "--secret", help="KEY is a secret: ask for it, and keep it in the keyring."),
    unset: bool = typer.Option(False, "--unset", help="Take each KEY back to what the settings file or plugin says."),
) -> None:
    """Configure a plugin, above the settings file. Values are YAML: 3, true, [a, b], or text."""
    if secret:
        for key in values:
            _set_secret(name, key, unset=unset)
    else:
        from panotti_daemon import plain_yaml

        config = ask(lambda client: client.plugin(name)).config_by_command
        changes = dict.fromkeys(values) if unset else _assignments(values, plain_yaml.parse)
        kept = {key: value for key, value in config.items() if key not in changes}
        wanted = kept if unset else kept | changes
        ask(lambda client: client.configure_plugin(name, wanted))
    typer.echo(f"{name} is configured.")


@plugins_app.command()
def do(
    name: str,
    action: str,
    arguments: list[str] = typer.Argument(None, metavar="[KEY=VALUE...]"),
    as_json: bool = JSON,
) -> None:
    """Ask a plugin to do something that it offers. Prints its answer."""
    import yaml

    # no type says what an argument should be: to many a plugin, the text `no` would be as good as a yes
    given = _assignments(arguments or [], yaml.safe_load)
    answer = ask(lambda client: client.act(name, action, given))
    if as_json:
        print_json({"result": answer})
    elif isinstance(answer, str):
        typer.echo(answer)
    elif answer is not None:
        typer.echo(_yaml(answer), nl=False)


def _is_known(name: str) -> bool:
    """One that was put there since the start is found by switching it on."""
    return any(plugin.name == name for plugin in ask(lambda client: client.plugins()))


def _facts(plugin: PluginDetail) -> Iterator[tuple[str, str]]:
    yield "name", f"{plugin.name} {plugin.version or ''}".rstrip()
    if plugin.description:
        yield "", plugin.description
    reason = f": {plugin.reason}" if plugin.reason else ""
    since = f", since {plugin.since.astimezone():%Y-%m-%d %H:%M:%S}" if plugin.since else ""
    yield "state", f"{plugin.state}{since}{reason}"
    if plugin.problem and plugin.reason not in plugin.problem.split(": ", 1):
        yield "problem", plugin.problem
    yield "switched", f"{'on' if plugin.enabled else 'off'}  ({plugin.enabled_origin})"
    yield "folder", plugin.folder
    for folder in plugin.hidden:
        yield "ignored", f"{folder}, because its name is taken"
    for label, words in (
        ("gets", plugin.subscribes),
        ("gives", plugin.emits),
        ("needs", [f"{name} {versions}" for name, versions in plugin.dependencies.items()]),
        ("needed by", plugin.dependents),
    ):
        if words:
            yield label, ", ".join(words)
    yield "events", f"{plugin.waiting} wait, {plugin.dead} failed for good"
    if plugin.config:
        yield "settings", ""


def _shown(setting: PluginSetting, *, is_known: bool) -> str:
    if setting.secret:
        return "(secret)"
    return _yaml(setting.value, **IN_A_LINE).strip() if is_known else "(shown while it runs)"


def _set_secret(name: str, key: str, *, unset: bool) -> None:
    if unset:
        ask(lambda client: client.remove_plugin_secret(name, key))
        return
    value = typed_secret(key)
    ask(lambda client: client.keep_plugin_secret(name, key, value))


def _assignments(words: list[str], read: Callable[[str], Any]) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{word!r} must look like KEY=VALUE")
        try:
            found[key] = read(value)
            json.dumps(found[key], allow_nan=False)
        except (yaml.YAMLError, TypeError, ValueError):  # what JSON cannot say travels as text
            found[key] = value
    return found


def _yaml(value: Any, **style: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, **style)
    return text.removesuffix("...\n")
