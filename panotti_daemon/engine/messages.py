"""What daemon and engine say to each other: one JSON object a line, requests one way and messages the other.

A request is answered by any number of messages that carry its id, and the last one is `Done` or `Failed`.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, TypeAdapter

from panotti_daemon.models.transcript.models import Transcription


def _path_from_wire(value: object) -> Path:
    return value if isinstance(value, Path) else Path(os.fsdecode(unquote_to_bytes(str(value))))


def _path_to_wire(path: Path) -> str:
    return quote_from_bytes(os.fsencode(path))


WirePath = Annotated[Path, PlainValidator(_path_from_wire), PlainSerializer(_path_to_wire, return_type=str)]
"""A path as its quoted bytes: file names need not be Unicode, and JSON must be."""

Workers = int | Literal["auto"]
Codec = Literal["flac", "opus"]


class Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: int
    """Of the request. Pace and ready belong to none that is answered: 0."""


class Track(BaseModel):
    model_config = ConfigDict(frozen=True)

    path: WirePath
    label: str | None = None


class ProbeRequest(Line):
    kind: Literal["probe"] = "probe"
    paths: tuple[WirePath, ...]


class TranscribeRequest(Line):
    kind: Literal["transcribe"] = "transcribe"
    tracks: tuple[Track, ...]
    language: str
    """A code such as `en`, or `auto`."""
    model: str
    """A name, a path, or `auto`."""
    models: WirePath
    """The folder of downloaded models."""
    workers: Workers


class EncodeRequest(Line):
    kind: Literal["encode"] = "encode"
    source: WirePath
    target: WirePath
    codec: Codec


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


Request = ProbeRequest | TranscribeRequest | EncodeRequest | PaceRequest


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
    message: str = ""
    duration: float | None = None
    """Seconds, where the container says or FFmpeg can estimate it."""
    format: str | None = None
    audio_streams: int = 0


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


class Done(Line):
    kind: Literal["done"] = "done"
    transcription: Transcription | None = None


class Failed(Line):
    kind: Literal["error"] = "error"
    error: ErrorKind
    message: str


Message = Ready | Probed | Progressed | Done | Failed

_requests: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
_messages: TypeAdapter[Message] = TypeAdapter(
    Annotated[Message, Field(discriminator="kind")],
    config=ConfigDict(hide_input_in_errors=True),  # an error is logged, what was said never
)


def parse_request(line: bytes) -> Request:
    return _requests.validate_json(line)


def parse_message(line: bytes) -> Message:
    return _messages.validate_json(line)


def to_line(line: Line) -> bytes:
    return line.model_dump_json().encode() + b"\n"
