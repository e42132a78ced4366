"""The user's settings: `config.yaml`, then `PANOTTI_...` environment variables, then command line flags.

Whatever is wrong is said in one line: where it was set, its key, and what is allowed.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from panotti_daemon.errors import SettingsError
from panotti_daemon.paths import Paths

ENV_PREFIX = "PANOTTI_"


class Format(StrEnum):
    """What a transcript can be written as."""

    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"
    JSON = "json"
    MD = "md"


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _track_pattern(pattern: str) -> str:
    before_suffix = pattern.rsplit(".", 1)[0]
    if "/" in pattern or "\\" in pattern:
        raise ValueError("must be the pattern of a name, without folders")
    if before_suffix.count("*") != 1 or before_suffix == "*":
        raise ValueError('needs some text and one * before its suffix, for the recording\'s name, as in "*_mic.*"')
    return pattern


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
TrackPattern = Annotated[str, AfterValidator(_track_pattern)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WatchFolder(Section):
    """One watched folder; each key but `path` has a default."""

    path: AbsolutePath
    recursive: bool = True
    settle_seconds: float = Field(2.0, ge=0, le=3600)
    """How long a file must not have changed before it is looked at."""
    polling: Literal["auto", "never"] | Annotated[float, Field(ge=1)] = "auto"
    """Look at the folder every so many seconds; `auto` does so on network drives only."""
    output: Literal["beside"] | AbsolutePath | None = None
    """Where transcripts go; `beside`: next to their recordings; none: the common transcripts folder."""
    formats: tuple[Format, ...] = (Format.TXT, Format.SRT, Format.JSON)
    language: str = Field("auto", pattern=r"^(auto|[a-z]{2,3})$")
    model: str = Field("auto", min_length=1)
    tracks: dict[str, TrackPattern] = {"microphone": "*_mic.*", "system": "*_system_audio.*"}
    track_grace_seconds: float = Field(30.0, ge=0, le=86400)
    """How long a track waits for its sibling."""

    @field_validator("formats")
    @classmethod
    def _at_least_one(cls, formats: tuple[Format, ...]) -> tuple[Format, ...]:
        if not formats:
            raise ValueError(f"must name at least one of {', '.join(Format)}")
        return tuple(dict.fromkeys(formats))


class ApiSettings(Section):
    host: Literal["127.0.0.1", "::1", "localhost"] = "127.0.0.1"
    """Loopback only: Panotti is never served to a network."""
    port: int = Field(54789, ge=0, le=65535)
    """0: any free one."""
    cors_origins: tuple[str, ...] = ()

    @field_validator("cors_origins")
    @classmethod
    def _no_wildcard(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if "*" in origin or not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise ValueError(
                    f'{origin!r} is not an origin: name each as scheme://host:port; "*" would let every web page in'
                )
        return origins


class EngineSettings(Section):
    model: str = Field("auto", min_length=1)
    """The model for folders whose own `model` is `auto`."""
    idle_seconds: float = Field(300.0, ge=0)
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = "auto"


class TraySettings(Section):
    enabled: Literal["auto"] | bool = "auto"


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    max_megabytes: float = Field(5.0, gt=0)
    """A log file that grows past this is rotated."""
    keep_files: int = Field(5, ge=1, le=100)


class PluginSettings(Section):
    enabled: bool | None = None
    """None: as the plugin's manifest says."""
    config: dict[str, Any] = {}


def _parse_bare_path(value: object) -> object:
    return [{"path": value}] if isinstance(value, str) else value


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    watch: Annotated[tuple[WatchFolder, ...], BeforeValidator(_parse_bare_path)] = ()
    rescan_seconds: float = Field(300.0, ge=5)
    backlog_limit: int = Field(50, ge=0)
    """A first scan that finds more files than this waits for a yes."""
    api: ApiSettings = ApiSettings()
    engine: EngineSettings = EngineSettings()
    tray: TraySettings = TraySettings()
    log: LogSettings = LogSettings()
    plugins: dict[str, PluginSettings] = {}


def load(paths: Paths, flags: Mapping[str, Any] | None = None) -> Settings:
    """Reads, merges and checks the settings; with no watched folder named, the default one is watched.

    Raises SettingsError with one line for the user.
    """
    flags = flags or {}
    _refuse_unknown_environment()

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=paths.config_file))

    try:
        settings = Loaded(**flags)
    except ValidationError as error:
        raise SettingsError(_explain(error.errors()[0], paths.config_file, flags)) from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError(f"{paths.config_file}{line}: this is not YAML: {error.problem}") from None
    except (SourceError, OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, ValueError) as error:
        where = "environment" if isinstance(error, SourceError) and "Env" in str(error) else paths.config_file
        raise SettingsError(f"{where}: {str(error).splitlines()[0]}") from None
    watch = settings.watch or (WatchFolder(path=paths.recordings),)
    return settings.model_copy(
        update={"watch": tuple(w if w.output else w.model_copy(update={"output": paths.transcripts}) for w in watch)}
    )


def _refuse_unknown_environment() -> None:
    known = {f"{ENV_PREFIX}{name}".upper() for name in Settings.model_fields} | {"PANOTTI_HOME"}
    for variable in sorted(os.environ):
        if variable.upper().startswith(ENV_PREFIX) and variable.upper().split("__")[0] not in known:
            raise SettingsError(f"environment {variable}: there is no such setting{_suggest(variable, known)}")


def _suggest(word: str, known: set[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; allowed: {', '.join(sorted(known))}"


def _explain(error: Any, file: Path, flags: Mapping[str, Any]) -> str:
    location, model = _walk(error["loc"])
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    if error["type"] == "extra_forbidden":
        what = f"there is no such setting{_suggest(str(location[-1]), set(model.model_fields) if model else set())}"
    else:
        what = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if not isinstance(error["input"], dict | list):
            what += f" (it is {error['input']!r})"
    return f"{_where_from(location, file, flags)}: {key}: {what}"


def _walk(location: tuple[str | int, ...]) -> tuple[list[str | int], type[BaseModel] | None]:
    """The part of a pydantic error's location that the user wrote (without the branches of unions), and the
    model that holds its last key."""
    written: list[str | int] = []
    owner: type[BaseModel] | None = None
    model: type[BaseModel] | None = Settings
    mapping = False
    for part in location:
        if isinstance(part, int) or mapping:
            written.append(part)
            mapping = False
            continue
        if model is None:
            break
        owner, written = model, [*written, part]
        field = model.model_fields.get(part)
        annotation = field.annotation if field else None
        mapping = get_origin(annotation) is dict
        model = next((t for t in _types_in(annotation) if isinstance(t, type) and issubclass(t, BaseModel)), None)
    return written, owner


def _types_in(annotation: Any) -> list[Any]:
    inner = [t for argument in get_args(annotation) for t in _types_in(argument)]
    return [annotation, *inner]


def _where_from(location: list[str | int], file: Path, flags: Mapping[str, Any]) -> str:
    if location and location[0] in flags:
        return "command line"
    names = [part for part in location if isinstance(part, str)]
    for length in range(len(names), 0, -1):
        variable = (ENV_PREFIX + "__".join(names[:length])).upper()
        if variable in os.environ:
            return f"environment {variable}"
    return str(file)
