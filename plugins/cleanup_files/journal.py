"""What is done to files: written down before it is done, so that it can be taken back, and set right after a crash."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from panotti_daemon.core.plugins import BaseModel, CleanedFile, ConfigDict, FinishedFile, PluginBase

from .policy import TO_ARCHIVE, Action

PREFIX = "journal/"


class Step(StrEnum):
    DOING = "doing"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"


class Entry(BaseModel):
    """One file, what is done to it, and every name that has a part in that."""

    model_config = ConfigDict(frozen=True)

    number: int
    run: int
    """The number of the first entry of the same look."""
    at: datetime
    action: Action
    file: FinishedFile
    why: str
    step: Step = Step.DOING
    claimed: Path
    """Beside the file: the name that it has while it is on its way, so that nothing else can take its place."""
    is_claimed: bool = False
    """It had that name."""
    mount: Path
    """Where the file's disk is mounted."""
    kept: Path | None = None
    """Where the original goes; None: it is deleted."""
    info: Path | None = None
    """Of the original, for a trash that has such."""
    copying: Path | None = None
    """Where the original is on another disk: the name of the copy until it is whole."""
    encoded: Path | None = None
    """Where its re-encoded form goes."""
    encoding: Path | None = None
    """The name of that until it is whole."""
    encoded_hash: str | None = None
    restored: Path | None = None
    """Where the original is put back."""
    is_told: bool = False
    """Stands in an event."""

    @property
    def archived(self) -> Path | None:
        """What stands in the archive in the end."""
        return self.encoded or (self.kept if self.action in TO_ARCHIVE else None)

    @property
    def trashed(self) -> Path | None:
        return None if self.archived == self.kept else self.kept

    @property
    def bytes_freed(self) -> int:
        has_left_its_disk = self.kept is None or (self.copying is not None and self.trashed is None)
        return self.file.size if has_left_its_disk else 0

    @property
    def as_cleaned(self) -> CleanedFile:
        assert self.action is not Action.KEEP
        return CleanedFile(
            path=str(self.file.path),
            recording_id=self.file.recording_id,
            action=self.action.value,
            archived=str(self.archived) if self.archived else None,
            trashed=str(self.trashed) if self.trashed else None,
        )

    def becomes(self, step: Step, **more: Any) -> Entry:
        return self.model_copy(update={"step": step, **more})

    def is_about(self, what: str) -> bool:
        """Whether a person who says this means this entry: its number, or one of the file's names."""
        names = (self.file.path, self.kept, self.encoded)
        return what == str(self.number) or what in {str(name) for name in names if name}


class Journal:
    """The entries in the plugin's own state, by number."""

    def __init__(self, plugin: PluginBase, entries: Iterable[Entry]) -> None:
        self._plugin = plugin
        self._entries = {entry.number: entry for entry in entries}

    @classmethod
    async def read(cls, plugin: PluginBase) -> Journal:
        stored = await plugin.list_state(PREFIX)
        return cls(plugin, (Entry.model_validate(value) for value in stored.values()))

    @property
    def next_number(self) -> int:
        return max(self._entries, default=0) + 1

    def at(self, *steps: Step) -> list[Entry]:
        """The oldest first."""
        return [entry for entry in self._entries.values() if entry.step in steps]

    def newest(self, entry: Entry) -> Entry:
        """As it was written last."""
        return self._entries[entry.number]

    async def write(self, entry: Entry) -> Entry:
        await self._plugin.update_state(_key(entry), entry.model_dump(mode="json"))
        self._entries[entry.number] = entry
        return entry

    async def strike(self, entry: Entry) -> None:
        """It did not come to pass, or is to be forgotten."""
        await self._plugin.delete_state(_key(entry))
        self._entries.pop(entry.number, None)


def _key(entry: Entry) -> str:
    return f"{PREFIX}{entry.number:09}"
