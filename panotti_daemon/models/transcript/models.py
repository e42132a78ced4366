"""What the engine makes of a recording, and what is kept of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)  # an error is logged, what was said never


class RequestedSettings(Frozen):
    """What was asked of the engine: two transcripts of one recording differ in nothing else."""

    language: str = Field("auto", description="`auto` or a language's code.")
    model: str = Field("auto", description="`auto` or a model's name.")
    task: Literal["transcribe", "translate"] = Field("transcribe", description="`translate`: into English.")
    words: bool = Field(False, description="Whether each word has its own times.")
    vocabulary: tuple[str, ...] = Field((), description="Names and terms that may be spoken.")
    noise_reduction: bool = Field(False, description="Whether noise was filtered out before.")
    split: dict[str, str] = Field({}, description="The streams or channels of a file that are tracks, by label.")


class Word(Frozen):
    """Times are seconds on the recording's own clock."""

    start: float
    end: float
    text: str
    """As the model wrote it: with the space before it, and its punctuation."""
    probability: float


class Segment(Frozen):
    """A stretch of speech. Times are seconds on the recording's own clock."""

    start: float
    end: float
    text: str
    track: str | None = None
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    words: tuple[Word, ...] = ()
    """Only where they were asked for."""
    bleed: bool = False
    """The other side of a call, heard in this track: kept, and left out of what is read."""


class Coverage(Frozen):
    """How much of the speech was turned into text, and how well that went."""

    transcribed_seconds: float = Field(0.0, description="Seconds of speech that have text.")
    windows: int = Field(0, description="Windows of speech that were decoded.")
    decoded_again: int = Field(
        0, description="Windows whose first decoding failed a gate: a loop, a gap, low confidence."
    )
    suspect: int = Field(0, description="Windows that failed a gate the second time too.")


class DecodedWindow(Frozen):
    """A stretch of one track, and what was said in it."""

    track: int
    """Its number in the request."""
    start: int
    """Samples at 16 kHz, as is the end."""
    end: int
    segments: tuple[Segment, ...]
    transcribed_seconds: float
    again: bool
    suspect: bool


class Checkpoint(Frozen):
    """Windows that were decoded together: kept as they come, so that a killed job goes on where it stopped."""

    model: str
    language: str
    language_probability: float
    windows: tuple[DecodedWindow, ...]
    fraction: float = 0.0
    """Of the recording, that was done by then."""


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
    """A stored transcription: one for each recording and what was asked of the engine."""

    id: str
    recording_id: str
    content_id: str
    title: str
    settings: RequestedSettings
    status: TranscriptStatus
    created_at: datetime
    result: Transcription | None = None
