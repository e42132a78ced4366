"""Finds plugins, checks their manifests, and takes them through their lives.

registered -> initialized -> running -> stopped, or failed with its reason at any step. One bad plugin stops
neither another nor the daemon; its deliveries wait for it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
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
from panotti_daemon.core.events.handlers import Subscription, contained, describe
from panotti_daemon.core.events.models import Announcement, Event
from panotti_daemon.core.plugins.interface import PluginBase
from panotti_daemon.core.plugins.manifest import MANIFEST, Manifest, read_manifest
from panotti_daemon.core.plugins.protocol import Context
from panotti_daemon.errors import ManifestError, PluginFailed
from panotti_daemon.explain import dotted, explain, suggest
from panotti_daemon.models.database import Database, queries
from panotti_daemon.settings import PluginSettings

log = structlog.get_logger(__name__)

INITIALIZE_SECONDS = 30.0
SHUTDOWN_SECONDS = 1.0
OBEY_SECONDS = 1.0
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
        *,
        initialize_seconds: float = INITIALIZE_SECONDS,
        shutdown_seconds: float = SHUTDOWN_SECONDS,
    ) -> None:
        self._bus = bus
        self._database = database
        self._context_for = context_for
        self._settings = settings
        self._folders = folders
        self._initialize_seconds = initialize_seconds
        self._shutdown_seconds = shutdown_seconds
        self._started: list[PluginRecord] = []
        self.records: dict[str, PluginRecord] = {}

    def register(self) -> None:
        """Reads every manifest and declares its subscriptions, so that no event is missed from here on."""
        for folder in self._discover():
            if folder.name in self.records:
                log.warning("plugin ignored: another has its name", plugin=folder.name, folder=str(folder))
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
        for name in sorted(set(self._settings) - set(self.records)):
            reason = f"the settings name it, but there is no such plugin{suggest(name, self.records)}"
            record = self.records[name] = PluginRecord(name, Path())
            record.become(PluginState.FAILED, reason)

    def names_with_role(self, role: str) -> list[str]:
        return [r.name for r in self.records.values() if r.manifest and r.manifest.role == role]

    async def start(self) -> None:
        """Initializes and runs the plugins, each after those it depends on."""
        for name in self._in_order():
            record = self.records[name]
            try:
                self._check_dependencies(record)
                record.plugin = self._load(record)
                await _within(self._initialize_seconds, record.plugin.initialize)
                record.become(PluginState.INITIALIZED)
            except BaseException as error:
                if _is_ours(error):
                    raise
                log.debug("plugin failed to start", plugin=name, exc_info=error)
                record.become(PluginState.FAILED, describe(error))
            else:
                self._started.append(record)
                self._bus.attach(name, record.plugin.handle)
                record.become(PluginState.RUNNING)

    async def stop(self) -> None:
        """Releases what the plugins hold, in the reverse of the order in which they started."""
        while self._started:
            record = self._started.pop()
            assert record.plugin
            try:
                await _within(self._shutdown_seconds, record.plugin.shutdown)
                record.become(PluginState.STOPPED)
            except BaseException as error:
                if _is_ours(error):
                    raise
                record.become(PluginState.STOPPED, f"shutdown: {describe(error)}")

    async def publish(self, plugin: str, event: Event) -> None:
        await self._bus.publish(event)

    async def announce(self, announcement: Announcement) -> None:
        await self._bus.announce(announcement)

    def heartbeat(self, plugin: str, event_id: str) -> None:
        self._bus.heartbeat(plugin, event_id)

    async def get_state(self, plugin: str, key: str) -> Any:
        async with self._database.reading() as connection:
            value = await queries().plugin_value(connection, plugin=plugin, key=key)
        return None if value is None else json.loads(value)

    async def set_state(self, plugin: str, key: str, value: Any) -> None:
        async with self._database.transaction() as transaction:
            await queries().set_plugin_value(transaction.connection, plugin=plugin, key=key, value=json.dumps(value))

    async def delete_state(self, plugin: str, key: str) -> None:
        async with self._database.transaction() as transaction:
            await queries().delete_plugin_value(transaction.connection, plugin=plugin, key=key)

    async def list_state(self, plugin: str, prefix: str) -> dict[str, Any]:
        async with self._database.reading() as connection:
            rows = queries().plugin_values(connection, plugin=plugin, prefix=prefix)
            return {row["key"]: json.loads(row["value"]) async for row in rows}

    def _discover(self) -> Iterator[Path]:
        for parent in self._folders:
            if parent.is_dir():
                yield from sorted(folder for folder in parent.iterdir() if (folder / MANIFEST).is_file())
        yield from (_folder_of(entry_point.module) for entry_point in entry_points(group=ENTRY_POINTS))

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
        plugin_class = load_plugin_class(record.folder)
        user = self._settings.get(record.name, PluginSettings()).config
        try:
            config = plugin_class.Config.model_validate(record.manifest.config | user)
        except ValidationError as error:
            key, what = explain(error, plugin_class.Config)
            raise PluginFailed(f"settings: {dotted(['plugins', record.name, 'config', *key])}: {what}") from error
        return plugin_class(record.manifest, config, self._context_for(record.name), self)


def load_plugin_class(folder: Path) -> type[PluginBase]:
    """Imports the plugin's code. Raises PluginFailed, and whatever the code raises."""
    plugin_class = getattr(_import(folder), "Plugin", None)
    if not (isinstance(plugin_class, type) and issubclass(plugin_class, PluginBase)):
        raise PluginFailed(f"{folder / 'plugin.py'} must hold a class Plugin(PluginBase)")
    return plugin_class


def _subscription(manifest: Manifest) -> Subscription:
    return Subscription(
        name=manifest.name,
        patterns=manifest.subscribes,
        max_attempts=manifest.max_attempts,
        concurrency=manifest.concurrency,
        retry_seconds=manifest.retry_seconds,
        silence_seconds=manifest.silence_seconds,
    )


def _folder_of(module: str) -> Path:
    """Of an installed package, without importing it; one that is not there will have no manifest either."""
    top, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0] if locations else top, *inner)


async def _within(seconds: float, call: Callable[[], Awaitable[None]]) -> None:
    """Runs a plugin's code in a task of its own, so that it can be left behind if it neither ends nor obeys."""
    task = asyncio.create_task(contained(call))
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        task.cancel()
    if not task.done():
        await asyncio.wait([task], timeout=OBEY_SECONDS)
        raise PluginFailed(f"{call.__name__}() took longer than {seconds:g} s")
    if task.cancelled():
        raise PluginFailed("It cancelled itself")
    await task


def _is_ours(error: BaseException) -> bool:
    """Whether we ourselves are being cancelled; all else that a plugin raises is its own."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _import(folder: Path) -> ModuleType:
    """Imports `plugin.py` as part of a package of its own, so that it may import its neighbours relatively."""
    file = folder / "plugin.py"
    package = f"panotti_plugins.{folder.name}"
    spec = importlib.util.spec_from_file_location(f"{package}.plugin", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise PluginFailed(f"{file} is not there")
    sys.modules.setdefault("panotti_plugins", _package("panotti_plugins"))
    for stale in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[stale]
    sys.modules[package] = _package(package, folder)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _package(name: str, *folders: Path) -> ModuleType:
    package = ModuleType(name)
    package.__path__ = [str(folder) for folder in folders]
    return package
