"""What goes over the wire: the bodies of the HTTP API, used by its server and its client alike."""

from __future__ import annotations

import os
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from panotti_daemon.choices import FileState


def _absolute(path: str) -> str:
    if "\0" in path or not os.path.isabs(path):  # noqa: PTH117
        raise ValueError("must be an absolute path")
    try:
        path.encode()
    except UnicodeEncodeError:  # JSON can spell half a character
        raise ValueError("must be valid Unicode") from None
    return os.path.normpath(path)


AbsolutePath = Annotated[str, Field(description="An absolute path."), AfterValidator(_absolute)]


class Activity(StrEnum):
    """What the whole daemon is at, in one word."""

    IDLE = "idle"
    WORKING = "working"
    PAUSED = "paused"
    TROUBLE = "trouble"


class Job(BaseModel):
    """A recording that is being transcribed now."""

    recording_id: str
    title: str
    fraction: float = Field(0.0, ge=0, le=1)
    seconds_left: float | None = None


class Queue(BaseModel):
    """How many files of the ledger are in each stage that is not final, and how many failed."""

    growing: int = 0
    ready: int = 0
    waiting: int = 0
    failed: int = 0


class QueuedRecording(BaseModel):
    recording_id: str
    title: str


class RecentTranscript(BaseModel):
    recording_id: str
    title: str
    finished_at: datetime
    path: str | None = Field(description="The transcript to open, the first of its formats; null if it is gone.")


class Failure(BaseModel):
    recording_id: str | None
    path: str
    reason: str


class FolderStatus(BaseModel):
    path: str
    output: str = Field(description="Where its transcripts go: a folder, or `beside`.")
    state: Literal["watching", "polling", "missing", "unreadable"]
    reason: str | None = None


class PluginStatus(BaseModel):
    name: str
    version: str | None = None
    state: Literal["registered", "initialized", "running", "stopped", "failed", "disabled"]
    reason: str | None = None
    healthy: bool = True


class BacklogStatus(BaseModel):
    """What a folder held when it was first watched, waiting for a yes."""

    folder: str
    files: int
    audio_seconds: float
    estimated_seconds: float = Field(description="How long transcribing it may take on this machine.")


class EngineStatus(BaseModel):
    state: Literal["off", "idle", "working"]
    model: str | None = None


class Pause(BaseModel):
    until: AwareDatetime | None = Field(None, description="When it ends by itself; null: when resumed.")


class Status(BaseModel):
    version: str
    activity: Activity
    summary: str = Field(description="One line for a person: `Transcribing interview.m4a, 42 %`.")
    pid: int
    started_at: datetime
    url: str
    log_file: str
    pause: Pause | None = None
    jobs: list[Job] = []
    queue: Queue = Queue()
    queued: list[QueuedRecording] = Field([], description="The next ones, in the order in which they are taken.")
    folders: list[FolderStatus] = []
    plugins: list[PluginStatus] = []
    engine: EngineStatus = EngineStatus(state="off")
    backlog: list[BacklogStatus] = []
    recent: list[RecentTranscript] = []
    failures: list[Failure] = []
    problems: list[str] = Field([], description="What is wrong just now, a sentence each.")
    announcements_dropped: int = 0


class RuntimeInfo(BaseModel):
    """The runtime file: how the daemon's own tray and command line reach it. Readable by its owner only."""

    pid: int
    url: str
    token: str
    started_at: datetime


class LedgerEntry(BaseModel):
    path: str
    state: FileState
    reason: str
    folder: str
    size: int | None = None
    recording_id: str | None = None
    duplicate_of: str | None = None
    incomplete: bool = False
    present: bool = Field(True, description="False once the file itself is gone from its folder.")
    first_seen: datetime
    updated_at: datetime


class TrackInfo(BaseModel):
    path: str
    label: str | None = None
    size: int


class RecordingSummary(BaseModel):
    id: str
    content_id: str
    title: str
    state: FileState
    reason: str
    duration: float | None = None
    incomplete: bool = False
    revision: int = 1
    revision_of: str | None = None
    tracks: list[TrackInfo]
    created_at: datetime


class OutputFile(BaseModel):
    path: str
    format: str
    present: bool


class RecordingDetail(RecordingSummary):
    language: str | None = None
    model: str | None = None
    files: list[LedgerEntry] = []
    outputs: list[OutputFile] = []


class LedgerPage(BaseModel):
    items: list[LedgerEntry]
    total: int
    next_offset: int | None = None


class RecordingPage(BaseModel):
    items: list[RecordingSummary]
    total: int
    next_offset: int | None = None


class PathRequest(BaseModel):
    path: AbsolutePath


class Changed(BaseModel):
    """How many things a request changed."""

    count: int


class BacklogDecision(BaseModel):
    accept: bool
    folder: AbsolutePath | None = Field(None, description="Null: every folder that asks.")


class Problem(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
