"""Finds plugins, checks their manifests, and takes them through their lives.

registered -> initialized -> running -> stopped, or failed with its reason at any step. One bad plugin stops
neither another nor the daemon; its deliveries wait for it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import structlog
from packaging.specifiers import SpecifierSet
from pydantic import ValidationError

from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.handlers import Subscription, describe
from panotti_daemon.core.events.models import Announcement
from panotti_daemon.core.plugins.interface import PluginBase
from panotti_daemon.core.plugins.manifest import MANIFEST, Manifest, read_manifest
from panotti_daemon.core.plugins.protocol import Context
from panotti_daemon.errors import ManifestError, PluginFailed
from panotti_daemon.models.database import Database, queries
from panotti_daemon.settings import PluginSettings

log = structlog.get_logger(__name__)

INITIALIZE_SECONDS = 30.0
SHUTDOWN_SECONDS = 1.0
ENTRY_POINTS = "panotti.plugins"

ContextFor = Callable[[str], Context]


class PluginState(StrEnum):
    REGISTERED = "registered"
    INITIALIZED = "initialized"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    DISABLED = "disabled"


@dataclass
class PluginRecord:
    name: str
    folder: Path
    manifest: Manifest | None = None
    state: PluginState = PluginState.REGISTERED
    reason: str | None = None
    plugin: PluginBase | None = None

    def become(self, state: PluginState, reason: str | None = None) -> None:
        self.state, self.reason = state, reason
        level = log.error if state is PluginState.FAILED else log.info
        level("plugin", plugin=self.name, state=state.value, reason=reason)


class PluginManager:
    def __init__(
        self,
        bus: EventBus,
        database: Database,
        context_for: ContextFor,
        settings: Mapping[str, PluginSettings],
        folders: tuple[Path, ...],
    ) -> None:
        self._bus = bus
        self._database = database
        self._context_for = context_for
        self._settings = settings
        self._folders = folders
        self.records: dict[str, PluginRecord] = {}

    def register(self) -> None:
        """Reads every manifest and declares its subscriptions, so that no event is missed from here on."""
        for folder in self._discover():
            if folder.name in self.records:
                continue
            record = self.records[folder.name] = PluginRecord(folder.name, folder)
            try:
                record.manifest = read_manifest(folder)
            except ManifestError as error:
                record.become(PluginState.FAILED, error.message)
                continue
            if not self._enabled(record.manifest):
                record.become(PluginState.DISABLED)
                continue
            self._bus.declare(_subscription(record.manifest))
            record.become(PluginState.REGISTERED)

    def names_with_role(self, role: str) -> list[str]:
        return [r.name for r in self.records.values() if r.manifest and r.manifest.role == role]

    async def start(self) -> None:
        """Initializes and runs the plugins, each after those it depends on."""
        for name in self._in_order():
            record = self.records[name]
            try:
                self._check_dependencies(record)
                record.plugin = self._load(record)
                async with asyncio.timeout(INITIALIZE_SECONDS):
                    await record.plugin.initialize()
                record.become(PluginState.INITIALIZED)
            except TimeoutError:
                record.become(PluginState.FAILED, f"initialize() took longer than {INITIALIZE_SECONDS:.0f} s")
            except (Exception, SystemExit) as error:
                log.debug("plugin failed to start", plugin=name, exc_info=error)
                record.become(PluginState.FAILED, describe(error))
            else:
                self._bus.attach(name, record.plugin.handle)
                record.become(PluginState.RUNNING)

    async def stop(self) -> None:
        """Releases what the plugins hold, in the reverse of the order in which they started."""
        for name in reversed(self._in_order()):
            record = self.records[name]
            if record.plugin is None:
                continue
            try:
                async with asyncio.timeout(SHUTDOWN_SECONDS):
                    await record.plugin.shutdown()
                record.become(PluginState.STOPPED)
            except (Exception, SystemExit) as error:
                record.become(PluginState.STOPPED, f"shutdown() failed: {describe(error)}")

    async def announce(self, announcement: Announcement) -> None:
        await self._bus.announce(announcement)

    def heartbeat(self, event_id: str) -> None:
        self._bus.heartbeat(event_id)

    async def get_state(self, plugin: str, key: str) -> Any:
        async with self._database.reading() as connection:
            value = await queries().plugin_value(connection, plugin=plugin, key=key)
        return None if value is None else json.loads(value)

    async def set_state(self, plugin: str, key: str, value: Any) -> None:
        async with self._database.transaction() as transaction:
            await queries().set_plugin_value(transaction.connection, plugin=plugin, key=key, value=json.dumps(value))

    def _discover(self) -> Iterator[Path]:
        for parent in self._folders:
            if parent.is_dir():
                yield from sorted(folder for folder in parent.iterdir() if (folder / MANIFEST).is_file())
        for entry_point in entry_points(group=ENTRY_POINTS):
            spec = importlib.util.find_spec(entry_point.module.split(".")[0])
            for location in (spec and spec.submodule_search_locations) or ():
                yield Path(location).joinpath(*entry_point.module.split(".")[1:])

    def _enabled(self, manifest: Manifest) -> bool:
        wish = self._settings.get(manifest.name, PluginSettings()).enabled
        return manifest.enabled if wish is None else wish

    def _in_order(self) -> list[str]:
        able = {
            name: record.manifest
            for name, record in self.records.items()
            if record.manifest and record.state not in (PluginState.FAILED, PluginState.DISABLED)
        }
        try:
            order = TopologicalSorter({name: manifest.dependencies for name, manifest in able.items()}).static_order()
            return [name for name in order if name in able]
        except CycleError as error:
            chain = " -> ".join(error.args[1])
            for name in set(error.args[1]):
                self.records[name].become(PluginState.FAILED, f"its dependencies form a circle: {chain}")
            return self._in_order()

    def _check_dependencies(self, record: PluginRecord) -> None:
        assert record.manifest
        for name, versions in record.manifest.dependencies.items():
            needed = self.records.get(name)
            if needed is None or needed.manifest is None:
                raise PluginFailed(f"it needs the plugin {name} {versions}, which is not there")
            if not SpecifierSet(versions).contains(needed.manifest.version, prereleases=True):
                raise PluginFailed(f"it needs {name} {versions}, and {needed.manifest.version} is there")
            if needed.state is not PluginState.RUNNING:
                raise PluginFailed(f"it needs {name}, which is {needed.state}: {needed.reason or 'see there'}")

    def _load(self, record: PluginRecord) -> PluginBase:
        assert record.manifest
        module = _import(record.folder)
        plugin_class = getattr(module, "Plugin", None)
        if not (isinstance(plugin_class, type) and issubclass(plugin_class, PluginBase)):
            raise PluginFailed(f"{record.folder / 'plugin.py'} must hold a class Plugin(PluginBase)")
        user = self._settings.get(record.name, PluginSettings()).config
        try:
            config = plugin_class.Config.model_validate(record.manifest.config | user)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise PluginFailed(f"settings: plugins.{record.name}.config.{key}: {first['msg']}") from error
        return plugin_class(record.manifest, config, self._context_for(record.name), self)


def _subscription(manifest: Manifest) -> Subscription:
    return Subscription(
        name=manifest.name,
        patterns=manifest.subscribes,
        max_attempts=manifest.max_attempts,
        concurrency=manifest.concurrency,
        retry_seconds=manifest.retry_seconds,
        silence_seconds=manifest.silence_seconds,
    )


def _import(folder: Path) -> ModuleType:
    """Imports `plugin.py` as part of a package of its own, so that it may import its neighbours relatively."""
    package = f"panotti_plugins.{folder.name}"
    parent = ModuleType("panotti_plugins")
    parent.__path__ = []
    sys.modules.setdefault("panotti_plugins", parent)
    home = ModuleType(package)
    home.__path__ = [str(folder)]
    sys.modules[package] = home
    spec = importlib.util.spec_from_file_location(f"{package}.plugin", folder / "plugin.py")
    if spec is None or spec.loader is None or not (folder / "plugin.py").is_file():
        raise PluginFailed(f"{folder / 'plugin.py'} is not there")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
