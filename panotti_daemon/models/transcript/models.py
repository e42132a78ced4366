"""What the engine makes of a recording, and what is kept of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)  # an error is logged, what was said never


class Segment(Frozen):
    """A stretch of speech. Times are seconds on the recording's own clock."""

    start: float
    end: float
    text: str
    track: str | None = None
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float


class Coverage(Frozen):
    """How much of the speech was turned into text, and how well that went."""

    transcribed_seconds: float = Field(0.0, description="Seconds of speech that have text.")
    windows: int = Field(0, description="Windows of speech that were decoded.")
    decoded_again: int = Field(
        0, description="Windows whose first decoding failed a gate: a loop, a gap, low confidence."
    )
    suspect: int = Field(0, description="Windows that failed a gate the second time too.")


class Transcription(Frozen):
    """The engine's answer for one recording: segments in the order of their start, and how it came to them."""

    segments: tuple[Segment, ...]
    language: str
    language_probability: float
    model: str
    duration: float
    """Seconds of the longest track."""
    speech_seconds: float
    coverage: Coverage = Coverage()
    incomplete: bool = False
    """The file held less than its header promised."""
    warnings: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    """Of the libraries that made it, by name."""


class TranscriptStatus(StrEnum):
    PENDING = "pending"
    DONE = "done"
    NO_SPEECH = "no_speech"


class Transcript(Frozen):
    """A stored transcription: one for each recording, language setting and model setting."""

    id: str
    recording_id: str
    content_id: str
    title: str
    language_setting: str
    model_setting: str
    status: TranscriptStatus
    created_at: datetime
    result: Transcription | None = None
