"""Whether the files of a transcript can be relied upon once its recording is gone: read from the disk each time."""

from __future__ import annotations

import stat
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from panotti_daemon.choices import Format
from panotti_daemon.models.transcript.formats import parse_document
from panotti_daemon.models.transcript.models import Transcript
from panotti_daemon.models.transcript.outputs import digest

LEAST_COVERAGE = 0.5
"""The part of the speech found that must have text. Whisper's segments leave out pauses that the detector of speech
counts, so a good transcript covers less than all."""


@dataclass(frozen=True)
class Written:
    """A file as Panotti wrote it, or was about to."""

    path: Path
    format: Format
    digest: str


def doubt(transcript: Transcript, outputs: Iterable[Written]) -> str | None:
    """Why they cannot; None: they can.

    Every format that was written must be there. One that was edited is its user's and proves nothing; what proves the
    transcript is a file with the very bytes that Panotti wrote: the json, where there is one.
    """
    if transcript.result is None:
        return "it is not transcribed yet"
    if not _covers(transcript):
        return "little of the speech in it became text"
    written: dict[Format, dict[Path, set[str]]] = defaultdict(lambda: defaultdict(set))
    for output in outputs:
        written[output.format][output.path].add(output.digest)
    if not written:
        return "no transcript of it was written"
    whole = set[Format]()
    for format, files in written.items():
        contents = {path: content for path in files if (content := _read(path)) is not None}
        if not contents:
            return f"its transcript {next(iter(files))} is not there"
        if any(digest(content) in files[path] for path, content in contents.items()):
            whole.add(format)
        elif not any(content.strip() for content in contents.values()):
            return f"its transcript {next(iter(contents))} is empty"
    if Format.JSON in written:
        return _doubt_of_json(transcript, written[Format.JSON], is_whole=Format.JSON in whole)
    return None if whole else "its transcripts were all edited or damaged"


def _covers(transcript: Transcript) -> bool:
    assert transcript.result
    result = transcript.result
    spoken = sum(segment.end - segment.start for segment in result.segments)
    covered = max(result.coverage.transcribed_seconds, spoken)
    return covered >= LEAST_COVERAGE * result.speech_seconds


def _doubt_of_json(transcript: Transcript, files: dict[Path, set[str]], *, is_whole: bool) -> str | None:
    path = next(iter(files))
    if not is_whole:
        return f"its transcript {path} was edited or damaged"
    content = next(content for path in files if (content := _read(path)) and digest(content) in files[path])
    try:
        document = parse_document(content.decode())
    except ValueError as error:
        return f"its transcript {path} cannot be read: {error}"
    assert transcript.result
    if document.content_id != transcript.content_id or len(document.segments) != len(transcript.result.segments):
        return f"its transcript {path} is of something else"
    return None


def _read(path: Path) -> bytes | None:
    """None: no regular file is there, or it cannot be read."""
    try:
        return path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None
    except OSError:
        return None
