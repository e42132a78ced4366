"""Writes transcripts so that nothing is ever destroyed: not a file of the user's, nor one that was edited since.

Three steps, so that a crash between any two of them leaves one set of files: `plan` looks and decides, the caller
records the digests that will be on the disk, `write` performs. What is known of earlier outputs is passed in.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from itertools import accumulate, count, islice
from pathlib import Path
from typing import Literal

from panotti_daemon.errors import OutputUnavailable, PlanOutdated
from panotti_daemon.models.recording.names import stem
from panotti_daemon.models.transcript.formats import Document, printable, render
from panotti_daemon.settings import Format

NAME_BYTES = 255
"""What the file systems of Linux and macOS allow; those of Windows count UTF-16 units, and allow as many."""
LONGEST_SUFFIX = max(len(f".{format}") for format in Format)
BASES_SEARCHED = 100
"""How many of a recording's names are compared with those of outputs; a file at a later one counts as the user's."""
TEMPORARY = re.compile(r"\.panotti-[0-9a-f]{8}\.tmp")
"""What an output is called until it is whole."""

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]' if sys.platform == "win32" else r"[/\x00-\x1f]")

_REASONS = {
    errno.ENOSPC: "The disk is full: make room there.",
    errno.EDQUOT: "Your quota of that disk is used up: make room there.",
    errno.EROFS: "The drive is read-only: make it writable, or choose another output folder.",
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        "Panotti may not write there: change the folder's permissions, or choose another output folder.",
    ),
    errno.EIO: "The drive reports an error: check its connection and its health.",
    **dict.fromkeys(
        (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN),
        "It is not there any more; is its drive connected?",
    ),
}


class Action(StrEnum):
    WRITE = "write"
    REPLACE = "replace"
    KEEP = "keep"
    """The very bytes are there already."""


@dataclass(frozen=True)
class KnownOutput:
    """A file that Panotti wrote, or meant to.

    A path may have several: until `write` is done, both the digest that stood there and the one that shall stand there,
    for a crash may leave either.
    """

    path: Path
    recording_id: str
    digest: str


@dataclass(frozen=True)
class Destination:
    """Where the outputs of a recording belong, and what they are called after."""

    root: Path
    """The output folder of the settings. It is never made here: a missing one is a drive that is not connected."""
    folder: Path
    """The root or a folder below it."""
    source_names: tuple[str, ...]
    """The file names of the recording's tracks."""
    title: str

    @classmethod
    def of(cls, sources: Sequence[Path], watched: Path, output: Path | Literal["beside"], title: str) -> Destination:
        folder = output_folder(sources[0], watched, output)
        root = folder if output == "beside" else output
        return cls(root, folder, tuple(source.name for source in sources), title)


@dataclass(frozen=True)
class PlannedOutput:
    path: Path
    format: Format
    content: bytes
    digest: str
    """Of the content."""
    action: Action
    replaces: str | None
    """Digest of what stands there now; None: nothing."""


@dataclass(frozen=True)
class Plan:
    destination: Destination
    outputs: tuple[PlannedOutput, ...]
    """One for each format; all have the same name but for the suffix."""


class _Clash(Enum):
    WITH_ANOTHER_RECORDING = auto()
    WITH_THE_USER = auto()
    """A file of their own, or one that they edited."""


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=20).hexdigest()


EMPTY = digest(b"")
"""All that a crash leaves of an output where `_move_to_new` has to hold its name; nobody loses it."""


def output_folder(source: Path, watched: Path, output: Path | Literal["beside"]) -> Path:
    """The folder for a recording's outputs: sub-folders of the watched folder are mirrored under the output folder."""
    if output == "beside":
        return source.parent
    return output / source.parent.relative_to(watched) if source.is_relative_to(watched) else output


def base_names(source_names: Sequence[str], title: str) -> Iterator[str]:
    """What a recording's outputs may be called, without the format's suffix, best first; it never ends.

    `call.m4a`: `call`, its whole name `call.m4a` for a clash with another recording, `call (2)`, `call (3)`, ...
    A recording of several tracks is called by its title first. Names that would be too long end in a hash.
    """
    first = _usable_name(stem(source_names[0]) if len(source_names) == 1 else title)
    yield _shortened(first)
    yield _shortened(_usable_name(source_names[0]))
    for number in count(2):
        yield _shortened(first, f" ({number})")


