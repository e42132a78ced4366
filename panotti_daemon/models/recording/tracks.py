"""Which files are tracks of one recording, by the patterns in the settings, and what identifies the recording."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple
from unicodedata import normalize

from panotti_daemon.models.recording.names import stem


class TrackName(NamedTuple):
    label: str
    title: str
    """What the star matched: the same in every track of one recording."""


def match(name: str, patterns: Mapping[str, str]) -> TrackName | None:
    """`standup_mic.wav` under `{microphone: "*_mic.*"}` is the `microphone` of `standup`.

    Of several patterns that match, the one with the most literal text wins: `*_system_audio.*` before `*_audio.*`.
    Accents may be spelled in either way.
    """
    name = normalize("NFC", name)
    by_literal_text = sorted(patterns.items(), key=lambda item: len(item[1].replace("*", "")), reverse=True)
    for label, pattern in by_literal_text:
        if found := _expression(pattern).fullmatch(name):
            return TrackName(label, found["title"])
    return None


def title_of(names: Sequence[str], patterns: Mapping[str, str]) -> str:
    """What a recording of these files is called: by its only one, or by what the names of its tracks have in common."""
    found = match(names[0], patterns) if len(names) > 1 else None
    return found.title if found else stem(names[0])


def content_id(hashes: Sequence[str]) -> str:
    """What identifies a recording: the hash of its only track, or of several tracks, in whatever order, one of all."""
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.blake2b("\n".join(sorted(hashes)).encode(), digest_size=20).hexdigest()


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    before_suffix, suffix = _split(normalize("NFC", pattern))
    text_before, _, text_after = before_suffix.partition("*")
    title = f"{re.escape(text_before)}(?P<title>.+){re.escape(text_after)}"
    suffix_expression = "[^.]*".join(map(re.escape, suffix.split("*"))) if suffix != "*" else "[^.]+"
    return re.compile(rf"{title}\.{suffix_expression}", re.IGNORECASE | re.DOTALL)


def _split(pattern: str) -> tuple[str, str]:
    """A pattern without a suffix stands for any suffix."""
    before_suffix, dot, suffix = pattern.rpartition(".")
    return (before_suffix, suffix) if dot else (pattern, "*")
