"""What goes over the wire: the bodies of the HTTP API, used by its server and its client alike."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, model_validator

from panotti_daemon.choices import DeliveryState, FileState, Urgency

LONGEST_PATH = 4095
LONGEST_NAME = 255
"""Linux counts bytes, other systems characters; they refuse to look for more."""
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""What every system can show in every time zone."""


def _length(text: str) -> int:
    return len(text.encode()) if sys.platform == "linux" else len(text)


def absolute_path(path: str) -> str:
    """As the ledger has it. Raises ValueError, in words, for what no file can be called."""
    if "\0" in path or not os.path.isabs(path):  # noqa: PTH117
        raise ValueError("must be an absolute path")
    try:
        path.encode()
    except UnicodeEncodeError:  # JSON can spell half a character
        raise ValueError("is not valid Unicode: rename it") from None
    if _length(path) > LONGEST_PATH or any(_length(name) > LONGEST_NAME for name in Path(path).parts):
        raise ValueError("is longer than that of any file")
    return os.path.normpath(path)


def _showable(moment: datetime) -> datetime:
    if not EARLIEST < moment < LATEST:
        raise ValueError(f"must lie between {EARLIEST:%Y} and {LATEST:%Y}")
    return moment


AbsolutePath = Annotated[str, Field(description="An absolute path."), AfterValidator(absolute_path)]
Moment = Annotated[AwareDatetime, AfterValidator(_showable)]


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
    state: Literal["registered", "initialized", "running", "resting", "stopped", "failed", "disabled"]
    reason: str | None = None
    since: datetime | None = Field(None, description="When it came into this state.")
    healthy: bool = True
    problem: str | None = Field(None, description="What is wrong with it, in a sentence.")


class BacklogStatus(BaseModel):
    """What a folder held when it was first watched, waiting for a yes."""

    folder: str
    files: int
    audio_seconds: float
    estimated_seconds: float = Field(description="How long transcribing it may take on this machine.")


class EngineStatus(BaseModel):
    state: Literal["off", "idle", "working"]
    model: str | None = None
    servers: tuple[str, ...] = Field((), description="Where recordings are sent; none: they stay on this machine.")


class ModelDownload(BaseModel):
    model: str
    fraction: float | None = Field(None, ge=0, le=1)
    problem: str | None = Field(None, description="It failed; what has arrived is kept for the next try.")


class Pause(BaseModel):
    until: Moment | None = Field(None, description="When it ends by itself; null: when resumed.")


class PauseStatus(Pause):
    """What holds up transcription. All but a pause that was asked for lets through what is wanted now."""

    reason: Literal["asked", "hours", "battery", "load"] = "asked"
    battery_percent: int | None = None


class Status(BaseModel):
    version: str
    activity: Activity
    summary: str = Field(description="One line for a person: `Transcribing interview.m4a, 42 %`.")
    pid: int
    started_at: datetime
    url: str
    log_file: str
    pause: PauseStatus | None = None
    jobs: list[Job] = []
    queue: Queue = Queue()
    queued: list[QueuedRecording] = Field([], description="The next ones, in the order in which they are taken.")
    folders: list[FolderStatus] = []
    plugins: list[PluginStatus] = []
    engine: EngineStatus = EngineStatus(state="off")
    downloads: list[ModelDownload] = Field([], description="Of models that were asked for.")
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


class ForgetRequest(BaseModel):
    outputs: bool = Field(False, description="Delete the transcripts that Panotti wrote and nobody edited, too.")
    revisions: bool = Field(False, description="Forget what stood in the same files before or after, too.")
    dry_run: bool = Field(False, description="Only say what would go.")


class ForgetFileRequest(ForgetRequest, PathRequest):
    pass


class ForgottenRecording(BaseModel):
    id: str
    title: str
    revision: int


class KeptOutput(BaseModel):
    path: str
    condition: Literal["unedited", "edited", "unreachable"]


class ForgottenReport(BaseModel):
    """What went, or would go, and what stays."""

    recordings: list[ForgottenRecording]
    transcripts: int
    segments: int
    events: int
    deleted_outputs: list[str] = Field(description="Transcripts.")
    kept_outputs: list[KeptOutput] = Field(description="Transcripts.")
    files: list[str] = Field(description="The recordings' own files. They stay where they are, as `forgotten`.")
    other_revisions: list[ForgottenRecording] = Field(description="They stay known.")
    remains: list[str] = Field(description="Where something of it may still stand.")


class Changed(BaseModel):
    """How many things a request changed."""

    count: int


class BacklogDecision(BaseModel):
    accept: bool
    folder: AbsolutePath | None = Field(None, description="Null: every folder that asks.")


class StoredDelivery(BaseModel):
    """An event on its way to one plugin."""

    subscriber: str
    state: DeliveryState
    attempts: int
    available_at: datetime | None = Field(description="When it is tried again, if it waits for that.")
    error: str | None = Field(description="Why it waits or died; `withdrawn` or `discarded` for one that was ended.")
    updated_at: datetime


class EventHeader(BaseModel):
    """An event without its data, which holds parts of transcripts."""

    id: str
    name: str
    correlation_id: str
    cause_id: str | None
    source_plugin: str | None
    priority: int
    created_at: datetime


class StoredEvent(EventHeader):
    deliveries: list[StoredDelivery]


class EventDetail(StoredEvent):
    payload_version: int
    data: dict[str, Any]


class EventPage(BaseModel):
    items: list[StoredEvent]
    next_before: str | None = Field(description="Give it as `before` to get the next page; null: that was the last.")


class PassingMessage(BaseModel):
    """What the stream tells: a stored event, or an announcement, which has no id."""

    kind: Literal["event", "announcement"]
    name: str
    at: datetime
    id: str | None = None
    correlation_id: str | None = None
    source_plugin: str | None = None
    data: dict[str, Any] | None = Field(None, description="Only if it was asked for.")


class MissedMessages(BaseModel):
    """So many passed too fast for whoever reads the stream."""

    count: int


class DeadDelivery(BaseModel):
    event: EventHeader
    subscriber: str
    attempts: int
    error: str | None
    died_at: datetime


class DeadSelection(BaseModel):
    """Which dead deliveries: those to which everything holds that is given, or `all`."""

    event_id: str | None = None
    correlation_id: str | None = None
    subscriber: str | None = None
    all: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.all == any((self.event_id, self.correlation_id, self.subscriber)):
            raise ValueError("say which, by event_id, correlation_id or subscriber, or else all")
        return self


class ReplayRequest(BaseModel):
    """Which events, those to which everything holds that is given, and to whom."""

    event_id: str | None = None
    correlation_id: str | None = None
    name: str | None = Field(None, description="`*` stands for any part.")
    since: Moment | None = None
    until: Moment | None = None
    to: str | None = Field(None, description="A plugin; null: every one that wants them.")
    priority: Urgency = Urgency.BACKLOG
    dry_run: bool = Field(False, description="Only say what would be done.")


class ReplayStep(BaseModel):
    event: EventHeader
    subscribers: list[str] = Field(description="Who gets it again.")
    on_its_way_to: list[str] = Field(description="Who is left alone, because it is still on its way there.")


class ReplayReport(BaseModel):
    events: int
    deliveries: dict[str, int] = Field(description="How many, by plugin.")
    on_their_way: int = Field(description="Deliveries that were left alone.")
    steps: list[ReplayStep] = Field(description="The first hundred events.")


class Problem(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