def _usable_name(name: str) -> str:
    name = _FORBIDDEN.sub("_", printable(name))
    return name if name.strip(". ") else "recording"


def _shortened(name: str, ending: str = "") -> str:
    room = NAME_BYTES - LONGEST_SUFFIX - len(ending)
    encoded = name.encode()
    if len(encoded) <= room:
        return name + ending
    mark = f"~{hashlib.blake2b(encoded, digest_size=4).hexdigest()}"
    return encoded[: room - len(mark)].decode(errors="ignore") + mark + ending


def candidates(destination: Destination) -> Iterator[Path]:
    """Where outputs of this recording may stand; what is known of these paths is all that `plan` asks for."""
    for base in islice(base_names(destination.source_names, destination.title), BASES_SEARCHED):
        for format in Format:
            yield destination.folder / f"{base}.{format}"


def plan(
    document: Document,
    formats: Iterable[Format],
    destination: Destination,
    known: Iterable[KnownOutput] = (),
    earlier: Iterable[str] = (),
) -> Plan:
    """Decides on one name for all formats, and for each whether to write, replace or keep.

    `known` is what is known of the outputs among the `candidates`, of whatever recording; `earlier` are the ids of the
    earlier revisions of this recording, whose outputs it may replace. A name under which the recording has outputs
    already comes first. Nothing is changed on the disk.
    """
    with _in_words(destination.folder):
        _check_folders(destination)
        planner = _Planner(destination.folder, {document.recording_id, *earlier}, known)
        contents = {format: render(format, document).encode() for format in formats}
        return Plan(destination, planner.choose(destination, contents))


class _Planner:
    """Looks at the names that a recording's outputs may have, with what is known of the folder in hand."""

    def __init__(self, folder: Path, family: set[str], known: Iterable[KnownOutput]) -> None:
        self._folder = folder
        self._family = family
        self._records: dict[Path, list[KnownOutput]] = defaultdict(list)
        for output in known:
            self._records[output.path].append(output)

    def choose(self, destination: Destination, contents: dict[Format, bytes]) -> tuple[PlannedOutput, ...]:
        names = destination.source_names, destination.title
        own = {path.stem for path, records in self._records.items() if self._any_ours(records) and path.exists()}
        for base in islice(base_names(*names), BASES_SEARCHED):
            if base in own and isinstance(found := self._attempt(base, contents), tuple):
                return found

        first, whole_name = islice(base_names(*names), 2)
        found = self._attempt(first, contents)
        if found is _Clash.WITH_ANOTHER_RECORDING:
            found = self._attempt(whole_name, contents)
        numbered = islice(base_names(*names), 2, None)
        while isinstance(found, _Clash):
            found = self._attempt(next(numbered), contents)
        return found

    def _attempt(self, base: str, contents: dict[Format, bytes]) -> tuple[PlannedOutput, ...] | _Clash:
        outputs = []
        clash = None
        for format, content in contents.items():
            output = self._consider(self._folder / f"{base}.{format}", format, content)
            if isinstance(output, PlannedOutput):
                outputs.append(output)
            elif clash is not _Clash.WITH_ANOTHER_RECORDING:
                clash = output
        return clash or tuple(outputs)

    def _consider(self, path: Path, format: Format, content: bytes) -> PlannedOutput | _Clash:
        wanted, found = digest(content), _digest_on_disk(path)
        records = self._records.get(path, [])
        unedited = [record for record in records if found in (record.digest, EMPTY)]
        if unedited and not self._any_ours(unedited):
            # Two recordings may well have the same bytes: that of no speech is the same for all.
            return _Clash.WITH_ANOTHER_RECORDING
        if found is None:
            action = Action.WRITE
        elif found == wanted:
            action = Action.KEEP
        elif unedited:
            action = Action.REPLACE
        else:
            return _Clash.WITH_ANOTHER_RECORDING if records and not self._any_ours(records) else _Clash.WITH_THE_USER
        return PlannedOutput(path, format, content, wanted, action, replaces=found)

    def _any_ours(self, records: Iterable[KnownOutput]) -> bool:
        return any(record.recording_id in self._family for record in records)


