"""Takes plugins through their lives, and changes them while the daemon runs. One bad plugin stops neither another nor
the daemon; its deliveries wait for it.

A new version takes over from an old one like this: it is read, checked and imported while the old one works; the old
one finishes what it runs, while further deliveries wait; the new one is initialized and gets them; the old one is shut
down. Whatever fails before that last step leaves the old one as it was.
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
from panotti_daemon.core.events.handlers import describe
from panotti_daemon.core.plugins.crashes import Crashes
from panotti_daemon.core.plugins.dependencies import accepts, dependents, start_order, unmet
from panotti_daemon.core.plugins.discovery import discover
from panotti_daemon.core.plugins.hosting import Hosted, is_ours
from panotti_daemon.core.plugins.importing import located
from panotti_daemon.core.plugins.interface import Health
from panotti_daemon.core.plugins.lifecycle import PluginRecord, PluginState
from panotti_daemon.core.plugins.loading import Loader
from panotti_daemon.core.plugins.manifest import Manifest, read_manifest
from panotti_daemon.core.plugins.rousing import CHECK_SECONDS, Rousing
from panotti_daemon.errors import ManifestError, PanottiError, PermanentError, PluginFailed, Unavailable
from panotti_daemon.explain import suggest

log = structlog.get_logger(__name__)

INITIALIZE_SECONDS = 30.0
SHUTDOWN_SECONDS = 1.0
FINISH_SECONDS = 120.0
"""How long a version that is to be replaced may go on with what it runs; then that is put back for the new one."""
INTERRUPT_SECONDS = 2.0
"""The same for one that is switched off."""


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
        self._initialize_seconds = initialize_seconds
        self._shutdown_seconds = shutdown_seconds
        self._finish_seconds = finish_seconds
        self._begun: list[PluginRecord] = []
        """Those to be shut down, in the order in which they were initialized."""
        self._changing = asyncio.Lock()
        self.records: dict[str, PluginRecord] = {}
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
        return [record.name for record in dependents(name, self._begun)]

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
        while self._begun:
            record = self._begun[-1]
            record.become(PluginState.STOPPED, await self._release(record))

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
            await self._take_away(record, "disabled")
            record.become(PluginState.DISABLED)
            return record

    async def reload(self, name: str) -> PluginRecord:
        """Takes a plugin's files and settings anew; one that does not run is started. Raises PanottiError."""
        async with self._changing:
            record = self._refreshed(name)
            if not record.folder.is_dir():
                self._check_settled(self.dependents(name))
                await self._take_away(record, "gone")
                del self.records[name]
                raise PermanentError(f"{record.folder} is gone, and {name} with it", title="No such plugin")
            await self._end_rest(record)
            if record.hosted:
                try:
                    await self._replace(record, record.hosted)
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
        if self._rousing.lets_rest(record):
            return
        try:
            record.hosted = await self._loader.load(record.folder, manifest)
            self._begun.append(record)
            await record.hosted.initialize(self._initialize_seconds)
        except BaseException as error:
            if is_ours(error):
                raise
            log.debug("plugin failed to start", plugin=record.name, exc_info=error)
            if record.hosted:
                await self._release(record)
            record.become(PluginState.FAILED, located(error, record.folder), lacks=isinstance(error, Unavailable))
            return
        record.become(PluginState.INITIALIZED)
        self._bus.attach(record.name, record.hosted.handle)
        record.become(PluginState.RUNNING)

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
            await self._replace(record, record.hosted)
        else:
            await self._loader.check(record.folder, read_manifest(record.folder))
            if record.state is PluginState.FAILED:
                await self._begin(record)

    async def _replace(self, record: PluginRecord, old: Hosted) -> None:
        """Raises PanottiError, and then the old one goes on."""
        manifest = read_manifest(record.folder)
        self._check_fit(manifest)
        new = await self._loader.load(record.folder, manifest)
        before, record.is_changing = record.reason, True
        record.become(PluginState.RUNNING, "finishes what it runs; then a new version takes over")
        try:
            await self._finished(record, old)
            self._check_fit(manifest)
            await new.initialize(self._initialize_seconds)
        except BaseException as error:
            self._bus.attach(record.name, old.handle)
            record.become(PluginState.RUNNING, before)
            await _released(new, self._shutdown_seconds)
            if is_ours(error):
                raise
            raise PluginFailed(located(error, record.folder)) from error
        finally:
            record.is_changing = False
        record.hosted, record.manifest = new, manifest
        self._declare(manifest)
        self._bus.attach(record.name, new.handle)
        record.set_back(None)
        record.is_found(Health())
        record.become(PluginState.RUNNING, f"reloaded, version {manifest.version}")
        if reason := await _released(old, self._shutdown_seconds):
            log.warning("the version before did not end well", plugin=record.name, reason=reason)

    async def _finished(self, record: PluginRecord, old: Hosted) -> None:
        """Until it has ended what it runs. That may take long: other plugins can be changed meanwhile."""
        self._changing.release()
        try:
            await asyncio.gather(
                self._bus.detach(record.name, self._finish_seconds), old.finish_actions(self._finish_seconds)
            )
        finally:
            await self._changing.acquire()

    def _check_fit(self, manifest: Manifest) -> None:
        """Whether what it needs is there, and what needs it accepts this version. Raises PluginFailed."""
        if why_not := unmet(manifest, self.records):
            raise PluginFailed(why_not)
        for record in self._begun:
            versions = record.manifest.dependencies.get(manifest.name) if record.manifest else None
            if versions and not accepts(versions, manifest):
                raise PluginFailed(f"{record.name} needs {manifest.name} {versions}, and this is {manifest.version}")

    async def _take_away(self, record: PluginRecord, why: str) -> None:
        """Ends one, what depends on it first; it gets nothing from now on."""
        for needy in dependents(record.name, self._begun):
            await self._end(needy)
            reason = f"cannot start: {needy.name} -> {record.name}, which is {why}"
            needy.become(PluginState.FAILED, reason, is_blocked=True)
        await self._end(record)
        if self._bus.is_declared(record.name):
            self._bus.undeclare(record.name)

    async def _end(self, record: PluginRecord) -> None:
        """Ends one for now; what waits for it goes on waiting."""
        if record.hosted:
            await self._bus.detach(record.name, INTERRUPT_SECONDS)
            await record.hosted.finish_actions(INTERRUPT_SECONDS)
            if reason := await self._release(record):
                log.warning("a plugin did not end well", plugin=record.name, reason=reason)

    async def _release(self, record: PluginRecord) -> str | None:
        """Returns what went wrong."""
        assert record.hosted
        hosted, record.hosted = record.hosted, None
        self._begun.remove(record)
        return await _released(hosted, self._shutdown_seconds)


async def _released(hosted: Hosted, seconds: float) -> str | None:
    """What went wrong in `shutdown`."""
    try:
        await hosted.release(seconds)
    except BaseException as error:
        if is_ours(error):
            raise
        return f"shutdown: {describe(error)}"
    return None
