"""`plugin.yaml`: read and checked before any of a plugin's code is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from panotti_daemon.core.events.handlers import Subscription
from panotti_daemon.errors import ManifestError
from panotti_daemon.explain import dotted, explain_all

API_VERSION = 1
"""Of what `panotti_daemon.core.plugins` offers; a plugin made for another one is refused."""

MANIFEST = "plugin.yaml"

RESERVED = ("daemon", "engine", "recording")
"""The areas of Panotti's own events, and what the keys of servers are filed under."""


def _version(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion:
        raise ValueError("must be a version such as 1.0.0") from None
    return text


def _range(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError("must be a version range such as >=1,<2") from None
    return text


def _not_reserved(name: str) -> str:
    if name in RESERVED:
        raise ValueError("must not be a name of Panotti's own")
    return name


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
EventPattern = Annotated[str, StringConstraints(pattern=r"^[a-z*][a-z0-9_*]*(\.[a-z0-9_*]+)?$")]


class Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[Name, AfterValidator(_not_reserved)]
    version: Annotated[str, AfterValidator(_version)]
    api_version: int
    description: str
    dependencies: dict[Name, Annotated[str, AfterValidator(_range)]] = {}
    subscribes: tuple[EventPattern, ...] = ()
    emits: tuple[EventPattern, ...] = ()
    role: Literal["transcription"] | None = None
    """`transcription`: the ledger shows this plugin's deliveries as the state of the recording."""
    enabled: bool = True
    """Whether it is on when the user's settings do not say."""
    max_attempts: int = Field(3, ge=1, le=100)
    concurrency: int = Field(1, ge=1, le=1000)
    retry_seconds: float = Field(5.0, ge=0, le=3600)
    """Before the second attempt."""
    retry_factor: float = Field(2.0, ge=1, le=10)
    """How much longer each pause is than the one before."""
    retry_longest_seconds: float = Field(600.0, gt=0, le=86400)
    retry_jitter: float = Field(0.2, ge=0, le=1)
    """The part of a pause by which it is shorter or longer at random."""
    gives_way: bool = False
    """Whether what runs goes back to the queue when something is wanted now; it is handled again from its beginning."""
    silence_seconds: float = Field(600.0, gt=0)
    config: dict[str, Any] = {}

    def subscription(self) -> Subscription:
        return Subscription(
            name=self.name,
            patterns=self.subscribes,
            max_attempts=self.max_attempts,
            concurrency=self.concurrency,
            retry_seconds=self.retry_seconds,
            retry_factor=self.retry_factor,
            retry_longest_seconds=self.retry_longest_seconds,
            retry_jitter=self.retry_jitter,
            gives_way=self.gives_way,
            silence_seconds=self.silence_seconds,
        )


def read_manifest(folder: Path) -> Manifest:
    """Raises ManifestError naming the file, each wrong key and what was expected."""
    file = folder / MANIFEST
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"{file} cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ManifestError(f"{file}{line}: is not YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ManifestError(f"{file} must hold keys such as `name: {folder.name}`")
    version = content.get("api_version")
    if isinstance(version, int) and version != API_VERSION:
        # before all else: the manifest of another version may look different
        raise ManifestError(f"{file}: api_version: this Panotti offers {API_VERSION}, the plugin wants {version}")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        mistakes = [f"{dotted(key)}: {what}" for key, what in explain_all(error, Manifest)]
        raise ManifestError(f"{file}: {'; '.join(mistakes)}") from error
    if manifest.name != folder.name:
        raise ManifestError(f"{file}: name: must be the folder's, {folder.name!r} (it is {manifest.name!r})")
    return manifest
