"""Carries out what is due, one file at a time, takes it back, and sets right what was broken off.

Each step leaves the recording's bytes under one of the names that its journal entry tells, so that what is found on
the disk says how far it came.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from panotti_daemon.core.plugins import Context, MediaError, PanottiError

from .checks import Refused, look_into
from .journal import Entry, Journal, Step
from .moves import (
    Identity,
    copy,
    disk_of,
    fitting,
    free_name,
    hidden_name,
    identity,
    in_words,
    is_away,
    is_taken,
    mount_point,
    place,
    sync,
)
from .policy import ENCODED, TO_ARCHIVE, Action, Due
from .trash import remove_info, spot_for, write_info

T = TypeVar("T")


class Cleaner:
    """`archives` says where the disk of each is mounted; `stopped`, whether to break off soon."""

    def __init__(
        self, context: Context, journal: Journal, archives: Mapping[Path, Path], stopped: Callable[[], bool]
    ) -> None:
        self._context = context
        self._library = context.library
        self._journal = journal
        self._archives = archives
        self._stopped = stopped

    async def look(self, due: Due) -> Identity:
        """Reads the whole file. Raises Refused for one that may not be touched."""
        try:
            return await _in_thread(look_into, due.file, self._library, due.policy.protect)
        except InterruptedError:
            raise
        except OSError as error:
            raise _refusal(error) from error

    async def clean(self, due: Due, found: Identity, run: int | None = None) -> Entry:
        """The file that was found there. Raises Refused where nothing was done. What cannot be re-encoded is archived
        as it is."""
        try:
            entry = await self._journal.write(await _in_thread(self._plan, due, run))
        except OSError as error:
            raise _refusal(error) from error
        try:
            entry = await self._prepare(entry)
            return await _to_its_end(self._carry_out(entry, found))
        except (InterruptedError, asyncio.CancelledError):
            await self._back_out(entry)
            raise
        except MediaError as error:
            await self.set_right(entry)
            policy = due.policy.model_copy(update={"action": Action.ARCHIVE})
            why = f"{due.why}; not as {due.policy.action.value}, for {error.message}"
            return await self.clean(Due(due.file, policy, why), found, run)
        except (OSError, PanottiError) as error:
            if done := await self.set_right(entry):
                return done
            raise _refusal(error) from error

    async def take_back(self, entry: Entry) -> Entry:
        """Raises Refused where nothing was changed."""
        try:
            found = await _in_thread(self._look_at_kept, entry)
            folder = entry.file.path.parent
            restored = await _in_thread(free_name, entry.file.path)
            is_elsewhere = entry.kept is not None and disk_of(entry.kept.parent) != disk_of(folder)
            copying = hidden_name(folder, entry.file.path.suffix) if is_elsewhere else None
            entry = await self._journal.write(entry.becomes(Step.UNDOING, restored=restored, copying=copying))
            if copying:
                assert entry.kept
                await self._copy(entry.kept, copying, entry.file.content_hash)
            await _in_thread(self._put_back, entry, found)
        except (InterruptedError, asyncio.CancelledError):
            await self._back_out(entry)
            raise
        except (OSError, PanottiError) as error:
            if entry.step is Step.UNDOING and (undone := await self.set_right(entry)):
                return undone
            raise _refusal(error) from error
        return await self._is_undone(entry)

    async def set_right(self, entry: Entry) -> Entry | None:
        """What was broken off is completed where the recording has arrived already, and returned; else it is as if it
        had not been begun. Raises OSError where neither can be done now."""
        entry = self._journal.newest(entry)
        if entry.step is Step.UNDOING:
            if await _in_thread(self._finish_undo, entry):
                return await self._is_undone(entry)
            await self._journal.write(entry.becomes(Step.DONE, restored=None))
            return None
        if await _in_thread(self._finish, entry):
            return await self._is_done(entry)
        if entry.archived:
            await self._library.unarchive(entry.archived)
        await self._journal.strike(entry)
        return None

    async def _back_out(self, entry: Entry) -> None:
        """For a plugin that is switched off may have no next start; after a crash, that sets it right."""
        if self._journal.newest(entry).step in (Step.DOING, Step.UNDOING):
            await _to_its_end(self.set_right(entry))

    def _plan(self, due: Due, run: int | None) -> Entry:
        """Every name is chosen here."""
        file, policy = due.file, due.policy
        number = self._journal.next_number
        entry = Entry(
            number=number,
            run=run or number,
            at=self._context.clock.now(),
            action=policy.action,
            file=file,
            why=due.why,
            claimed=hidden_name(file.path.parent, file.path.suffix),
            mount=mount_point(file.path.parent),
        )
        names: dict[str, Path | None] = {}
        if policy.action in TO_ARCHIVE:
            target = self._place_in_archive(due)
            if policy.action in ENCODED:
                encoded = free_name(fitting(_with_suffix(target, f".{policy.action.value}")))
                names |= {"encoded": encoded, "encoding": hidden_name(target.parent, encoded.suffix)}
            else:
                names["kept"] = free_name(target)
        if policy.action in ENCODED or policy.action is Action.TRASH:
            spot = spot_for(file.path, self._context.data / "trash")
            names |= {"kept": spot.file, "info": spot.info}
        kept = names.get("kept")
        if kept and disk_of(kept.parent) != disk_of(file.path.parent):
            names["copying"] = hidden_name(kept.parent, file.path.suffix)
        return entry.model_copy(update=names)

    def _place_in_archive(self, due: Due) -> Path:
        """Below the archive as it stands below its watched folder."""
        file, archive = due.file, due.policy.archive
        assert archive
        if not archive.is_dir() or mount_point(archive) != self._archives.get(archive):
            raise Refused(f"the archive {archive} is not there: make that folder, or connect its drive")
        place = file.path.relative_to(file.folder) if file.path.is_relative_to(file.folder) else Path(file.path.name)
        target = archive / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if due.policy.action is Action.ARCHIVE and target.parent.samefile(file.path.parent):
            raise Refused("it stands in its archive already")
        return target

    async def _prepare(self, entry: Entry) -> Entry:
        """What takes long, and touches nothing that was there."""
        file = entry.file
        if entry.encoding:
            assert entry.action in ENCODED
            codec: Literal["flac", "opus"] = "flac" if entry.action is Action.FLAC else "opus"
            await self._context.media.encode(file.path, entry.encoding, codec)
            encoded_hash = await _in_thread(self._hash, entry.encoding)
            entry = await self._journal.write(entry.model_copy(update={"encoded_hash": encoded_hash}))
        if entry.copying:
            await self._copy(file.path, entry.copying, file.content_hash)
        return entry

    async def _carry_out(self, entry: Entry, found: Identity) -> Entry:
        await _in_thread(self._claim, entry, found)
        entry = await self._journal.write(entry.model_copy(update={"is_claimed": True}))
        if reason := await self._library.doubt(entry.file):  # its transcripts may have gone while it was read
            raise Refused(reason)
        if entry.archived:
            size = await _in_thread(self._seal, entry)
            await self._library.archive(entry.archived, size, entry.file.mtime_ns, entry.file)
        await _in_thread(self._put_away, entry)
        return await self._is_done(entry)

    async def _copy(self, source: Path, target: Path, content_hash: str) -> None:
        await _in_thread(copy, source, target, self._stopped)
        if await _in_thread(self._hash, target) != content_hash:
            raise Refused("its copy was not the same when it was read again")

    def _claim(self, entry: Entry, found: Identity) -> None:
        """From here on nothing that happens to its old name can hit the file that was looked at."""
        if identity(entry.file.path) != found:
            raise Refused("it changed just now")
        entry.file.path.rename(entry.claimed)
        if not found.is_renamed(identity(entry.claimed)) or self._library.is_being_written(entry.claimed):
            raise Refused("it changed just now")

    def _seal(self, entry: Entry) -> int:
        """Gives what comes into the archive the time and the permissions of the original; its size."""
        ready = entry.encoding or entry.copying or entry.claimed
        if entry.encoding:
            with suppress(OSError):  # FAT knows no permissions
                shutil.copymode(entry.claimed, entry.encoding)
        os.utime(ready, ns=(entry.file.mtime_ns, entry.file.mtime_ns))
        return ready.stat().st_size

    def _put_away(self, entry: Entry) -> None:
        if entry.encoding and entry.encoded:
            place(entry.encoding, entry.encoded)
            sync(entry.encoded.parent)
        if entry.kept:
            if entry.info:
                write_info(entry.info, entry.file.path, entry.at)
            place(entry.copying or entry.claimed, entry.kept)
            sync(entry.kept.parent)
        if entry.kept is None or entry.copying:
            entry.claimed.unlink()
        sync(entry.file.path.parent)

    def _finish(self, entry: Entry) -> bool:
        """After it was broken off: whether it came to pass. If not, everything is as it was before."""
        folder = entry.claimed.parent
        if is_away(folder, entry.mount):
            raise FileNotFoundError(errno.ENOENT, "", str(folder))
        has_arrived = self._has_arrived(entry)
        if is_taken(entry.claimed):
            if has_arrived:
                entry.claimed.unlink()
            else:
                place(entry.claimed, free_name(entry.file.path))
            sync(folder)
        if not has_arrived:
            if entry.encoded and self._holds(entry.encoded, entry.encoded_hash):
                entry.encoded.unlink()
            _remove_info(entry)
        _remove(entry.encoding, entry.copying)
        return has_arrived

    def _has_arrived(self, entry: Entry) -> bool:
        if entry.kept is None:
            return entry.is_claimed and not is_taken(entry.claimed)
        if self._holds(entry.kept, entry.file.content_hash):
            return True
        if is_taken(entry.claimed) or self._is_in_its_place(entry):
            return False
        if entry.encoded and self._holds(entry.encoded, entry.encoded_hash):
            return True  # the trash was emptied since: this is all that is left of the recording
        if not entry.kept.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "", str(entry.kept.parent))
        return False

    def _is_in_its_place(self, entry: Entry) -> bool:
        found = identity(entry.file.path)
        return found is not None and (found.size, found.mtime_ns) == (entry.file.size, entry.file.mtime_ns)

    def _look_at_kept(self, entry: Entry) -> Identity:
        if entry.kept is None:
            raise Refused(f"{entry.file.path} was deleted, and that cannot be undone")
        if is_away(entry.file.folder, entry.mount):
            raise Refused(f"{entry.file.folder} is not there; is its drive connected?")
        found = identity(entry.kept)
        if found is None:
            raise Refused(f"{entry.kept} is not there any more")
        if self._hash(entry.kept) != entry.file.content_hash:
            raise Refused(f"{entry.kept} was changed since; take it back by hand")
        entry.file.path.parent.mkdir(parents=True, exist_ok=True)
        return found

    def _put_back(self, entry: Entry, found: Identity) -> None:
        assert entry.kept
        assert entry.restored
        if identity(entry.kept) != found:
            raise Refused(f"{entry.kept} changed just now")
        ready = entry.copying or entry.kept
        os.utime(ready, ns=(entry.file.mtime_ns, entry.file.mtime_ns))
        place(ready, entry.restored)
        sync(entry.restored.parent)
        self._finish_undo(entry)

    def _finish_undo(self, entry: Entry) -> bool:
        """Whether the original is back. If so, what cleanup made of it goes; if not, all is as it was before."""
        assert entry.kept
        assert entry.restored
        is_back = self._holds(entry.restored, entry.file.content_hash)
        if is_back:
            for path, content_hash in ((entry.kept, entry.file.content_hash), (entry.encoded, entry.encoded_hash)):
                if path and self._holds(path, content_hash):
                    path.unlink()
            _remove_info(entry)
        _remove(entry.copying)
        return is_back

    async def _is_done(self, entry: Entry) -> Entry:
        reason = f"{_what_happened(entry)}; {entry.file.reason}"
        await self._library.note(entry.file, reason, present=False)
        return await self._journal.write(entry.becomes(Step.DONE))

    async def _is_undone(self, entry: Entry) -> Entry:
        if entry.archived:
            await self._library.unarchive(entry.archived)
        if entry.restored == entry.file.path:
            await self._library.note(entry.file, entry.file.reason, present=True)
        return await self._journal.write(entry.becomes(Step.UNDONE))

    def _holds(self, path: Path, content_hash: str | None) -> bool:
        return identity(path) is not None and self._hash(path) == content_hash

    def _hash(self, path: Path) -> str:
        with path.open("rb") as file:
            return self._library.content_hash(file)


def _with_suffix(path: Path, suffix: str) -> Path:
    """In place of its own; `2025.01.21` and `01.21-call` have none."""
    has_one = path.suffix[1:].isalnum() and not path.suffix[1:].isdigit()
    return path.with_name((path.stem if has_one else path.name) + suffix)


def _remove(*paths: Path | None) -> None:
    for path in paths:
        if path:
            path.unlink(missing_ok=True)


def _remove_info(entry: Entry) -> None:
    if entry.info:
        remove_info(entry.info, entry.file.path)


def _what_happened(entry: Entry) -> str:
    match entry.action:
        case Action.ARCHIVE:
            return f"cleanup moved it to {entry.kept}"
        case Action.FLAC | Action.OPUS:
            return f"cleanup made {entry.encoded} of it, and put it into the trash"
        case Action.TRASH:
            return "cleanup put it into the trash"
        case _:
            return "cleanup deleted it"


def _refusal(error: OSError | PanottiError) -> Refused:
    return (
        error if isinstance(error, Refused) else Refused(in_words(error) if isinstance(error, OSError) else str(error))
    )


async def _in_thread(call: Callable[..., T], *arguments: object) -> T:
    return await _to_its_end(asyncio.to_thread(call, *arguments))


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Even if the caller is cancelled meanwhile: nobody may look at the files while they are still moved."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at; the journal says what is left to do
        raise
