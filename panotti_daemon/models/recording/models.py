"""A recording: one conversation, identified by its content, made of one or several tracks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from panotti_daemon.choices import FileState as FileState
from panotti_daemon.models.recording.tracks import title_of


class Track(BaseModel):
    """One file of a recording, as it was when its content was identified."""

    model_config = ConfigDict(frozen=True)

    path: Path
    label: str | None = None
    """`microphone`, `system`, another name from the settings, or None for the only one."""
    content_hash: str
    size: int
    mtime_ns: int


class Recording(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    content_id: str
    title: str
    tracks: tuple[Track, ...]
    folder: Path
    """The watched folder it came from, or for a file from elsewhere the folder that holds it."""
    duration: float | None = None
    incomplete: bool = False
    revision: int = 1
    revision_of: str | None = None
    created_at: datetime

    @property
    def path(self) -> Path:
        return self.tracks[0].path

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(track.path.name for track in self.tracks)

    def found_at(self, tracks: tuple[Track, ...], folder: Path, patterns: Mapping[str, str]) -> Recording:
        """The same content where it stands as well; files that have other names there give it their title, by the
        `patterns` of the folder's tracks."""
        is_renamed = tracks[0].path.name != self.path.name
        title = title_of([track.path.name for track in tracks], patterns) if is_renamed else self.title
        return self.model_copy(update={"title": title, "tracks": tracks, "folder": folder})


class FinishedFile(BaseModel):
    """A file that stands in its folder and is transcribed, as the ledger knows it."""

    model_config = ConfigDict(frozen=True)

    path: Path
    folder: Path
    """The watched folder."""
    size: int
    mtime_ns: int
    content_hash: str
    recording_id: str
    transcript_id: str
    title: str
    reason: str
    """What the ledger says of it."""
    incomplete: bool = False
    """Less is there than its header promises."""
    no_speech: bool = False
    finished_at: datetime
    """When its content was transcribed, maybe under another name."""
    changed_at: datetime
    """When the ledger had the last news of it: that it is done, or back."""
