"""Every setting, with its default and what is allowed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    SettingsConfigDict,
)

from panotti_daemon.choices import Format as Format
from panotti_daemon.hours import Hours
from panotti_daemon.settings.resources import Resources
from panotti_daemon.settings.servers import RemoteSettings

ENV_PREFIX = "PANOTTI_"
DAY_SECONDS = 24 * 3600
CENTURY_DAYS = 36525
ORIGIN = re.compile(r"(http|https)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?")
"""As browsers write it."""
DEFAULT_PORTS = {("http", "80"), ("https", "443")}


def _absolute(path: object) -> object:
    if isinstance(path, Path):  # of the command line, where a relative one means the current folder
        return _without_dots(path.expanduser().absolute())
    if not isinstance(path, str):
        return path
    try:
        expanded = Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"cannot be used: {error}") from None
    if "\0" in path:
        raise ValueError("must hold no zero byte")
    if not expanded.is_absolute():
        raise ValueError("must be an absolute path, or begin with ~: the daemon has no current folder")
    return _without_dots(expanded)


def _without_dots(path: Path) -> Path:
    """As the ledger has it: one name for one folder, links not resolved."""
    return Path(os.path.normpath(path))


def language_code(code: str) -> str:
    if not re.fullmatch("auto|[a-z]{2,3}", code):
        raise ValueError("must be auto or the code of a language, such as en")
    return code


def _part(part: str) -> str:
    if not re.fullmatch(r"(stream|channel) [1-9][0-9]?", part):
        raise ValueError("must be a stream or a channel of the file, counted from 1, such as `channel 2`")
    return part


def _track_pattern(pattern: str) -> str:
    before_suffix = pattern.rsplit(".", 1)[0]
    if "/" in pattern or "\\" in pattern:
        raise ValueError("must be the pattern of a name, without folders")
    if before_suffix.count("*") != 1 or before_suffix == "*":
        raise ValueError('needs some text and one * before its suffix, for the recording\'s name, as in "*_mic.*"')
    return pattern


def _speaker(name: str) -> str:
    if not name.strip() or not name.isprintable():
        raise ValueError("must be a name, on one line")
    return name.strip()


def _working_hours(text: str) -> str:
    hours = Hours.parse(text)
    if hours.begin == hours.end:
        raise ValueError("must begin and end at different times, or no time is left")
    return text


AbsolutePath = Annotated[Path, BeforeValidator(_absolute)]
TrackPattern = Annotated[str, AfterValidator(_track_pattern)]
FilePart = Annotated[str, AfterValidator(_part)]
Term = Annotated[str, Field(min_length=1)]
SpeakerName = Annotated[str, AfterValidator(_speaker)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WatchFolder(Section):
    """One watched folder; each key but `path` has a default."""

    path: AbsolutePath
    recursive: bool = True
    settle_seconds: float = Field(2.0, ge=0, le=3600)
    """How long a file must not have changed before it is looked at."""
    polling: Literal["auto", "never"] | Annotated[float, Field(ge=1, le=DAY_SECONDS)] = "auto"
    """Look at the folder every so many seconds; `auto` does so on network drives only."""
    output: Literal["beside"] | AbsolutePath | None = None
    """Where transcripts go; `beside`: next to their recordings; none: the common transcripts folder."""
    formats: tuple[Format, ...] = (Format.TXT, Format.SRT, Format.JSON)
    language: Annotated[str, AfterValidator(language_code)] = "auto"
    model: str = Field("auto", min_length=1)
    engine: Literal["auto", "local"] = "auto"
    """`local`: its recordings go to no server."""
    task: Literal["transcribe", "translate"] = "transcribe"
    """`translate`: into English."""
    words: bool = False
    """Whether each word has its own times."""
    vocabulary: tuple[Term, ...] | AbsolutePath = ()
    """Names and terms that may be spoken, or a text file with one in each line."""
    noise_reduction: bool = False
    tracks: dict[str, TrackPattern] = {"microphone": "*_mic.*", "system": "*_system_audio.*"}
    split: dict[str, FilePart] = {}
    """Streams or channels of one file that are tracks, such as `{microphone: channel 1, system: channel 2}`."""
    track_grace_seconds: float = Field(30.0, ge=0, le=86400)
    """How long a track waits for its sibling."""
    speakers: dict[str, SpeakerName] = {}
    """Who speaks on a track, by its label, such as `{microphone: Anna}`."""
    clean_text: bool = False
    """Spaces, ellipses and dashes as in print; no word ever changes."""

    @field_validator("speakers")
    @classmethod
    def _of_known_tracks(cls, speakers: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        labels = {**info.data.get("tracks", speakers), **info.data.get("split", speakers)}
        for label in speakers:
            if label not in labels:
                raise ValueError(f"{label} is not a track; tracks and split have: {', '.join(labels) or 'none'}")
        return speakers

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
            form = ORIGIN.fullmatch(origin)
            if form is None:
                raise ValueError(
                    f"{origin!r} is not an origin: name each as scheme://host:port, in small letters; "
                    '"*" would let every web page in'
                )
            if form.group(1, 3) in DEFAULT_PORTS:
                raise ValueError(f"{origin!r} is written without its port by browsers: leave it out")
        return origins


class EngineSettings(Section, Resources):
    model: str = Field("auto", min_length=1)
    """The model for folders whose own `model` is `auto`."""
    idle_seconds: float = Field(300.0, ge=0)
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = "auto"
    unused_model_days: int = Field(90, ge=0, le=CENTURY_DAYS)
    """A downloaded model that was not used for so long is offered for removal; 0: none ever is."""
    remote: RemoteSettings = RemoteSettings()


class PoliteSettings(Section):
    """When the computer is left to others; what is asked for now goes on regardless."""

    on_battery: Literal["go_on", "slow_down", "wait"] = "wait"
    battery_percent: float = Field(30.0, ge=0, le=100)
    """Below this charge."""
    most_load: float | None = Field(None, gt=0, lt=1)
    """Of all cores, the share that other programs may use."""
    hours: Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(_working_hours)] | None = None
    """Of the local day, those in which recordings are transcribed; None: all."""


class TraySettings(Section):
    enabled: Literal["auto"] | bool = "auto"


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    max_megabytes: float = Field(5.0, ge=0.001, le=100_000)
    """A log file that grows past this is rotated."""
    keep_files: int = Field(5, ge=1, le=100)


class EventSettings(Section):
    """How long the journal of events is kept; what is still to be delivered, or dead, stays in any case."""

    keep_days: float = Field(90.0, gt=0, le=CENTURY_DAYS)
    keep_count: int = Field(100_000, ge=1, le=10**9)


class PluginSettings(Section):
    enabled: bool | None = None
    """None: as the plugin's manifest says."""
    config: dict[str, list[Any] | dict[str, Any] | Any] = {}
    """Lists and mappings are named, so that pydantic-settings reads JSON where the environment holds it."""


