"""What is due at the moment: the facts that the policies ask for, gathered from library, journal and disks."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from panotti_daemon.core.plugins import Context, FinishedFile

from .checks import Refused, look
from .journal import Journal, Step
from .moves import disk_of, identity
from .policy import Action, Choice, Config, Policy, Scope, choose, nearest

NO_LIMIT = 2**63
"""Of room, where a disk is not there."""

EARLIER = "it was finished before cleanup was switched on for its folder"
TAKEN_BACK = "you took it back"


@dataclass(frozen=True)
class Memory:
    """What cleanup was there to see."""

    finished: Mapping[str, datetime]
    """When it heard that a transcript was finished."""
    since: Mapping[Path | None, datetime]
    """Since when a folder's recordings have had the action that they have: for each folder that ever had a policy of
    its own; None: for all others."""

    def has_seen(self, file: FinishedFile) -> bool:
        heard = self.finished.get(file.transcript_id)
        began = self.since.get(nearest(file.path, [folder for folder in self.since if folder]))
        return heard is not None and began is not None and heard >= began


class Outlook:
    def __init__(self, context: Context, config: Config, journal: Journal, memory: Memory) -> None:
        self._context = context
        self._config = config
        self._journal = journal
        self._memory = memory

    async def choose(self, *, include_earlier: bool) -> Choice:
        """With `include_earlier`, also what was finished before cleanup was switched on, or taken back."""
        files = [f for f in await self._context.library.finished() if self._config.of(f)[1].action is not Action.KEEP]
        scopes = {place: await self._scope(place, policy) for place, policy in map(self._config.of, files)}
        free = await asyncio.to_thread(self._room, list(scopes.values()))
        spared = {} if include_earlier else dict(self._spared(files))
        seen = set[Path]()
        while True:
            choice = choose(
                files,
                lambda file: scopes[self._config.of(file)[0]],
                free=free,
                now=self._context.clock.now(),
                spared=spared,
            )
            new = [due for due in choice.due if due.file.path not in seen]
            for due in new:
                seen.add(due.file.path)
                if reason := await self.refusal(due.file, due.policy):
                    spared[due.file.path] = reason
            if not spared.keys() & {due.file.path for due in new}:
                return choice

    async def refusal(self, file: FinishedFile, policy: Policy) -> str | None:
        """Why the file may not be touched now, whatever is due."""
        if file.no_speech and file.incomplete:
            return "it is incomplete, and no speech was found in what is there"
        if file.no_speech and policy.action is Action.DELETE:
            return "no speech was found in it: what nobody has read is not deleted for ever"
        try:
            await asyncio.to_thread(look, file, self._context.library, policy.protect)
        except Refused as refused:
            return refused.message
        return await self._context.library.doubt(file)

    def _spared(self, files: Sequence[FinishedFile]) -> Mapping[Path, str]:
        taken_back = {entry.file.content_hash for entry in self._journal.at(Step.UNDONE)}
        spared = {}
        for file in files:
            if file.content_hash in taken_back:
                spared[file.path] = TAKEN_BACK
            elif not self._config.include_earlier and not self._memory.has_seen(file):
                spared[file.path] = EARLIER
        return spared

    async def _scope(self, place: Path, policy: Policy) -> Scope:
        size = await self._context.library.bytes_below(place) if policy.max_folder_size is not None else 0
        disk = await asyncio.to_thread(disk_of, place)
        archive = await asyncio.to_thread(disk_of, policy.archive) if policy.archive else None
        return Scope(place, policy, size, disk or 0, is_archived_there=archive == disk)

    def _room(self, scopes: Sequence[Scope]) -> dict[int, int]:
        """What lies in the trash counts as free: else all would follow it, one look after the other."""
        limited = [scope for scope in scopes if scope.policy.min_free is not None]
        room = {scope.disk: _free(scope.path) for scope in limited}
        if room:
            for entry in self._journal.at(Step.DONE):
                if entry.trashed and identity(entry.trashed):
                    disk = disk_of(entry.trashed.parent)
                    if disk in room:
                        room[disk] += entry.file.size
        return room


def _free(path: Path) -> int:
    return shutil.disk_usage(path).free if path.is_dir() else NO_LIMIT
