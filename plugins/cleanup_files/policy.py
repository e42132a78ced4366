"""Which recordings are due, and why: decided from facts alone, without a look at any disk."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from panotti_daemon.core.plugins import FinishedFile, is_within, shown_size

UNITS = {"b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
CENTURY_DAYS = 36525


class Action(StrEnum):
    KEEP = "keep"
    ARCHIVE = "archive"
    FLAC = "flac"
    OPUS = "opus"
    TRASH = "trash"
    DELETE = "delete"
    """Irreversible."""


TO_ARCHIVE = frozenset({Action.ARCHIVE, Action.FLAC, Action.OPUS})
ENCODED = frozenset({Action.FLAC, Action.OPUS})


def _folder(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"cannot be used: {error}") from None
    if not path.is_absolute():
        raise ValueError("must be an absolute path, or begin with ~")
    return Path(os.path.normpath(path))


def _bytes(value: object) -> int:
    """A number alone is refused: what is meant as 20 GB and taken for 20 bytes would empty a folder."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]|[kmgt]?b)", str(value).strip().lower())
    if match is None:
        raise ValueError("must be a size such as 500 MB or 20 GB")
    return round(float(match[1]) * UNITS[match[2][0]])


Folder = Annotated[Path, BeforeValidator(_folder)]
Size = Annotated[int, BeforeValidator(_bytes)]


class Policy(BaseModel):
    """What is done with the recordings of a folder, and when."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Action = Action.KEEP
    archive: Folder | None = None
    """The folder that `archive`, `flac` and `opus` need."""
    after_days: float | None = Field(None, ge=0, le=CENTURY_DAYS)
    max_folder_size: Size | None = None
    min_free: Size | None = None
    protect: tuple[str, ...] = ()
    """Patterns of names, or of paths below the watched folder, that are never touched."""

    @model_validator(mode="after")
    def _is_complete(self) -> Policy:
        if self.action in TO_ARCHIVE and self.archive is None:
            raise ValueError(f"action {self.action} needs an archive folder: archive: ~/Archive")
        when = (self.after_days, self.max_folder_size, self.min_free)
        if self.action is not Action.KEEP and when == (None, None, None):
            raise ValueError(f"action {self.action} needs to know when: after_days, max_folder_size or min_free")
        return self


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    default: Policy = Policy()
    folders: dict[Folder, Policy] = {}
    include_earlier: bool = False
    """Also what was finished before cleanup was switched on."""

    def of(self, file: FinishedFile) -> tuple[Path, Policy]:
        """Where the policy of a file begins, and the policy: that of the nearest folder above it."""
        place = nearest(file.path, self.folders)
        return place or file.folder, self.at(file.path)

    def at(self, path: Path) -> Policy:
        place = nearest(path, self.folders)
        return self.folders[place] if place else self.default


def nearest(path: Path, folders: Iterable[Path]) -> Path | None:
    """Of the folders that it is in, or is."""
    above = (folder for folder in folders if is_within(path, folder))
    return max(above, key=lambda folder: len(folder.parts), default=None)


@dataclass(frozen=True)
class Scope:
    """A folder with its policy, and how things stand there."""

    path: Path
    policy: Policy
    size: int = 0
    """Bytes of the recordings in it."""
    disk: int = 0
    """A number for the disk that it is on."""
    is_archived_there: bool = False
    """The archive is on the same disk."""

    @property
    def frees(self) -> bool:
        """Whether the action makes room on the disk, at the latest when the trash is emptied."""
        return self.policy.action is not Action.ARCHIVE or not self.is_archived_there


@dataclass(frozen=True)
class Due:
    file: FinishedFile
    policy: Policy
    why: str


@dataclass(frozen=True)
class Left:
    file: FinishedFile
    reason: str


@dataclass
class Choice:
    due: list[Due] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


def choose(
    files: Iterable[FinishedFile],
    scope_of: Callable[[FinishedFile], Scope],
    *,
    free: Mapping[int, int],
    now: datetime,
    spared: Mapping[Path, str],
) -> Choice:
    """The oldest first, and of size and disk no more than is needed; a recording goes with all of its tracks, or stays.

    `free` is the room on each disk, what lies in the trash counted as free; `spared` says why some files stay whatever
    the policy says.
    """
    choice = Choice()
    room = dict(free)
    recordings: dict[Path, dict[str, list[FinishedFile]]] = defaultdict(lambda: defaultdict(list))
    scopes: dict[Path, Scope] = {}
    for file in files:
        scope = scope_of(file)
        if scope.policy.action is not Action.KEEP:
            scopes[scope.path] = scope
            recordings[scope.path][file.transcript_id].append(file)
    for path, scope in scopes.items():
        size = scope.size
        for tracks in sorted(recordings[path].values(), key=_age):
            if reasons := [spared[track.path] for track in tracks if track.path in spared]:
                choice.left += [Left(track, spared.get(track.path, f"another track: {reasons[0]}")) for track in tracks]
            elif why := _why(scope, tracks, size, room.get(scope.disk, 0), now):
                choice.due += [Due(track, scope.policy, why) for track in tracks]
                weight = sum(track.size for track in tracks)
                size -= weight
                if scope.frees:
                    room[scope.disk] = room.get(scope.disk, 0) + weight
            else:
                choice.left += [Left(track, _why_not(scope, tracks, now)) for track in tracks]
    return choice


def _age(tracks: Sequence[FinishedFile]) -> tuple[datetime, str]:
    return _rested_since(tracks), tracks[0].transcript_id


def _rested_since(tracks: Sequence[FinishedFile]) -> datetime:
    return max(max(track.finished_at, track.changed_at) for track in tracks)


def _why(scope: Scope, tracks: Sequence[FinishedFile], size: int, free: int, now: datetime) -> str | None:
    policy = scope.policy
    if policy.after_days is not None and now - _rested_since(tracks) >= timedelta(days=policy.after_days):
        return f"it was finished {_days((now - _rested_since(tracks)) / timedelta(days=1))} ago"
    if policy.max_folder_size is not None and size > policy.max_folder_size:
        return f"{scope.path} holds {shown_size(size)}, more than {shown_size(policy.max_folder_size)}"
    if policy.min_free is not None and free < policy.min_free and scope.frees:
        return f"its disk has {shown_size(free)} free, less than {shown_size(policy.min_free)}"
    return None


def _why_not(scope: Scope, tracks: Sequence[FinishedFile], now: datetime) -> str:
    policy = scope.policy
    reasons = []
    if policy.after_days is not None:
        due = _rested_since(tracks) + timedelta(days=policy.after_days)
        reasons.append(f"it is due in {_days((due - now) / timedelta(days=1))}")
    if policy.max_folder_size is not None:
        reasons.append(f"{scope.path} is not too big")
    if policy.min_free is not None:
        reasons.append(
            "its disk has room" if scope.frees else "its archive is on the same disk: that would free nothing"
        )
    return " and ".join(reasons)


def _days(number: float) -> str:
    return f"{number:.1f} days"


def as_dict(choice: Choice) -> dict[str, Any]:
    """As JSON has it."""
    return {
        "due": [
            {"path": str(due.file.path), "action": due.policy.action.value, "why": due.why, "size": due.file.size}
            for due in choice.due
        ],
        "left": [{"path": str(left.file.path), "reason": left.reason} for left in choice.left],
    }
