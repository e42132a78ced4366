"""What plugins there are and are to run, and what their user can do with them while the daemon runs. One bad plugin
stops neither another nor the daemon; its deliveries wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import structlog

from panotti_daemon.clock import Clock
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.circuit import Rest
from panotti_daemon.core.plugins.crashes import Crashes
from panotti_daemon.core.plugins.dependencies import start_order, unmet
from panotti_daemon.core.plugins.discovery import discover
from panotti_daemon.core.plugins.lifecycle import PluginRecord, PluginState
from panotti_daemon.core.plugins.loading import Loader
from panotti_daemon.core.plugins.manifest import Manifest, read_manifest
from panotti_daemon.core.plugins.rousing import CHECK_SECONDS, Rousing
from panotti_daemon.core.plugins.transitions import (
    FINISH_SECONDS,
    INITIALIZE_SECONDS,
    SHUTDOWN_SECONDS,
    Transitions,
)
from panotti_daemon.errors import ManifestError, PanottiError, PermanentError, PluginFailed
from panotti_daemon.explain import suggest

log = structlog.get_logger(__name__)


class PluginManager:
    def __init__(
        self,
        bus: EventBus,
        loader: Loader,
        folders: tuple[Path, ...],
        clock: Clock,
        *,
        crashes: Crashes | None = None,
        changed: Callable[[], None] = lambda: None,
        declared: Callable[[Manifest], None] = lambda manifest: None,
        initialize_seconds: float = INITIALIZE_SECONDS,
        shutdown_seconds: float = SHUTDOWN_SECONDS,
        finish_seconds: float = FINISH_SECONDS,
        rest_check_seconds: float = CHECK_SECONDS,
    ) -> None:
        """`changed` is told of all that others see of plugins; `declared` of each manifest, before its plugin gets
        anything."""
        self.wishes = loader.wishes
        self._bus = bus
        self._loader = loader
        self._folders = folders
        self._clock = clock
        self._rousing = Rousing(crashes, clock, self._rouse, rest_check_seconds)
        self._changed = changed
        self._declared = declared
        self._changing = asyncio.Lock()
        self.records: dict[str, PluginRecord] = {}
        self._transitions = Transitions(
            bus,
            loader,
            self.records,
            self._changing,
            self._declare,
            initialize_seconds=initialize_seconds,
            shutdown_seconds=shutdown_seconds,
            finish_seconds=finish_seconds,
        )
        bus.watch_rests(self._rest_changed)

    def register(self) -> None:
        """Reads every manifest and declares its subscriptions, so that no event is missed from here on."""
        for folder in discover(self._folders):
            if record := self.records.get(folder.name):
                record.hidden.append(folder)
                log.warning("plugin ignored: another has its name", plugin=folder.name, folder=str(folder))
            else:
                self._read(self._record(folder))
        for name in self.wishes.names():
            if name not in self.records:
                reason = f"the settings name it, but there is no such plugin{suggest(name, self.records)}"
                self._record(self._folders[-1] / name).become(PluginState.FAILED, reason)

    def names_with_role(self, role: str) -> list[str]:
        return [r.name for r in self.records.values() if r.manifest and r.manifest.role == role]

    def find(self, name: str) -> PluginRecord:
        """Raises PermanentError."""
        if record := self.records.get(name):
            return record
        raise PermanentError(f"There is no plugin {name}{suggest(name, self.records)}", title="No such plugin")

    def is_running(self, name: str) -> bool:
        record = self.records.get(name)
        return record is not None and record.state is PluginState.RUNNING

    def dependents(self, name: str) -> list[str]:
        """The running plugins that need this one."""
        return [record.name for record in self._transitions.dependents(name)]

    def is_wanted(self, record: PluginRecord) -> bool:
        """Whether its user, or else its manifest, wants it to run."""
        wish = self.wishes.of(record.name).enabled
        return bool(record.manifest and record.manifest.enabled) if wish is None else wish

    async def start(self) -> None:
        """Initializes and runs the plugins, each after those it depends on."""
        async with self._changing:
            await self._start(r for r in self.records.values() if r.state is PluginState.REGISTERED)

    async def try_again(self) -> None:
        """Starts what failed for want of something outside."""
        async with self._changing:
            for record in [record for record in self.records.values() if record.lacks_something]:
                blocked = [r for r in self.records.values() if r.is_blocked]
                await self._start([record, *blocked])

    async def stop(self) -> None:
        """Releases what the plugins hold, in the reverse of the order in which they started."""
        await self._rousing.stop()
        while self._transitions.begun:
            record = self._transitions.begun[-1]
            record.become(PluginState.STOPPED, await self._transitions.release(record))

    async def enable(self, name: str) -> PluginRecord:
        """Switches a plugin on, for good. What waited for it is delivered. Raises PanottiError."""
        async with self._changing:
            record = self._refreshed(name)
            self.wishes.wish(name, "enabled", True)
            await self._end_rest(record)
            if not record.is_up:
                await self._begin(record)
                if not record.is_up:
                    raise PluginFailed(f"{name} is switched on, but does not run: {record.reason}")
            return record

    async def disable(self, name: str, *, cascade: bool = False) -> PluginRecord:
        """Switches a plugin off, for good. It gets no deliveries from now on; those that wait go on waiting. What
        depends on it stops too, if `cascade` says so, and starts again with it. Raises PanottiError."""
        async with self._changing:
            record = self._refreshed(name)
            if not cascade and (needing := self.dependents(name)):
                raise PluginFailed(f"{' and '.join(needing)} would stop with it: --force does that")
            self._check_settled(self.dependents(name))
            self.wishes.wish(name, "enabled", False)
            await self._transitions.take_away(record, "disabled")
            record.become(PluginState.DISABLED)
            return record

    async def reload(self, name: str) -> PluginRecord:
        """Takes a plugin's files and settings anew; one that does not run is started. Raises PanottiError."""
        async with self._changing:
            record = self._refreshed(name)
            if not record.folder.is_dir():
                self._check_settled(self.dependents(name))
                await self._transitions.take_away(record, "gone")
                del self.records[name]
                raise PermanentError(f"{record.folder} is gone, and {name} with it", title="No such plugin")
            await self._end_rest(record)
            if record.hosted:
                try:
                    await self._transitions.replace(record, record.hosted)
                except PanottiError as error:
                    record.set_back(error.message)
                    raise
            else:
                await self._begin(record)
                if record.state is PluginState.DISABLED:
                    raise PluginFailed(f"{name} is switched off: `panotti plugins enable {name}`")
                if not record.is_up:
                    raise PluginFailed(record.reason or str(record.state))
            return record

    async def configure(self, name: str, config: dict[str, Any]) -> PluginRecord:
        """Sets what stands above the user's settings file, and takes it over. What the plugin refuses is not kept.
        Raises PanottiError."""
        async with self._changing:
            record = self._refreshed(name)
            before = self.wishes.by_command(name)
            self.wishes.wish(name, "config", config)
            try:
                await self._take_over_settings(record)
            except PanottiError:
                self.wishes.keep(name, before)
                raise
            return record

    async def keep_secret(self, name: str, key: str, value: str | None) -> PluginRecord:
        """Stores one of a plugin's secrets in the keyring, or removes it (None). Raises PanottiError."""
        async with self._changing:
            record = self._refreshed(name)
            await self._loader.keep_secret(record.folder, key, value)
            if record.is_up or record.state is PluginState.FAILED:
                await self._take_over_settings(record)
            return record

    async def act(self, name: str, action: str, arguments: dict[str, Any]) -> Any:
        """What the plugin answers, in what JSON knows. Raises PanottiError."""
        record = self.find(name)
        if not (record.hosted and record.is_up):
            raise PluginFailed(f"{name} does not run: {record.reason or record.state}")
        return await record.hosted.act(action, arguments)

    def _record(self, folder: Path) -> PluginRecord:
        record = PluginRecord(folder.name, folder, self._clock, self._changed)
        self.records[record.name] = record
        return record

    def _refreshed(self, name: str) -> PluginRecord:
        """The plugin, also one that was put there since, with the user's settings as they are now."""
        self._check_settled([name])
        self.wishes.refresh()
        known = self.records.get(name)
        if known is None or not (known.is_up or known.folder.is_dir()):
            for folder in discover(self._folders):
                if folder.name == name:
                    return self._record(folder)
        return self.find(name)

    def _check_settled(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self.records and self.records[name].is_changing:
                raise PluginFailed(f"{name} is about to be replaced, and first finishes what it runs")

    def _read(self, record: PluginRecord) -> None:
        """Its manifest, and whether it is to run."""
        try:
            record.manifest = read_manifest(record.folder)
        except ManifestError as error:
            record.become(PluginState.FAILED, error.message)
            return
        if self.is_wanted(record):
            self._declare(record.manifest)
            record.become(PluginState.REGISTERED)
        else:
            record.become(PluginState.DISABLED)

    def _declare(self, manifest: Manifest) -> None:
        self._bus.declare(manifest.subscription())
        self._declared(manifest)

    async def _begin(self, record: PluginRecord) -> None:
        """Starts one that does not run, and then those that waited for it."""
        self._read(record)
        if record.state is PluginState.REGISTERED:
            blocked = [r for r in self.records.values() if r.is_blocked and r is not record]
            await self._start([record, *blocked])

    async def _start(self, records: Iterable[PluginRecord]) -> None:
        wanted = {record.name: record.manifest for record in records if record.manifest}
        for name in start_order(wanted):
            await self._start_one(self.records[name], wanted[name])

    async def _start_one(self, record: PluginRecord, manifest: Manifest) -> None:
        if why_not := unmet(manifest, self.records):
            record.become(PluginState.FAILED, f"cannot start: {why_not}", is_blocked=True)
            return
        if not self._rousing.lets_rest(record):
            await self._transitions.start(record, manifest)

    def _rest_changed(self, name: str, rest: Rest | None) -> None:
        record = self.records.get(name)
        if record is None or not record.is_up:
            return
        if rest:
            record.rests(rest)
        elif record.state is PluginState.RESTING:
            record.become(PluginState.RUNNING)

    async def _rouse(self, record: PluginRecord) -> None:
        async with self._changing:
            if record.state is PluginState.RESTING and not record.hosted:
                await self._begin(record)

    async def _end_rest(self, record: PluginRecord) -> None:
        """Its user wants it to run now."""
        await self._rousing.forgive(record)
        if record.state is PluginState.RESTING and record.is_up:
            self._bus.end_rest(record.name)

    async def _take_over_settings(self, record: PluginRecord) -> None:
        if record.hosted:
            await self._transitions.replace(record, record.hosted)
        else:
            await self._loader.check(record.folder, read_manifest(record.folder))
            if record.state is PluginState.FAILED:
                await self._begin(record)
