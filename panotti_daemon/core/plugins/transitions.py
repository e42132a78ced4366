"""The steps of one plugin's life as they happen: it starts, a new version replaces it, it ends.

A new version takes over from an old one like this: it is read, checked and imported while the old one works; the old
one finishes what it runs, while further deliveries wait; the new one is initialized and gets them; the old one is shut
down. Whatever fails before that last step leaves the old one as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.handlers import describe
from panotti_daemon.core.plugins.dependencies import accepts, dependents, unmet
from panotti_daemon.core.plugins.hosting import Hosted, is_ours
from panotti_daemon.core.plugins.importing import located
from panotti_daemon.core.plugins.interface import Health
from panotti_daemon.core.plugins.lifecycle import PluginRecord, PluginState
from panotti_daemon.core.plugins.loading import Loader
from panotti_daemon.core.plugins.manifest import Manifest, read_manifest
from panotti_daemon.errors import PluginFailed, Unavailable

log = structlog.get_logger(__name__)

INITIALIZE_SECONDS = 30.0
SHUTDOWN_SECONDS = 1.0
FINISH_SECONDS = 120.0
"""How long a version that is to be replaced may go on with what it runs; then that is put back for the new one."""
INTERRUPT_SECONDS = 2.0
"""The same for one that is switched off."""


class Transitions:
    """`changing` is held meanwhile, but for as long as an old version finishes what it runs."""

    def __init__(
        self,
        bus: EventBus,
        loader: Loader,
        records: Mapping[str, PluginRecord],
        changing: asyncio.Lock,
        declare: Callable[[Manifest], None],
        *,
        initialize_seconds: float,
        shutdown_seconds: float,
        finish_seconds: float,
    ) -> None:
        self._bus = bus
        self._loader = loader
        self._records = records
        self._changing = changing
        self._declare = declare
        self._initialize_seconds = initialize_seconds
        self._shutdown_seconds = shutdown_seconds
        self._finish_seconds = finish_seconds
        self.begun: list[PluginRecord] = []
        """Those to be shut down, in the order in which they were initialized."""

    def dependents(self, name: str) -> list[PluginRecord]:
        """Those begun that need this one."""
        return dependents(name, self.begun)

    async def start(self, record: PluginRecord, manifest: Manifest) -> None:
        """Its record says how that went."""
        try:
            record.hosted = await self._loader.load(record.folder, manifest)
            self.begun.append(record)
            await record.hosted.initialize(self._initialize_seconds)
        except BaseException as error:
            if is_ours(error):
                raise
            log.debug("plugin failed to start", plugin=record.name, exc_info=error)
            if record.hosted:
                await self.release(record)
            record.become(PluginState.FAILED, located(error, record.folder), lacks=isinstance(error, Unavailable))
            return
        record.become(PluginState.INITIALIZED)
        self._bus.attach(record.name, record.hosted.handle)
        record.become(PluginState.RUNNING)

    async def replace(self, record: PluginRecord, old: Hosted) -> None:
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
            await self._released(new)
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
        if reason := await self._released(old):
            log.warning("the version before did not end well", plugin=record.name, reason=reason)

    async def take_away(self, record: PluginRecord, why: str) -> None:
        """Ends one, what depends on it first; it gets nothing from now on."""
        for needy in self.dependents(record.name):
            await self._end(needy)
            reason = f"cannot start: {needy.name} -> {record.name}, which is {why}"
            needy.become(PluginState.FAILED, reason, is_blocked=True)
        await self._end(record)
        if self._bus.is_declared(record.name):
            self._bus.undeclare(record.name)

    async def release(self, record: PluginRecord) -> str | None:
        """Returns what went wrong."""
        assert record.hosted
        hosted, record.hosted = record.hosted, None
        self.begun.remove(record)
        return await self._released(hosted)

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
        if why_not := unmet(manifest, self._records):
            raise PluginFailed(why_not)
        for record in self.begun:
            versions = record.manifest.dependencies.get(manifest.name) if record.manifest else None
            if versions and not accepts(versions, manifest):
                raise PluginFailed(f"{record.name} needs {manifest.name} {versions}, and this is {manifest.version}")

    async def _end(self, record: PluginRecord) -> None:
        """Ends one for now; what waits for it goes on waiting."""
        if record.hosted:
            await self._bus.detach(record.name, INTERRUPT_SECONDS)
            await record.hosted.finish_actions(INTERRUPT_SECONDS)
            if reason := await self.release(record):
                log.warning("a plugin did not end well", plugin=record.name, reason=reason)

    async def _released(self, hosted: Hosted) -> str | None:
        """What went wrong in `shutdown`."""
        try:
            await hosted.release(self._shutdown_seconds)
        except BaseException as error:
            if is_ours(error):
                raise
            return f"shutdown: {describe(error)}"
        return None
