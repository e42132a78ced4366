"""Keeps recordings from filling the disk: archives, re-encodes or removes them by the policy of their folder, only once
their transcripts are whole, and so that it can be taken back."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from panotti_daemon.core.plugins import (
    CleanupCompleted,
    Event,
    Health,
    PanottiError,
    PermanentError,
    PluginBase,
    RecordingForgotten,
    TranscriptionCompleted,
)

from . import policy
from .checks import Refused
from .cleaner import Cleaner
from .journal import Entry, Journal, Step
from .moves import Identity, in_words, mount_point
from .outlook import Memory, Outlook
from .policy import Choice, Due, Left, as_dict

LOOK_SECONDS = 3600.0
TOGETHER_SECONDS = 5.0
"""What is finished in a row is looked at together."""
STOP_SECONDS = 0.9
"""The daemon waits a second for a plugin to end."""

HEARD = "finished/"
SINCE = "since"
ARCHIVES = "archives"


class Plugin(PluginBase):
    class Config(policy.Config):
        pass

    config: Config

    async def initialize(self) -> None:
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._timer: asyncio.Task[None] | None = None
        self._looks: set[asyncio.Task[dict[str, Any]]] = set()
        self._troubles: list[str] = []
        await self._remember_beginnings()
        await self._archives()
        self._timer = asyncio.create_task(self._look_now_and_then(), name="cleanup")

    async def handle(self, event: Event) -> list[Event]:
        if event.name == "recording.forgotten":
            await self._forget(event)
            return []
        done = event.read(TranscriptionCompleted)
        transcript_id = done.context.metadata.get("transcript_id")
        if transcript_id and done.transcription.status != "restored":
            await self.update_state(f"{HEARD}{transcript_id}", event.created_at.isoformat())
            self._wake.set()
        return []

    async def act(self, action: str, arguments: dict[str, Any]) -> Any:
        match action:
            case "plan":
                return await self._plan(include_earlier=_includes_earlier(arguments))
            case "run":
                return await self._start_look(include_earlier=_includes_earlier(arguments))
            case "undo":
                return await self._undo(str(arguments.get("what") or ""))
            case "journal":
                entries = (await Journal.read(self)).at(*Step)
                return {"entries": [_shown(entry) for entry in entries[-int(arguments.get("limit", 50)) :]]}
        return await super().act(action, arguments)

    async def health(self) -> Health:
        return Health(ok=not self._troubles, message="; ".join(self._troubles[:3]))

    async def shutdown(self) -> None:
        self._is_stopping = True
        if self._timer:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)
        if self._looks:
            _, late = await asyncio.wait(self._looks, timeout=STOP_SECONDS)
            for look in late:  # what it has begun is set right by the next one
                look.cancel()
        await asyncio.gather(*self._looks, return_exceptions=True)

    async def _look_now_and_then(self) -> None:
        while True:
            try:
                await self._start_look(include_earlier=False)
            except Exception as error:  # as a full disk; the next look may do better
                self._troubles = [str(error)]
                self.context.log.exception("cleanup stumbled")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
                    await asyncio.sleep(TOGETHER_SECONDS)
            self._wake.clear()

    async def _start_look(self, *, include_earlier: bool) -> dict[str, Any]:
        """In a task of its own: who asked may be gone before it ends."""
        look = asyncio.create_task(self._look(include_earlier=include_earlier), name="cleanup look")
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)
        return await asyncio.shield(look)

    async def _look(self, *, include_earlier: bool) -> dict[str, Any]:
        async with self.context.library.lock:
            journal = await Journal.read(self)
            cleaner = await self._cleaner(journal)
            self._troubles = await self._set_right(journal, cleaner)
            await self._tell(journal)
            outlook = await self._outlook(journal)
            choice = await outlook.choose(include_earlier=include_earlier)
            done: list[Entry] = []
            refused: list[Left] = []
            for _, tracks in groupby(choice.due, lambda due: due.file.transcript_id):
                if self._is_stopping:
                    break
                try:
                    refused += await self._clean(list(tracks), outlook, cleaner, done)
                except InterruptedError:
                    break
                await self._tell(journal)
            await self._drop_what_is_gone()
        self._troubles += [f"{left.file.path}: {left.reason}" for left in refused]
        return {
            "done": [_shown(entry) for entry in done],
            "refused": as_dict(Choice(left=refused))["left"],
            "left": as_dict(choice)["left"],
        }

    async def _clean(self, tracks: list[Due], outlook: Outlook, cleaner: Cleaner, done: list[Entry]) -> list[Left]:
        """All tracks of a recording are looked at before the first is touched. Returns which are not cleaned up."""
        looked_at: dict[Path, Identity] = {}
        before = len(done)
        due = tracks[0]
        try:
            for due in tracks:
                if reason := await outlook.refusal(due.file, due.policy):
                    raise Refused(reason)
                looked_at[due.file.path] = await cleaner.look(due)
            for due in tracks:
                done.append(await cleaner.clean(due, looked_at[due.file.path], done[0].run if done else None))
        except InterruptedError:
            raise
        except (OSError, PanottiError) as error:
            reason = _words(error)
            self.context.log.warning("not cleaned up", path=str(due.file.path), reason=reason)
            left = tracks[len(done) - before :]
            return [Left(each.file, reason if each is due else f"another track: {reason}") for each in left]
        return []

    async def _plan(self, *, include_earlier: bool) -> dict[str, Any]:
        outlook = await self._outlook(await Journal.read(self))
        return as_dict(await outlook.choose(include_earlier=include_earlier))

    async def _undo(self, what: str) -> dict[str, Any]:
        async with self.context.library.lock:
            journal = await Journal.read(self)
            cleaner = await self._cleaner(journal)
            done: list[Entry] = []
            refused: list[dict[str, str]] = []
            for entry in _meant(journal, what):
                try:
                    done.append(await cleaner.take_back(entry))
                except (OSError, PanottiError) as error:
                    refused.append({"path": str(entry.file.path), "reason": _words(error)})
            return {"done": [_shown(entry) for entry in done], "refused": refused}

    async def _set_right(self, journal: Journal, cleaner: Cleaner) -> list[str]:
        """What a crash broke off; says what has to wait."""
        waiting = []
        for entry in journal.at(Step.DOING, Step.UNDOING):
            try:
                await cleaner.set_right(entry)
            except (OSError, PanottiError) as error:
                waiting.append(f"{entry.file.path} is on its way as {entry.claimed}: {_words(error)}")
                self.context.log.error("cleanup cannot be set right", path=str(entry.file.path), reason=_words(error))
        return waiting

    async def _tell(self, journal: Journal) -> None:
        """Of each recording in an event of its own correlation, so that it goes with all else when it is forgotten."""
        untold: dict[str, list[Entry]] = defaultdict(list)
        for entry in journal.at(Step.DONE):
            if not entry.is_told:
                untold[entry.file.recording_id].append(entry)
        for recording_id, entries in untold.items():
            payload = CleanupCompleted(
                files=[entry.as_cleaned for entry in entries],
                bytes_freed=sum(entry.bytes_freed for entry in entries),
                bytes_in_trash=sum(entry.file.size for entry in entries if entry.trashed),
            )
            source = self.manifest.name
            await self.publish(
                Event.create("cleanup_files.completed", payload, correlation_id=recording_id, source_plugin=source)
            )
            for entry in entries:
                await journal.write(entry.model_copy(update={"is_told": True}))
                self.context.log.info("cleaned up", path=str(entry.file.path), action=entry.action.value)

    async def _forget(self, event: Event) -> None:
        """Of what was forgotten, the journal keeps nothing either; its files stay where they are."""
        forgotten = event.read(RecordingForgotten)
        while self.context.library.lock.locked():
            self.is_alive(event)  # a look at many recordings takes its time
            await asyncio.sleep(TOGETHER_SECONDS)
        async with self.context.library.lock:
            journal = await Journal.read(self)
            await self._set_right(journal, await self._cleaner(journal))
            for entry in journal.at(Step.DONE, Step.UNDONE):
                if entry.file.recording_id == forgotten.recording_id:
                    await journal.strike(entry)
                    await self.delete_state(f"{HEARD}{entry.file.transcript_id}")

    async def _drop_what_is_gone(self) -> None:
        """What it heard of transcripts whose recordings are no more in their folders; the last day's may still come."""
        there = {file.transcript_id for file in await self.context.library.finished()}
        yesterday = self.context.clock.now() - timedelta(days=1)
        for key, at in (await self.list_state(HEARD)).items():
            if key.removeprefix(HEARD) not in there and datetime.fromisoformat(at) < yesterday:
                await self.delete_state(key)

    async def _cleaner(self, journal: Journal) -> Cleaner:
        return Cleaner(self.context, journal, await self._archives(), lambda: self._is_stopping)

    async def _outlook(self, journal: Journal) -> Outlook:
        heard = await self.list_state(HEARD)
        finished = {key.removeprefix(HEARD): datetime.fromisoformat(at) for key, at in heard.items()}
        began = await self.get_state(SINCE, {})
        since = {Path(key) if key else None: datetime.fromisoformat(value["at"]) for key, value in began.items()}
        return Outlook(self.context, self.config, journal, Memory(finished, since))

    async def _remember_beginnings(self) -> None:
        """Where the action is another than before, it begins now; also where a folder's policy was taken away."""
        stored = await self.get_state(SINCE, {})
        folders = {*stored, *map(str, self.config.folders)} - {""}
        actions = {folder: self.config.at(Path(folder)).action.value for folder in sorted(folders)}
        actions[""] = self.config.default.action.value
        now = self.context.clock.now().isoformat()
        since = {
            folder: stored[folder] if stored.get(folder, {}).get("action") == action else {"action": action, "at": now}
            for folder, action in actions.items()
        }
        if since != stored:
            await self.update_state(SINCE, since)

    async def _archives(self) -> dict[Path, Path]:
        """Where the disk of each is mounted. Each is made once: one that is missing later is a drive that is not
        connected, and so is one that is on the disk around its mount point."""
        policies = (self.config.default, *self.config.folders.values())
        wanted = {policy.archive for policy in policies if policy.archive}
        stored = {Path(archive): Path(mount) for archive, mount in (await self.get_state(ARCHIVES, {})).items()}
        found = await asyncio.to_thread(_mount_points, wanted, stored)
        if found != stored:
            await self.update_state(ARCHIVES, {str(archive): str(mount) for archive, mount in found.items()})
        return found


