"""What daemon and engine say to each other: one JSON object a line, requests one way and messages the other.

A request is answered by any number of messages that carry its id, and the last one is `Done` or `Failed`.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, TypeAdapter

from panotti_daemon.models.transcript.models import Checkpoint, RequestedSettings, Transcription
from panotti_daemon.settings.servers import RemoteSettings


def _path_from_wire(value: object) -> Path:
    return value if isinstance(value, Path) else Path(os.fsdecode(unquote_to_bytes(str(value))))


def _path_to_wire(path: Path) -> str:
    return quote_from_bytes(os.fsencode(path))


WirePath = Annotated[Path, PlainValidator(_path_from_wire), PlainSerializer(_path_to_wire, return_type=str)]
"""A path as its quoted bytes: file names need not be Unicode, and JSON must be."""

Shown = Annotated[str, AfterValidator(lambda text: text.encode(errors="replace").decode())]
"""Words for the user, and in them perhaps the name of a file."""

Workers = int | Literal["auto"]
Codec = Literal["flac", "opus"]


class Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: int
    """Of the request. Pace and ready belong to none: 0."""


class Track(BaseModel):
    model_config = ConfigDict(frozen=True)

    path: WirePath
    label: str | None = None
    stream: int | None = None
    """Of the file's audio streams, counted from 0; None: the first."""
    channel: int | None = None
    """Of the stream, counted from 0; None: all of them, mixed."""


class ProbeRequest(Line):
    kind: Literal["probe"] = "probe"
    paths: tuple[WirePath, ...]


class Remote(BaseModel):
    """The servers that are to do it."""

    model_config = ConfigDict(frozen=True)

    settings: RemoteSettings
    keys: dict[str, str] = Field({}, repr=False)
    """By the names that the settings have for them."""


class PrepareRequest(Line):
    """A transcription may be asked for soon: the speech libraries are loaded meanwhile."""

    kind: Literal["prepare"] = "prepare"


class TranscribeRequest(Line):
    kind: Literal["transcribe"] = "transcribe"
    tracks: tuple[Track, ...]
    settings: RequestedSettings
    done: tuple[Checkpoint, ...] = ()
    """What an earlier try has decoded."""
    models: WirePath
    """The folder of downloaded models."""
    workers: Workers
    remote: Remote | None = None


class EncodeRequest(Line):
    kind: Literal["encode"] = "encode"
    source: WirePath
    target: WirePath
    codec: Codec


class PullRequest(Line):
    """Downloads a model, in place of what is there of it."""

    kind: Literal["pull"] = "pull"
    model: str
    models: WirePath
    """The folder of downloaded models."""


class Pace(StrEnum):
    """How much is decoded at a time. What is being decoded when it changes is not broken off."""

    FULL = "full"
    SLOW = "slow"
    """By one worker."""
    HELD = "held"
    """Nothing is begun."""


class PaceRequest(Line):
    kind: Literal["pace"] = "pace"
    id: int = 0
    pace: Pace


class StopRequest(Line):
    """Finishes the windows that are being decoded, and no more, of the request with this id."""

    kind: Literal["stop"] = "stop"


Job = ProbeRequest | PrepareRequest | TranscribeRequest | EncodeRequest | PullRequest
"""What is answered in its turn."""
Request = Job | PaceRequest | StopRequest


class ProbeKind(StrEnum):
    MEDIA = "media"
    EMPTY = "empty"
    NOT_MEDIA = "not_media"
    NO_AUDIO = "no_audio"
    UNREADABLE = "unreadable"
    VANISHED = "vanished"


class Probe(BaseModel):
    """What a file turned out to be. `message` ends a sentence that begins with the file's name."""

    model_config = ConfigDict(frozen=True)

    path: WirePath
    kind: ProbeKind
    message: Shown = ""
    duration: float | None = None
    """Seconds, where the container says or FFmpeg can estimate it."""
    format: str | None = None
    audio_streams: int = 0
    channels: tuple[int, ...] = ()
    """Of each audio stream."""


class Stage(StrEnum):
    DOWNLOADING = "downloading"
    TRANSCRIBING = "transcribing"


class Progress(BaseModel):
    model_config = ConfigDict(frozen=True)

    stage: Stage
    model: str
    fraction: float | None
    """Of the recording or the download, 0 to 1; None where its length is unknown."""
    seconds_left: float | None = None


class ErrorKind(StrEnum):
    MEDIA = "media"
    MODEL = "model"
    SOURCE = "source"
    SERVER = "server"
    REFUSED = "refused"
    """By a server."""
    STOPPED = "stopped"
    """As was asked for."""
    INTERNAL = "internal"


class Ready(Line):
    """The first line of every engine process."""

    kind: Literal["ready"] = "ready"
    id: int = 0


class Probed(Line):
    kind: Literal["probed"] = "probed"
    probe: Probe


class Progressed(Line):
    kind: Literal["progress"] = "progress"
    progress: Progress


class Checkpointed(Line):
    kind: Literal["checkpoint"] = "checkpoint"
    checkpoint: Checkpoint


class Done(Line):
    kind: Literal["done"] = "done"
    transcription: Transcription | None = None


class Failed(Line):
    kind: Literal["error"] = "error"
    error: ErrorKind
    message: Shown


Message = Ready | Probed | Progressed | Checkpointed | Done | Failed

_DISCREET = ConfigDict(hide_input_in_errors=True)
"""An error is logged; what was said, or a server's key, never."""
_requests: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")], config=_DISCREET)
_messages: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")], config=_DISCREET)


def parse_request(line: bytes) -> Request:
    return _requests.validate_json(line)


def parse_message(line: bytes) -> Message:
    return _messages.validate_json(line)


def to_line(line: Line) -> bytes:
    return line.model_dump_json().encode() + b"\n"
