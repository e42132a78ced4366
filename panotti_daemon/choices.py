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


class Format(StrEnum):
    """What a transcript can be written as."""

    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"
    JSON = "json"
    MD = "md"
