"""What a plugin's context offers, in memory."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

import structlog

from panotti_daemon.clock import Clock
from panotti_daemon.core.plugins.protocol import Context, OnCheckpoint, OnProgress
from panotti_daemon.errors import PermanentError
from panotti_daemon.models.recording.models import FinishedFile, Recording
from panotti_daemon.models.transcript.models import (
    Checkpoint,
    RequestedSettings,
    Transcript,
    Transcription,
    TranscriptStatus,
)
from panotti_daemon.paths import bundled
from panotti_daemon.testing.events import NOW, RECORDING, transcription


@dataclass
class Services:
    """What they answer is set here; what is asked of them is noted in `log`, in its order."""

    recording: Recording = RECORDING
    """The only one that there is."""
    result: Transcription = field(default_factory=lambda: transcription("Hello Ann.", "How are you?"))
    """What the transcriber returns."""
    stored: Transcription | None = None
    """What the recording's transcript holds; None while it is pending."""
    is_whole: bool = True
    """Whether the recording's files are there, before they are read."""
    has_changed: bool = False
    """Whether one of them has another content afterwards."""
    failures: list[Exception] = field(default_factory=list)
    """What the next attempts at writing raise."""
    written: Mapping[str, Path] = field(
        default_factory=lambda: {"txt": Path("/out/call.txt"), "json": Path("/out/call.json")}
    )
    missing: Mapping[str, Path] = field(default_factory=dict)
    """What a restoration finds to write."""
    settings: RequestedSettings = field(default_factory=RequestedSettings)
    """What the recording's folder asks of the engine."""
    decoded: Sequence[Checkpoint] = ()
    """What the engine tells while it works, in order."""
    kept: list[Checkpoint] = field(default_factory=list)
    """Of `decoded`, by the plugin."""
    speaker_labels: dict[str, str] = field(default_factory=dict)
    """How the tracks are shown."""
    finished: Sequence[FinishedFile] = ()
    """What the library holds."""
    doubt: str | None = None
    """Why their transcripts may not be all that is left of them."""
    log: list[str] = field(default_factory=list)

    def context(self, plugin: str, clock: Clock, data: Path) -> Context:
        return Context(
            recordings=_Recordings(self),
            transcriber=_Transcriber(self),
            transcripts=_Transcripts(self),
            outputs=_Outputs(self),
            library=_Library(self, tuple({file.folder for file in self.finished})),
            media=_Media(self),
            requests=_Requests(self),
            desktop=_Desktop(self),
            clock=clock,
            log=structlog.get_logger(f"plugins.{plugin}").bind(plugin=plugin),
            data=data,
            resources=bundled("resources"),
        )

    @property
    def transcript(self) -> Transcript:
        """The recording's."""
        status = TranscriptStatus.PENDING
        if self.stored:
            status = TranscriptStatus.DONE if self.stored.segments else TranscriptStatus.NO_SPEECH
        return Transcript(
            id="t1",
            recording_id=self.recording.id,
            content_id=self.recording.content_id,
            title=self.recording.title,
            settings=self.settings,
            status=status,
            created_at=NOW,
            result=self.stored,
        )


@dataclass
class _Recordings:
    services: Services

    async def get(self, recording_id: str, transcript_id: str | None = None) -> Recording:
        if recording_id != self.services.recording.id:
            raise PermanentError("It has been forgotten.")
        return self.services.recording

    async def is_whole(self, recording: Recording) -> bool:
        self.services.log.append("is it whole?")
        return self.services.is_whole

    async def has_changed(self, recording: Recording) -> bool:
        self.services.log.append("has it changed?")
        return self.services.has_changed


@dataclass
class _Transcriber:
    services: Services

    async def transcribe(
        self,
        recording: Recording,
        settings: RequestedSettings,
        *,
        done: Sequence[Checkpoint] = (),
        on_progress: OnProgress,
        on_checkpoint: OnCheckpoint,
    ) -> Transcription:
        self.services.log.append(f"decode {settings.language} {settings.model}")
        on_progress(0.5, 3.0)
        for checkpoint in self.services.decoded[len(done) :]:
            on_checkpoint(checkpoint)
        return self.services.result


@dataclass
class _Transcripts:
    services: Services

    async def get(self, transcript_id: str) -> Transcript:
        return self.services.transcript

    async def store(self, transcript_id: str, result: Transcription) -> Transcript:
        self.services.log.append("store")
        self.services.stored = result
        return self.services.transcript

    async def checkpoints(self, transcript_id: str) -> Sequence[Checkpoint]:
        return list(self.services.kept)

    async def keep(self, transcript_id: str, checkpoint: Checkpoint) -> None:
        self.services.kept.append(checkpoint)


@dataclass
class _Outputs:
    services: Services

    async def write(self, transcript: Transcript, recording: Recording) -> Mapping[str, Path]:
        self.services.log.append("write")
        if self.services.failures:
            raise self.services.failures.pop(0)
        return self.services.written

    async def restore(self, transcript: Transcript, recording: Recording, came: Path) -> Mapping[str, Path]:
        self.services.log.append(f"restore {came}")
        return self.services.missing

    def speaker_labels(self, transcript: Transcript, recording: Recording, came: Path | None = None) -> dict[str, str]:
        return self.services.speaker_labels


@dataclass
class _Library:
    services: Services
    roots: tuple[Path, ...]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def finished(self) -> Sequence[FinishedFile]:
        return self.services.finished

    async def bytes_below(self, folder: Path) -> int:
        return sum(file.size for file in self.services.finished if file.folder == folder)

    async def doubt(self, file: FinishedFile) -> str | None:
        return self.services.doubt

    def content_hash(self, file: BinaryIO) -> str:
        return hashlib.blake2b(file.read()).hexdigest()

    def is_being_written(self, path: Path) -> bool:
        return False

    async def archive(self, path: Path, size: int, mtime_ns: int, original: FinishedFile) -> None:
        self.services.log.append(f"archive {path}")

    async def unarchive(self, path: Path) -> None:
        self.services.log.append(f"unarchive {path}")

    async def note(self, file: FinishedFile, reason: str, *, present: bool) -> None:
        self.services.log.append(f"note {file.path}: {reason}")


@dataclass
class _Media:
    services: Services

    async def encode(self, source: Path, target: Path, codec: Literal["flac", "opus"]) -> None:
        self.services.log.append(f"encode {source} as {codec}")
        await asyncio.to_thread(shutil.copyfile, source, target)


@dataclass
class _Requests:
    services: Services

    async def retry_recording(self, recording_id: str) -> int:
        self.services.log.append(f"retry {recording_id}")
        return 1


@dataclass
class _Desktop:
    services: Services

    async def open(self, path: Path) -> None:
        self.services.log.append(f"open {path}")

    async def show_in_folder(self, path: Path) -> None:
        self.services.log.append(f"show {path} in its folder")
