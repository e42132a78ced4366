"""Where settings are written: `config.yaml`, then what commands wrote, then `PANOTTI_...` environment variables, then
command line flags.

Whatever is wrong is said in one line: where it was set, its key, and what is allowed.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource, PydanticBaseSettingsSource
from pydantic_settings import SettingsError as SourceError

from panotti_daemon import plain_yaml
from panotti_daemon.errors import SettingsError
from panotti_daemon.explain import Location, dotted, explain
from panotti_daemon.paths import Paths
from panotti_daemon.settings.models import ENV_PREFIX, Section, Settings, WatchFolder

NO_SETTINGS = {"HOME", "SECRET"}
"""Variables that say something else: where everything is, and the secrets of plugins."""

Sources = Mapping[str, Mapping[str, Any]]
"""What was written, by where it was; the first wins."""


def load(paths: Paths, flags: Mapping[str, Any] | None = None) -> Settings:
    """Reads, merges and checks the settings; with no watched folder named, the default one is watched.

    Raises SettingsError with one line for the user.
    """
    return merge(read_sources(paths, flags), paths)


def read_sources(paths: Paths, flags: Mapping[str, Any] | None = None) -> Sources:
    """Raises SettingsError where something cannot be read."""
    _refuse_unknown_environment()
    try:
        environment = _Environment(Settings)()
    except SourceError as error:
        raise SettingsError(str(error.__cause__ or error)) from None
    by_command = {str(file): {"plugins": {file.stem: _read(file)}} for file in sorted(_by_command(paths))}
    by_command[str(paths.chosen_model)] = _read(paths.chosen_model)
    written = {str(paths.config_file): _read(paths.config_file)}
    return {"command line": flags or {}, "environment": environment, **by_command, **written}


def merge(sources: Sources, paths: Paths) -> Settings:
    """Raises SettingsError with one line for the user."""

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: object, **__: object
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(InitSettingsSource(settings_cls, dict(values)) for values in sources.values())

    try:
        settings = Loaded()
    except ValidationError as error:
        key, what = explain(error, Settings)
        raise SettingsError(f"{_blamed(key, sources)}: {dotted(key)}: {what}") from None
    watch = settings.watch or (WatchFolder(path=paths.recordings),)
    return settings.model_copy(
        update={"watch": tuple(w if w.output else w.model_copy(update={"output": paths.transcripts}) for w in watch)}
    )


def _by_command(paths: Paths) -> list[Path]:
    try:
        return list(paths.plugin_settings.glob("*.yaml"))
    except OSError as error:
        raise SettingsError(f"{paths.plugin_settings} cannot be read: {error.strerror}") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        content = plain_yaml.parse(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError(f"{file}{line}: this is not YAML: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: this is not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: must hold keys with values, such as `rescan_seconds: 300`")
    # a key below which everything is commented out says nothing
    return {key: value for key, value in content.items() if value is not None}


class _Environment(EnvSettingsSource):
    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError as error:
            if field_name == "watch" and not value.lstrip().startswith(("[", "{")):
                return value  # one path
            variable = next(name for name in _own_variables() if os.environ[name] == value)
            raise ValueError(f"environment {variable}: must be JSON: {error}") from error


def _own_variables() -> list[str]:
    return sorted(name for name in os.environ if name.upper().startswith(ENV_PREFIX))


def _refuse_unknown_environment() -> None:
    known = {name.upper() for name in Settings.model_fields} | NO_SETTINGS
    sections = {
        name.upper(): field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }
    nested = {f"{name}__{key}".upper() for name, section in sections.items() for key in section.model_fields}
    for variable in _own_variables():
        name = variable.upper().removeprefix(ENV_PREFIX)
        first, *parts = name.split("__")
        if first not in known or (parts and first not in {*sections, "PLUGINS", "SECRET"}):
            near = difflib.get_close_matches(name, known | nested, n=1)
            allowed = ", ".join(ENV_PREFIX + name for name in sorted(known))
            hint = f"did you mean {ENV_PREFIX}{near[0]}?" if near else f"allowed: {allowed}"
            raise SettingsError(f"environment {variable}: there is no such setting; {hint}")


def origin(key: Location, sources: Sources) -> str | None:
    """Where this very key was written."""
    for source, values in sources.items():
        if _holds(values, key):
            return f"environment {_variable(key)}" if source == "environment" else source
    return None


def _blamed(key: Location, sources: Sources) -> str:
    """Where a key was written; one that is missing was not, where what should hold it was."""
    # a list is taken from one source as a whole
    merged = next((i for i, part in enumerate(key) if isinstance(part, int)), len(key))
    places = (origin(key[:length], sources) for length in range(merged, 0, -1))
    return next((place for place in places if place), list(sources)[-1])


def _holds(values: Any, key: Location) -> bool:
    for part in key:
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def _variable(key: Location) -> str:
    """The one that says most exactly what stands there; for a key that holds others, one of these."""
    name = "__".join(part for part in key if isinstance(part, str))
    whole = f"{ENV_PREFIX}{name}__".upper()
    own = {f"{variable}__".upper(): variable for variable in _own_variables()}
    around = [variable for variable in own if whole.startswith(variable)]
    within = [variable for variable in own if variable.startswith(whole)]
    return own[max(around, key=len, default="") or within[0]]
