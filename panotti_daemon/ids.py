"""Identifiers that sort by the time they were made (UUID version 7, RFC 9562), and may be named by a part."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Collection

from panotti_daemon.errors import PanottiError


def new_id() -> str:
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def meant_by(part: str, found: Collection[str], what: str) -> str | None:
    """The id that is the part, or alone begins or ends with it; `found` holds two of those that do, where there are
    more. Raises PanottiError where several are meant."""
    if part in found:
        return part
    if len(found) > 1:
        raise PanottiError(f"More than one {what} begins or ends with {part}: give more of its id.")
    return next(iter(found), None)
