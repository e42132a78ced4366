"""The composition root: builds the daemon's parts, starts them in order, and stops them in the reverse order."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import structlog

from panotti_daemon.api.app import ApiServer, bind
from panotti_daemon.api.schemas import RuntimeInfo
from panotti_daemon.api.services import Services
from panotti_daemon.api.status import StatusBoard
from panotti_daemon.api.tail import Tail
from panotti_daemon.clock import Clock
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.dead_letters import DeadLetters
from panotti_daemon.core.events.handlers import rest_event
from panotti_daemon.core.events.journal import Journal
from panotti_daemon.core.events.replay import Replay
from panotti_daemon.core.events.retention import Retention
from panotti_daemon.core.plugins.at_work import AtWork
from panotti_daemon.core.plugins.blocking import Pool
from panotti_daemon.core.plugins.crashes import Crashes
from panotti_daemon.core.plugins.health import HealthChecks
from panotti_daemon.core.plugins.hot_reload import HotReload
from panotti_daemon.core.plugins.importing import plugin_of
from panotti_daemon.core.plugins.loading import Loader
from panotti_daemon.core.plugins.manager import PluginManager
from panotti_daemon.core.plugins.manifest import Manifest
from panotti_daemon.core.plugins.ports import DaemonPorts
from panotti_daemon.core.plugins.protocol import Context
from panotti_daemon.core.plugins.secrets import Secrets
from panotti_daemon.core.plugins.wishes import StoredWishes
from panotti_daemon.desktop import instance
from panotti_daemon.desktop.opening import Opener
from panotti_daemon.desktop.sd_notify import systemd_told
from panotti_daemon.desktop.session_bus import session_bus
from panotti_daemon.engine.client import Engine
from panotti_daemon.engine.models.manager import Models
from panotti_daemon.engine.remote.keys import ServerKeys
from panotti_daemon.engine.remote.transcriber import RemoteTranscriber, choice
from panotti_daemon.engine.transcriber import LocalTranscriber
from panotti_daemon.housekeeping import Housekeeping
from panotti_daemon.intake.arrivals import Arrivals
from panotti_daemon.intake.copies import Copies
from panotti_daemon.intake.forget import Forget
from panotti_daemon.intake.identify import Identify
from panotti_daemon.intake.ledger import Ledger
from panotti_daemon.intake.library import Library
from panotti_daemon.intake.register import Register
from panotti_daemon.intake.requests import Requests
from panotti_daemon.intake.sources import Sources
from panotti_daemon.intake.watcher import Watcher
from panotti_daemon.lookout import Lookout
from panotti_daemon.models.database import Database, queries
from panotti_daemon.models.transcript.adoption import adopt
from panotti_daemon.models.transcript.store import TranscriptStore
from panotti_daemon.models.transcript.writer import OutputWriter
from panotti_daemon.paths import Paths, bundled
from panotti_daemon.pausing.control import Pausing
from panotti_daemon.pausing.machine import Machine
from panotti_daemon.plugin_kit import placing
from panotti_daemon.process import STOP_SECONDS, Ending, handle_signals, in_time, start_afresh
from panotti_daemon.settings import Settings
from panotti_daemon.watchdog import Watchdog

log = structlog.get_logger(__name__)

GRACE_SECONDS = 1.0
RELEASE_SECONDS = 2.0


class Daemon:
    def __init__(self, paths: Paths, settings: Settings, clock: Clock, ending: Ending) -> None:
        self.paths = paths
        self.settings = settings
        self.notes: list[str] = []
        """What a user at the terminal should know of this start."""
        self.url = ""
        self._clock = clock
        self._ending = ending
        self._at_work = AtWork(paths.at_work)
        self._stop = asyncio.Event()
        self._ready = False
        self._notices: list[str] = []

    async def run(self, on_ready: Callable[[Daemon], Awaitable[None]]) -> None:
        """Until a signal or `shut_down`. The instance lock must be held."""
        handle_signals(self.shut_down, self._ending)
        asyncio.get_running_loop().set_default_executor(Pool())
        if bus := session_bus(os.environ):
            os.environ["DBUS_SESSION_BUS_ADDRESS"] = bus  # libraries, and programs that open files, look only here
        async with AsyncExitStack() as stack:
            self._watch_loop(stack)
            await self._start(stack)
            if not self._stop.is_set():
                self._ready = True
                log.info("ready", url=self.url)
                await stack.enter_async_context(systemd_told(self._board))
                await on_ready(self)
                self._housekeeping.start()
                gc.collect()
                gc.freeze()  # what is there now stays: later collections need not look at it
            await self._stop.wait()
            log.info("stopping")
            self._ready = False
            self._board.close()
            self._tail.close()
        log.info("stopped")

    def shut_down(self) -> None:
        if not self._stop.is_set():
            self._ending.within(STOP_SECONDS)
            self._stop.set()

    async def _start(self, stack: AsyncExitStack) -> None:
        settings, clock = self.settings, self._clock
        database = self._database = await Database.open(self.paths.database, clock.now())
        stack.push_async_callback(database.close)
        await self._prepare_folders()

        engine = self._engine = Engine(
            models=self.paths.models,
            idle_seconds=settings.engine.idle_seconds,
            workers=settings.engine.workers,
            resources=settings.engine,
        )
        stack.push_async_callback(engine.close)
        local = LocalTranscriber(engine, clock, model=settings.engine.model)
        models = Models(self.paths, settings.watch, engine, local, changed=self._touch)
        stack.push_async_callback(models.stop)
        models.start()
        server_keys = ServerKeys(settings.engine.remote, Secrets())

        bus = self._bus = EventBus(database, clock)
        ledger = self._ledger = Ledger(clock, changed=self._touch)
        bus.project(ledger)
        bus.project(Copies(ledger, bus))
        pausing = self._pausing = Pausing(
            database,
            bus,
            engine,
            Machine(settings.polite, clock, lambda: engine.pids),
            settings.polite,
            clock,
            transcribers=lambda: ledger.transcribers,
            changed=self._touch,
        )
        bus.project(pausing)

        def expect() -> None:
            if not settings.engine.remote.servers and any(map(plugins.is_running, ledger.transcribers)):
                engine.expect()

        register = Register(database, ledger, bus, clock)
        identify = Identify(database, ledger, register, engine, clock)
        arrivals = Arrivals(
            database,
            ledger,
            identify,
            clock,
            backlog_limit=settings.backlog_limit,
            superseded=identify.supersede,
            folders_changed=self._touch,
            expected=expect,
        )
        watcher = arrivals.watcher = Watcher(
            settings.watch, arrivals, rescan_seconds=settings.rescan_seconds, left_out=self._left_out()
        )

        async def recheck(path: Path) -> None:
            await arrivals.hinted(watcher.settings_for(path), {path})

        async with database.reading() as connection:
            ever_watched = [Path(row["path"]) async for row in queries().folders_ever_watched(connection)]

        def stays_here(path: Path) -> bool:
            # what waits in a folder that is watched no more may have been kept here by settings that are gone
            is_left = watcher.folder_of(path) is None and any(map(path.is_relative_to, ever_watched))
            return is_left or watcher.settings_for(path).engine == "local"

        servers = RemoteTranscriber(engine, settings.engine.remote, server_keys)
        transcriber = choice(servers, local, settings.engine.remote, stays_here)
        sources = Sources(database, ledger, recheck, watcher.settings_for)
        outputs = OutputWriter(database, clock, watcher.settings_for)
        stored = TranscriptStore(database, clock)
        library = Library(
            database, ledger, roots=self._holding_recordings(), folder_of=watcher.folder_of, stopped=self._stop.is_set
        )
        opener = Opener()

        def context_for(plugin: str) -> Context:
            return Context(
                recordings=sources,
                transcriber=transcriber,
                transcripts=stored,
                outputs=outputs,
                library=library,
                media=engine,
                requests=requests,
                desktop=opener,
                clock=clock,
                log=structlog.get_logger(f"plugins.{plugin}").bind(plugin=plugin),
                data=self.paths.data / "plugin-data" / plugin,
                resources=bundled("resources"),
            )

        loader = Loader(context_for, DaemonPorts(bus, database), StoredWishes(self.paths), at_work=self._at_work)
        crashes = Crashes(database, self._at_work, clock)
        rests = await crashes.account()
        folders = (bundled("plugins"), self.paths.plugins)
        plugins = self._plugins = PluginManager(
            bus, loader, folders, clock, crashes=crashes, changed=self._touch, declared=self._plugin_declared
        )
        for name in await asyncio.to_thread(placing.recover, self.paths.plugins):
            log.warning("a plugin is put back: its upgrade was broken off", plugin=name)
        plugins.register()
        ledger.transcribers = frozenset(plugins.names_with_role("transcription"))
        requests = Requests(database, ledger, bus, watcher, arrivals, identify, register, clock)
        lookout = Lookout(
            database, bus, clock, folders=lambda: watcher.states, disks=[self.paths.data, *self._output_roots()]
        )
        self._board = StatusBoard(
            database=database,
            ledger=ledger,
            bus=bus,
            watcher=watcher,
            plugins=plugins,
            engine=engine,
            models=models,
            requests=requests,
            pausing=pausing,
            clock=clock,
            estimate=lambda audio_seconds: audio_seconds / local.speed,
            pid=os.getpid(),
            log_file=self.paths.log_file,
            servers=[server.name for server in settings.engine.remote.servers],
            notices=lambda: [*self._notices, *lookout.full_disks],
        )
        bus.listen(self._board.hear)
        self._tail = Tail(bus)
        retention = Retention(database, clock, settings.events)

        await register.ask_anew(settings.watch, watcher.folder_of)
        await bus.start(crashes.culprits)
        await bus.publish(*(rest_event(name, rest) for name, rest in rests.items()))
        stack.push_async_callback(in_time, plugins.stop, RELEASE_SECONDS)
        stack.push_async_callback(bus.stop, GRACE_SECONDS)
        await pausing.start()
        stack.push_async_callback(pausing.stop)
        await self._unless_stopped(plugins.start())
        health = HealthChecks(plugins, settings.plugins_health_seconds)
        health.start()
        stack.push_async_callback(health.stop)
        if settings.plugins_hot_reload:
            hot_reload = HotReload(plugins, folders)
            await hot_reload.start()
            stack.push_async_callback(hot_reload.stop)
        services = Services(
            database=database,
            ledger=ledger,
            requests=requests,
            forget=Forget(database, ledger, bus, outputs, arrivals, identify),
            outputs=outputs,
            plugins=plugins,
            models=models,
            server_keys=server_keys,
            board=self._board,
            pausing=pausing,
            shut_down=self.shut_down,
            journal=Journal(database),
            dead_letters=DeadLetters(database, bus),
            replay=Replay(database, bus, clock),
            tail=self._tail,
            is_ready=lambda: self._ready,
        )
        await self._serve(stack, services)
        identify.start(arrivals)
        stack.push_async_callback(identify.stop)
        arrivals.start()
        stack.push_async_callback(arrivals.stop)
        await watcher.start()
        stack.push_async_callback(watcher.stop)
        lookout.start()
        stack.push_async_callback(lookout.stop)
        self._housekeeping = Housekeeping(self.paths, settings, self._output_roots(), clock, stored.drop_given_up)
        stack.push_async_callback(self._housekeeping.stop)
        retention.start()
        stack.push_async_callback(retention.stop)

    async def _unless_stopped(self, starting: Coroutine[Any, Any, None]) -> None:
        """Whoever wants to stop need not wait for a plugin that does not come up."""
        started, stopped = asyncio.create_task(starting), asyncio.create_task(self._stop.wait())
        await asyncio.wait({started, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._stop.is_set():
            started.cancel()
        with suppress(asyncio.CancelledError):
            await started

    async def _serve(self, stack: AsyncExitStack, services: Services) -> None:
        listener, is_wished = bind(self.settings.api)
        stack.callback(listener.close)
        token = secrets.token_urlsafe(32)
        server = ApiServer(listener, services, token, self.settings.api)
        self.url = self._board.url = server.url
        if not is_wished and self.settings.api.port:
            self.notes.append(f"Port {self.settings.api.port} is taken by another program; another one is used.")
        await server.start()
        stack.push_async_callback(server.stop)
        info = RuntimeInfo(pid=os.getpid(), url=server.url, token=token, started_at=self._clock.now())
        instance.publish(self.paths.runtime_file, info)
        stack.callback(instance.withdraw, self.paths.runtime_file)

    async def _prepare_folders(self) -> None:
        """Makes the default folder and new output folders; takes in transcripts that stand there already."""
        if self._database.moved_aside:
            self._notices.append(
                f"The database was damaged and is kept as {self._database.moved_aside}. Transcripts on disk were taken "
                "in again; the journal of events, the plugins' own state and API keys could not be brought back."
            )
        default = self.paths.recordings
        if any(folder.path == default for folder in self.settings.watch):
            try:
                default.mkdir(parents=True)
                self.notes.append(f"The folder {default} was made for your recordings.")
            except FileExistsError:
                pass  # or a link to a drive that is away, which the status shows
            except OSError as error:
                self.notes.append(f"The folder {default} cannot be made: {error.strerror}.")
        watched = [folder.path for folder in self.settings.watch]
        await adopt(self._database, self._output_roots(), self._clock, watched=watched)

    def _output_roots(self) -> list[Path]:
        roots = [f.path if f.output == "beside" else f.output for f in self.settings.watch]
        return list(dict.fromkeys(root for root in roots if root))

    def _holding_recordings(self) -> list[Path]:
        return list(dict.fromkeys([*(folder.path for folder in self.settings.watch), *self._output_roots()]))

    def _left_out(self) -> Iterable[Path]:
        """Never looked into: Panotti's own folders, and outputs that stand inside a watched folder."""
        watched = {folder.path for folder in self.settings.watch}
        own = (self.paths.config, self.paths.data, self.paths.state, self.paths.cache, self.paths.runtime)
        return [*own, *(root for root in self._output_roots() if root not in watched)]

    def _touch(self) -> None:
        if self._ready:
            self._board.touch()

    def _plugin_declared(self, manifest: Manifest) -> None:
        """One that transcribes takes part in the pause, also if it was switched on or reloaded during it."""
        if manifest.role == "transcription":
            self._ledger.transcribers |= {manifest.name}
            self._pausing.declared(manifest.name)

    def _watch_loop(self, stack: AsyncExitStack) -> None:
        def restart(plugin: str) -> None:
            if not self._stop.is_set():
                self._at_work.mark(plugin).blocks()
                start_afresh()

        watchdog = Watchdog(plugin_of, restart, restart_seconds=self.settings.plugins_block_seconds)
        watchdog.start()
        stack.callback(watchdog.stop)
        stack.callback(self._at_work.clear)
