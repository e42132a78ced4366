"""Everything that a plugin may import."""

from pydantic import BaseModel, ConfigDict, Field

from panotti_daemon.core.events.models import Event
from panotti_daemon.core.events.types import (
    EventContext,
    EventPriority,
    NotificationCompleted,
    Payload,
    PluginError,
    RecordingData,
    RecordingKnown,
    RecordingReady,
    TranscriptionCompleted,
    TranscriptionData,
    TranscriptionMetadata,
    TranscriptionProgress,
)
from panotti_daemon.core.plugins.interface import Health, PluginBase
from panotti_daemon.core.plugins.protocol import Context
from panotti_daemon.errors import PermanentError, Unavailable
from panotti_daemon.models.recording.models import Recording
from panotti_daemon.models.transcript.models import Transcript, Transcription, TranscriptStatus

__all__ = [
    "BaseModel",
    "ConfigDict",
    "Context",
    "Event",
    "EventContext",
    "EventPriority",
    "Field",
    "Health",
    "NotificationCompleted",
    "Payload",
    "PermanentError",
    "PluginBase",
    "PluginError",
    "Recording",
    "RecordingData",
    "RecordingKnown",
    "RecordingReady",
    "Transcript",
    "TranscriptStatus",
    "Transcription",
    "TranscriptionCompleted",
    "TranscriptionData",
    "TranscriptionMetadata",
    "TranscriptionProgress",
    "Unavailable",
]
