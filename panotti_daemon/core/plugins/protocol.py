"""What a plugin can reach: the services of its context, as the daemon promises them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from structlog.stdlib import BoundLogger

from panotti_daemon.clock import Clock
from panotti_daemon.models.recording.models import FinishedFile, Recording
from panotti_daemon.models.transcript.models import Checkpoint, RequestedSettings, Transcript, Transcription

OnProgress = Callable[[float, float | None], None]
"""Told the fraction that is done and the seconds that are left, if these can be guessed."""
OnCheckpoint = Callable[[Checkpoint], None]
"""Told of windows as they are done."""


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
    """The seam that engines stand behind; docs/remote.md says what another one must do."""

    async def transcribe(
        self,
        recording: Recording,
        settings: RequestedSettings,
        *,
        done: Sequence[Checkpoint] = (),
        on_progress: OnProgress,
        on_checkpoint: OnCheckpoint,
    ) -> Transcription:
        """Goes on behind what an earlier try has `done`, where that can still be used. Cancelling ends it within a
        second; what was finished until then is still told to `on_checkpoint`.

        Raises MediaError or another PermanentError, ModelUnavailable, SourceUnavailable or another Unavailable, and
        EngineError for all else."""


class Transcripts(Protocol):
    async def get(self, transcript_id: str) -> Transcript:
        """Pending until it has been stored. Raises PermanentError if it has been forgotten."""

    async def store(self, transcript_id: str, result: Transcription) -> Transcript:
        """Keeps the engine's result; storing it again replaces it."""

    async def checkpoints(self, transcript_id: str) -> Sequence[Checkpoint]:
        """What was kept of a pending one, in the order of its decoding."""

    async def keep(self, transcript_id: str, checkpoint: Checkpoint) -> None:
        """Until the result is stored."""


class Outputs(Protocol):
    async def write(self, transcript: Transcript, recording: Recording) -> Mapping[str, Path]:
        """Writes what the folder's settings ask for, and returns each format's file. Raises OutputUnavailable."""

    async def restore(self, transcript: Transcript, recording: Recording, came: Path) -> Mapping[str, Path]:
        """Writes only what is missing for the folder of a file with known content; returns what it wrote."""

    def speaker_labels(self, transcript: Transcript, recording: Recording, came: Path | None = None) -> dict[str, str]:
        """How what `write`, or `restore` for the file that came, has written shows each track, by its label."""


class Library(Protocol):
    """The finished recordings, for who keeps order among them."""

    roots: tuple[Path, ...]
    """The watched folders and those of their transcripts."""

    async def finished(self) -> Sequence[FinishedFile]:
        """What stands in its folder and is transcribed, the oldest transcript first; copies are not among them."""

    lock: asyncio.Lock
    """Held by who moves recordings."""

    async def bytes_below(self, folder: Path) -> int:
        """What the files in and below a folder amount to, those that were archived there not counted."""

    async def doubt(self, file: FinishedFile) -> str | None:
        """Why its transcript may not be all that is left of it; None: its files were read from disk again, and are
        whole."""

    def content_hash(self, file: BinaryIO) -> str:
        """As in `FinishedFile`, of an open file; reads all of it, in a thread. Raises InterruptedError when the daemon
        is to stop."""

    def is_being_written(self, path: Path) -> bool:
        """Whether another program is seen to have it open for writing."""

    async def archive(self, path: Path, size: int, mtime_ns: int, original: FinishedFile) -> None:
        """What is about to appear at `path` belongs to this recording, and is no candidate for transcription."""

    async def unarchive(self, path: Path) -> None:
        """Takes that back."""

    async def note(self, file: FinishedFile, reason: str, *, present: bool) -> None:
        """What the ledger shall say of a file that was taken away or brought back; its state stays."""


class Media(Protocol):
    async def encode(self, source: Path, target: Path, codec: Literal["flac", "opus"]) -> None:
        """Writes a recording's sound to a new file, in a process of its own, and verifies it: FLAC sample by sample,
        Opus by its length. Raises MediaError where that would lose anything, SourceUnavailable, EngineError."""


class Requests(Protocol):
    async def retry_recording(self, recording_id: str) -> int:
        """Tries again what failed or waits, as a person asks for it; returns how many things that changed."""


class Desktop(Protocol):
    async def open(self, path: Path) -> None:
        """In the program that the user has for it. Raises OSError, also for what is gone."""

    async def show_in_folder(self, path: Path) -> None:
        """Its folder, with the file selected where the desktop can do that. Raises OSError, also for what is gone."""


@dataclass(frozen=True)
class Context:
    """Given to each plugin; the only way to reach anything."""

    recordings: Recordings
    transcriber: Transcriber
    transcripts: Transcripts
    outputs: Outputs
    library: Library
    media: Media
    requests: Requests
    desktop: Desktop
    clock: Clock
    log: BoundLogger
    """Bound to the plugin's name. Never log what was said in a recording."""
    data: Path
    """A folder of the plugin's own, for it to make when it needs one."""
    resources: Path
    """Panotti's icons and the like."""