def _digest_on_disk(path: Path) -> str | None:
    """None where nothing is; an empty one, which no file has, for what cannot be ours: a folder, a link, ..."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return ""
    except FileNotFoundError:
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
    except PermissionError:
        return ""


def is_unedited(output: KnownOutput) -> bool:
    """Whether the very file stands there that Panotti wrote."""
    try:
        return _digest_on_disk(output.path) == output.digest
    except OSError:
        return False


def write(plan: Plan) -> None:
    """Writes what was planned, durably; doing it twice changes nothing.

    Every format is on the disk under a temporary name before the first appears, so a full disk leaves no half set.
    Raises PlanOutdated if a file was changed or made since the plan, OutputUnavailable if the folder cannot be used.
    """
    pending = [output for output in plan.outputs if output.action is not Action.KEEP]
    folder = plan.destination.folder
    if not pending:
        return
    with _in_words(folder), ExitStack() as stack:
        _check_folders(plan.destination)
        _, *below = levels = _levels(plan.destination)
        for level in below:
            level.mkdir(exist_ok=True)
        temporaries = [folder / f".panotti-{secrets.token_hex(4)}.tmp" for _ in pending]
        for temporary, output in zip(temporaries, pending, strict=True):
            stack.callback(temporary.unlink, missing_ok=True)
            with temporary.open("xb") as file:
                file.write(output.content)
                file.flush()
                os.fsync(file.fileno())
        for output in pending:
            _check_unchanged(output)  # All of them before the first is moved: what can be seen to fail changes nothing.
        for temporary, output in zip(temporaries, pending, strict=True):
            _commit(temporary, output)
        for level in levels:
            _sync_folder(level)


def _check_unchanged(output: PlannedOutput) -> str | None:
    """The digest of what is in the output's place: what the plan saw there, or already the output itself."""
    found = _digest_on_disk(output.path)
    if found not in (output.replaces, output.digest):
        raise PlanOutdated(f"{output.path} was changed while its transcript was on the way")
    return found


def _commit(temporary: Path, output: PlannedOutput) -> None:
    if _check_unchanged(output) == output.digest:
        return
    if output.action is Action.REPLACE:
        temporary.replace(output.path)
        return
    try:
        _move_to_new(temporary, output.path)
    except FileExistsError as error:
        raise PlanOutdated(f"{output.path} was made by somebody else just now") from error


def _move_to_new(temporary: Path, path: Path) -> None:
    """Renames without ever replacing, which POSIX has no call for: a second link fails where a file exists."""
    if sys.platform == "win32":
        temporary.rename(path)
        return
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:
        # FAT, exFAT and many network shares have no links: an empty file holds the name instead.
        path.touch(exist_ok=False)
        try:
            temporary.replace(path)
        except OSError:
            path.unlink(missing_ok=True)
            raise


def _sync_folder(folder: Path) -> None:
    """Makes the names in it durable, where a folder can be flushed."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _levels(destination: Destination) -> list[Path]:
    """The folders from the root down to the outputs' own."""
    parts = destination.folder.relative_to(destination.root).parts
    return list(accumulate(parts, Path.joinpath, initial=destination.root))


def _check_folders(destination: Destination) -> None:
    if not destination.root.exists():
        raise OutputUnavailable(f"{destination.root} is not there; is its drive connected?")
    for level in _levels(destination):
        if level.exists() and not level.is_dir():
            raise OutputUnavailable(
                f"{level} is a file, where the transcripts need a folder: move it, or choose another output folder."
            )


@contextmanager
def _in_words(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0)
        if reason is None:
            raise
        raise OutputUnavailable(f"Transcripts cannot be written to {folder}. {reason}") from error


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in the folder and below, in the order of their paths."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names))
