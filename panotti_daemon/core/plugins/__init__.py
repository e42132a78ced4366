"""Everything that a plugin may import."""

from pydantic import BaseModel, ConfigDict, Field

from panotti_daemon.clock import local
from panotti_daemon.core.events.models import Event
from panotti_daemon.core.events.types import (
    Attention,
    CleanedFile,
    CleanupCompleted,
    EventContext,
    EventPriority,
    HeardSegment,
    NotificationCompleted,
    Payload,
    PluginError,
    PluginRests,
    RecordingData,
    RecordingForgotten,
    RecordingKnown,
    RecordingReady,
    TranscriptionCompleted,
    TranscriptionData,
    TranscriptionHeard,
    TranscriptionMetadata,
    TranscriptionProgress,
)
from panotti_daemon.core.plugins.interface import Health, PluginBase
from panotti_daemon.core.plugins.protocol import Context, Library
from panotti_daemon.core.plugins.secrets import Secret
from panotti_daemon.errors import MediaError, PanottiError, PermanentError, Unavailable
from panotti_daemon.hours import Hours, checked_hours
from panotti_daemon.models.recording.models import FinishedFile, Recording
from panotti_daemon.models.transcript.models import Checkpoint, Transcript, Transcription, TranscriptStatus
from panotti_daemon.sizes import shown_size
from panotti_daemon.spelling import is_within

__all__ = [
    "Attention",
    "BaseModel",
    "Checkpoint",
    "CleanedFile",
    "CleanupCompleted",
    "ConfigDict",
    "Context",
    "Event",
    "EventContext",
    "EventPriority",
    "Field",
    "FinishedFile",
    "Health",
    "HeardSegment",
    "Hours",
    "Library",
    "MediaError",
    "NotificationCompleted",
    "PanottiError",
    "Payload",
    "PermanentError",
    "PluginBase",
    "PluginError",
    "PluginRests",
    "Recording",
    "RecordingData",
    "RecordingForgotten",
    "RecordingKnown",
    "RecordingReady",
    "Secret",
    "Transcript",
    "TranscriptStatus",
    "Transcription",
    "TranscriptionCompleted",
    "TranscriptionData",
    "TranscriptionHeard",
    "TranscriptionMetadata",
    "TranscriptionProgress",
    "Unavailable",
    "checked_hours",
    "is_within",
    "local",
    "shown_size",
]
