"""The events that Panotti knows: their names, what each carries, and how urgent one can be."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict

from panotti_daemon.models.recording.models import Recording


class EventPriority(IntEnum):
    """Orders what waits."""

    BACKLOG = 0
    """Found by the first scan of a folder."""
    NORMAL = 10
    """What arrives."""
    HIGH = 20
    NOW = 30
    """What a person asks for."""


class Payload(BaseModel):
    """What an event carries. `payload_version` grows when a stored older one needs `upgrade`."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)  # an error is logged, what was said never

    payload_version: ClassVar[int] = 1

    @classmethod
    def upgrade(cls, data: dict[str, Any], version: int) -> dict[str, Any]:
        """The data of an event that was stored at an older version, in today's form."""
        return data


class TrackData(BaseModel):
    path: str
    label: str | None = None
    size: int


class RecordingData(BaseModel):
    id: str
    content_id: str
    title: str
    path: str
    """Of its first track."""
    folder: str
    tracks: list[TrackData]
    duration: float | None = None
    incomplete: bool = False
    revision: int = 1
    revision_of: str | None = None

    @classmethod
    def of(cls, recording: Recording) -> Self:
        return cls(
            id=recording.id,
            content_id=recording.content_id,
            title=recording.title,
            path=str(recording.path),
            folder=str(recording.folder),
            tracks=[TrackData(path=str(t.path), label=t.label, size=t.size) for t in recording.tracks],
            duration=recording.duration,
            incomplete=recording.incomplete,
            revision=recording.revision,
            revision_of=recording.revision_of,
        )


class RecordingReady(Payload):
    """A recording is whole, known by its content, and not yet transcribed with these settings."""

    recording: RecordingData
    transcript_id: str
    language: str
    model: str


class RecordingKnown(Payload):
    """A file came whose content has been seen before: its outputs may be missing, nothing is to be decoded."""

    recording: RecordingData
    transcript_id: str
    path: str
    """The file that came."""
    folder: str


class RecordingForgotten(Payload):
    """A person asked that nothing be known of a recording any more: whoever keeps something of it forgets it, too."""

    recording_id: str


class TranscriptionData(BaseModel):
    status: Literal["completed", "no_speech", "restored"]
    timestamp: datetime
    recording_id: str
    output_file: str | None
    """The transcript that a person would open: the first of its formats."""
    transcript_paths: dict[str, str]
    """By format."""
    model: str
    language: str
    speaker_labels: dict[str, str] = {}


class TranscriptionMetadata(BaseModel):
    duration: float
    speech_seconds: float
    words: int
    excerpt: str
    """The first words."""
    warnings: list[str] = []


class EventContext(BaseModel):
    correlation_id: str
    source_plugin: str
    metadata: dict[str, Any] = {}


class TranscriptionCompleted(Payload):
    recording: RecordingData
    transcription: TranscriptionData
    metadata: TranscriptionMetadata
    context: EventContext


class PluginError(Payload):
    """A delivery died: the plugin failed at it for the last time. Published by the bus, once."""

    plugin: str
    event_id: str
    event_name: str
    recording_id: str | None = None
    recording_title: str | None = None
    path: str | None = None
    title: str
    message: str
    attempts: int


class Attention(Payload):
    """Something that only the user can put right, told once when it begins and once when it is over."""

    about: str
    """The same at its end as at its beginning."""
    title: str
    message: str
    over: bool = False


class PluginRests(Payload):
    """A plugin failed so often that it gets nothing for a while; what is for it waits."""

    plugin: str
    reason: str
    until: datetime


class NotificationCompleted(Payload):
    """What became of a notification; no server can tell whether somebody read it."""

    status: Literal["accepted by the server", "no server", "clicked"]
    title: str
    recordings: list[str]


class TranscriptionProgress(Payload):
    recording_id: str
    title: str
    fraction: float
    seconds_left: float | None = None


class HeardSegment(BaseModel):
    start: float
    end: float
    text: str
    track: str | None = None


class TranscriptionHeard(Payload):
    """Text as it comes, long before a transcript is done; windows that are decoded at once may come in any order."""

    recording_id: str
    segments: list[HeardSegment]


class CleanedFile(BaseModel):
    path: str
    """Where it stood."""
    recording_id: str
    action: Literal["archive", "flac", "opus", "trash", "delete"]
    archived: str | None = None
    """What the archive holds of it now."""
    trashed: str | None = None
    """Where it lies in the trash."""


class CleanupCompleted(Payload):
    """What was done with recordings whose transcripts are whole."""

    files: list[CleanedFile]
    bytes_freed: int
    """On the disks where they stood."""
    bytes_in_trash: int
    """Freed once the trash is emptied."""


RESTS = "daemon.plugin_rests"

EVENTS: dict[str, type[Payload]] = {
    "recording.ready": RecordingReady,
    "recording.known": RecordingKnown,
    "recording.forgotten": RecordingForgotten,
    "transcription_local.completed": TranscriptionCompleted,
    "daemon.attention": Attention,
    "desktop_notification.completed": NotificationCompleted,
    "cleanup_files.completed": CleanupCompleted,
    RESTS: PluginRests,
}
"""Stored and delivered. Each plugin's `PLUGIN.error` (PluginError) comes on top."""

ANNOUNCEMENTS: dict[str, type[Payload]] = {
    "transcription_local.started": TranscriptionProgress,
    "transcription_local.progress": TranscriptionProgress,
    "transcription_local.heard": TranscriptionHeard,
    "transcription_local.stopped": TranscriptionProgress,
}
"""Passing: never stored."""


def payload_type(name: str) -> type[Payload] | None:
    """The payload model of an event or announcement; None for one that only a plugin knows."""
    if name.endswith(".error"):
        return PluginError
    return EVENTS.get(name) or ANNOUNCEMENTS.get(name)