def _parse_bare_paths(value: object) -> object:
    folders = value if isinstance(value, list | tuple) else [value] if isinstance(value, str) else None
    if folders is None:
        return value
    return [{"path": folder} if isinstance(folder, str) else folder for folder in folders]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        nested_model_default_partial_update=True,
    )

    watch: Annotated[tuple[WatchFolder, ...], BeforeValidator(_parse_bare_paths)] = ()
    rescan_seconds: float = Field(300.0, ge=5, le=DAY_SECONDS)
    backlog_limit: int = Field(50, ge=0)
    """A first scan that finds more files than this waits for a yes."""
    api: ApiSettings = ApiSettings()
    engine: EngineSettings = EngineSettings()
    polite: PoliteSettings = PoliteSettings()
    tray: TraySettings = TraySettings()
    log: LogSettings = LogSettings()
    events: EventSettings = EventSettings()
    plugins: dict[str, PluginSettings] = {}
    plugins_health_seconds: float = Field(60.0, ge=1)
    """How often plugins are asked whether they are well."""
    plugins_hot_reload: bool = False
    plugins_block_seconds: float = Field(30.0, ge=2)
    """A plugin that keeps the daemon from all else for so long has it start itself afresh, with that plugin resting."""

    @field_validator("watch")
    @classmethod
    def _each_once(cls, watch: tuple[WatchFolder, ...]) -> tuple[WatchFolder, ...]:
        paths = [folder.path for folder in watch]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"names {path} twice")
        return watch
