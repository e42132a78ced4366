"""From what stands in a plugin's manifest, in the user's settings and in the keyring to its checked Config, and back to
what a person may see of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

from panotti_daemon.core.plugins.interface import PluginBase
from panotti_daemon.core.plugins.manifest import MANIFEST, Manifest
from panotti_daemon.core.plugins.secrets import KeyringUnavailable, Secrets, secret_keys, variable
from panotti_daemon.core.plugins.wishes import Wishes
from panotti_daemon.errors import PluginFailed
from panotti_daemon.explain import dotted, explain, suggest


@dataclass(frozen=True)
class ShownSetting:
    key: str
    value: Any
    """None for a secret, whether or not it is there."""
    origin: str
    """A file, an environment variable, `plugin.yaml`, `plugin.py`, or `keyring or environment`."""
    is_secret: bool = False


async def configured(
    plugin_class: type[PluginBase], manifest: Manifest, folder: Path, wishes: Wishes, secrets: Secrets
) -> BaseModel:
    """Raises PluginFailed naming the key and what was expected; never a secret."""
    name, wanted = manifest.name, wishes.of(manifest.name).config
    hidden = secret_keys(plugin_class.Config)
    values = manifest.config | wanted
    unavailable: dict[str, str] = {}
    for key in hidden:
        if key in wanted:
            where = wishes.origin(name, "config", key)
            raise PluginFailed(f"{where}: {_path(name, key)}: is a secret: remove it there, then {_how_to(name, key)}")
        if key in manifest.config:
            raise PluginFailed(f"{folder / MANIFEST}: config.{key}: is a secret, which no manifest may hold")
        try:
            if (secret := await secrets.get(name, key)) is not None:
                values[key] = secret
        except KeyringUnavailable as error:
            unavailable[key] = error.message
    if (unknown := _unknown(values, plugin_class.Config)) is not None:
        hint = suggest(unknown, plugin_class.Config.model_fields)
        raise PluginFailed(f"settings: {_path(name, unknown)}: there is no such key{hint}")
    try:
        return plugin_class.Config.model_validate(values)
    except ValidationError as error:
        path, what = explain(error, plugin_class.Config)
        key = str(path[0]) if path else ""
        if key not in hidden:
            raise PluginFailed(f"settings: {_path(name, *path)}: {what}") from None
        if key in unavailable:
            instead = f"{variable(name, key)} in the daemon's environment would do instead."
            raise KeyringUnavailable(f"Its secret {key} is missing. {unavailable[key]} {instead}") from None
        what = what.split(" (it is ")[0]
        raise PluginFailed(f"settings: {_path(name, *path)}: {what}: it is a secret; {_how_to(name, key)}") from None


def shown(manifest: Manifest, config: BaseModel | None, wishes: Wishes) -> list[ShownSetting]:
    """Of a plugin that does not run, only what is written down is known, and none of it is known to be no secret."""
    name = manifest.name
    if config is None:
        written = wishes.of(name).config
        return [ShownSetting(key, None, _origin(manifest, wishes, key)) for key in manifest.config | written]
    hidden = secret_keys(type(config))
    return [
        ShownSetting(key, None, "keyring or environment", is_secret=True)
        if key in hidden
        else ShownSetting(key, to_jsonable_python(getattr(config, key), fallback=str), _origin(manifest, wishes, key))
        for key in type(config).model_fields
    ]


def _unknown(values: Mapping[str, Any], config: type[BaseModel]) -> str | None:
    """A key that pydantic would pass over in silence; a user's slip should not."""
    known = {name for field, info in config.model_fields.items() for name in (field, info.alias)}
    is_open = config.model_config.get("extra") == "allow"
    return None if is_open else next((key for key in values if key not in known), None)


def _origin(manifest: Manifest, wishes: Wishes, key: str) -> str:
    return wishes.origin(manifest.name, "config", key) or (MANIFEST if key in manifest.config else "plugin.py")


def _path(name: str, *key: str | int) -> str:
    return dotted(["plugins", name, "config", *key])


def _how_to(name: str, key: str) -> str:
    return f"`panotti plugins set {name} {key} --secret` keeps it in the keyring, or give it as {variable(name, key)}"
