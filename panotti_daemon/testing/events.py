"""Events as Panotti would publish them, all about one recording; a test names only what matters to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from panotti_daemon.core.events.models import Event
from panotti_daemon.core.events.types import (
    Attention,
    CleanedFile,
    CleanupCompleted,
    EventContext,
    EventPriority,
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
    TranscriptionMetadata,
)
from panotti_daemon.models.recording.models import Recording, Track
from panotti_daemon.models.transcript.models import Segment, Transcription

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

RECORDING = Recording(
    id="r1",
    content_id="c1",
    title="Call with Ann",
    tracks=(Track(path=Path("/in/call.wav"), content_hash="h", size=1000, mtime_ns=1),),
    folder=Path("/in"),
    duration=62.0,
    created_at=NOW,
)

OF_PANOTTI_ITSELF = {"recording", "daemon"}

_ABOUT = RecordingData.of(RECORDING)

SAMPLES: dict[str, Payload] = {
    "recording.ready": RecordingReady(recording=_ABOUT, transcript_id="t1", language="auto", model="auto"),
    "recording.known": RecordingKnown(recording=_ABOUT, transcript_id="t1", path="/in/copy.wav", folder="/in"),
    "transcription_local.completed": TranscriptionCompleted(
        recording=_ABOUT,
        transcription=TranscriptionData(
            status="completed",
            timestamp=NOW,
            recording_id="r1",
            output_file="/out/call.txt",
            transcript_paths={"txt": "/out/call.txt", "json": "/out/call.json"},
            model="tiny.en",
            language="en",
        ),
        metadata=TranscriptionMetadata(duration=62.0, speech_seconds=2.0, words=5, excerpt="Hello Ann. How are you?"),
        context=EventContext(correlation_id="r1", source_plugin="transcription_local"),
    ),
    "recording.forgotten": RecordingForgotten(recording_id="r1"),
    "daemon.attention": Attention(about="disk", title="The disk is full", message="Make room on it."),
    "daemon.plugin_rests": PluginRests(plugin="other", reason="It failed five times in a row", until=NOW),
    "cleanup_files.completed": CleanupCompleted(
        files=[CleanedFile(path="/in/call.wav", recording_id="r1", action="trash", trashed="/trash/call.wav")],
        bytes_freed=0,
        bytes_in_trash=1000,
    ),
    "desktop_notification.completed": NotificationCompleted(
        status="accepted by the server", title="Call with Ann is transcribed", recordings=["r1"]
    ),
}


def event_for(
    name: str,
    data: Mapping[str, Any] | None = None,
    *,
    correlation_id: str | None = None,
    priority: EventPriority = EventPriority.NORMAL,
) -> Event:
    """A valid event of that name. `data` goes over the sample's, key by key and level by level:
    `event_for("transcription_local.completed", {"metadata": {"words": 12}})`."""
    sample = _error(name) if name.endswith(".error") else SAMPLES.get(name)
    whole = _merged(sample.model_dump(mode="json") if sample else {}, data or {})
    area = name.partition(".")[0]
    return Event.create(
        name,
        whole,
        correlation_id=correlation_id,
        source_plugin=None if area in OF_PANOTTI_ITSELF else area,
        priority=priority,
        created_at=NOW,
    )


def transcription(*texts: str) -> Transcription:
    """What the engine makes of a recording in which this is said, a second each; with none, one without speech."""
    return Transcription(
        segments=tuple(
            Segment(start=i, end=i + 1, text=text, avg_logprob=-0.1, no_speech_prob=0.1, compression_ratio=1.0)
            for i, text in enumerate(texts)
        ),
        language="en",
        language_probability=1.0,
        model="tiny.en",
        duration=62.0,
        speech_seconds=float(len(texts)),
        warnings=("quiet",),
    )


def _error(name: str) -> PluginError:
    plugin = name.removesuffix(".error")
    return PluginError(
        plugin=plugin,
        event_id="e1",
        event_name="recording.ready",
        recording_id=RECORDING.id,
        recording_title=RECORDING.title,
        path=str(RECORDING.path),
        title=f"{plugin} failed",
        message="The file is damaged.",
        attempts=3,
    )


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return merged
