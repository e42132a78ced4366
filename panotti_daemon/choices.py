"""The words that settings, API and command line share. Apart, so that `panotti --help` loads nothing to know them."""

from __future__ import annotations

from enum import StrEnum


class FileState(StrEnum):
    """Where a file of the ledger stands; the ledger's `reason` says why, in words for the user."""

    GROWING = "growing"
    """Seen, and not yet known to be whole."""
    WAITING = "waiting"
    """For a sibling track, a yes to the backlog, a drive, a model or a retry."""
    READY = "ready"
    """Whole and known; its turn will come."""
    TRANSCRIBING = "transcribing"
    DONE = "done"
    NO_SPEECH = "no speech"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ARCHIVED = "archived"
    """Put there by cleanup; never transcribed."""
    FORGOTTEN = "forgotten"
    """Nothing is known of it any more, as a person asked; it is taken up again when they ask for that."""


class Format(StrEnum):
    """What a transcript can be written as."""

    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"
    JSON = "json"
    MD = "md"


class DeliveryState(StrEnum):
    """How far an event has come on its way to one subscriber."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    WAITING = "waiting"
    DEAD = "dead"


class Urgency(StrEnum):
    """The priorities of events, in words."""

    BACKLOG = "backlog"
    NORMAL = "normal"
    HIGH = "high"
    NOW = "now"