def _mount_points(archives: set[Path], known: Mapping[Path, Path]) -> dict[Path, Path]:
    found = {archive: mount for archive, mount in known.items() if archive in archives}
    for archive in sorted(archives):
        with suppress(OSError):
            if archive not in known:
                archive.mkdir(parents=True, exist_ok=True)
            mount = mount_point(archive)
            if archive not in known or mount.is_relative_to(known[archive]):
                found[archive] = mount
    return found


def _meant(journal: Journal, what: str) -> list[Entry]:
    """Those of the last look, the last first, or those that a person names. Raises PermanentError for none."""
    done = journal.at(Step.DONE)
    if not what:
        if not done:
            raise PermanentError("There is nothing to take back")
        return [entry for entry in reversed(done) if entry.run == done[-1].run]
    found = [entry for entry in done if entry.is_about(what)]
    if not found:
        is_undone = any(entry.is_about(what) for entry in journal.at(Step.UNDONE))
        raise PermanentError(f"{what} was taken back already" if is_undone else f"Nothing was done with {what}")
    return found[-1:]


def _words(error: OSError | PanottiError) -> str:
    return error.message if isinstance(error, PanottiError) else in_words(error)


def _includes_earlier(arguments: dict[str, Any]) -> bool:
    """A word, such as `no`, must not be taken for a yes. Raises PermanentError."""
    wanted = arguments.get("include_earlier", False)
    if not isinstance(wanted, bool):
        raise PermanentError("include_earlier must be true or false")
    return wanted


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "at": entry.at.isoformat(),
        "step": entry.step.value,
        "why": entry.why,
        "size": entry.file.size,
        "restored": str(entry.restored) if entry.restored else None,
        **entry.as_cleaned.model_dump(),
    }
