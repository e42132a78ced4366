"""What a plugin can reach: the services of its context, as the daemon promises them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from structlog.stdlib import BoundLogger

from panotti_daemon.clock import Clock
from panotti_daemon.models.recording.models import Recording
from panotti_daemon.models.transcript.models import Transcript, Transcription

OnProgress = Callable[[float, float | None], None]
"""Told the fraction that is done and the seconds that are left, if these can be guessed."""


class Recordings(Protocol):
    async def get(self, recording_id: str, transcript_id: str | None = None) -> Recording:
        """With its tracks where the files stand that the transcript is to be made of, if one is named: those of a copy
        in a folder with other settings, or under a new name. Raises PermanentError if it has been forgotten."""

    async def is_whole(self, recording: Recording) -> bool:
        """Whether its files are there, and are what they were when their content was identified. What changed is looked
        at again by itself. Raises SourceUnavailable when their folder is gone."""

    async def has_changed(self, recording: Recording) -> bool:
        """Whether one of its files has another content by now. One that is gone has not: what was read of it holds."""


class Transcriber(Protocol):
    async def transcribe(
        self, recording: Recording, *, language: str, model: str, on_progress: OnProgress
    ) -> Transcription:
        """Raises MediaError, EngineError, ModelUnavailable or SourceUnavailable. Cancelling ends it at once."""


class Transcripts(Protocol):
    async def get(self, transcript_id: str) -> Transcript:
        """Pending until it has been stored. Raises PermanentError if it has been forgotten."""

    async def store(self, transcript_id: str, result: Transcription) -> Transcript:
        """Keeps the engine's result; storing it again replaces it."""


class Outputs(Protocol):
    async def write(self, transcript: Transcript, recording: Recording) -> Mapping[str, Path]:
        """Writes what the folder's settings ask for, and returns each format's file. Raises OutputUnavailable."""

    async def restore(self, transcript: Transcript, recording: Recording, came: Path) -> Mapping[str, Path]:
        """Writes only what is missing for the folder of a file with known content; returns what it wrote."""


@dataclass(frozen=True)
class Context:
    """Given to each plugin; the only way to reach anything."""

    recordings: Recordings
    transcriber: Transcriber
    transcripts: Transcripts
    outputs: Outputs
    clock: Clock
    log: BoundLogger
    """Bound to the plugin's name. Never log what was said in a recording."""
    data: Path
    """A folder of the plugin's own; made when first used."""
    resources: Path
    """Panotti's icons and the like."""
