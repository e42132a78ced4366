"""Hosts one plugin as the daemon would: its manifest is read, its settings are checked, a real bus delivers to it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Protocol

from panotti_daemon.clock import Clock
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.handlers import Subscription
from panotti_daemon.core.events.models import Announcement, Delivery, DeliveryState, Event
from panotti_daemon.core.plugins.hosting import Hosted
from panotti_daemon.core.plugins.loading import Loader
from panotti_daemon.core.plugins.manifest import read_manifest
from panotti_daemon.core.plugins.ports import DaemonPorts
from panotti_daemon.core.plugins.secrets import Secrets
from panotti_daemon.core.plugins.wishes import Wishes
from panotti_daemon.errors import PluginFailed
from panotti_daemon.models.database import Database, Transaction
from panotti_daemon.settings import PluginSettings
from panotti_daemon.testing.clock import StoppedClock
from panotti_daemon.testing.services import Services

PATIENCE_SECONDS = 20.0


class PluginHost:
    """A plugin that runs, and what it has done."""

    def __init__(self, hosted: Hosted, ports: _Ports, bus: EventBus, clock: StoppedClock, services: Services) -> None:
        self.plugin = hosted.plugin
        self.clock = clock
        self.services = services
        self.errors: list[BaseException] = []
        """What its handler raised."""
        self._raised: dict[str, BaseException] = {}
        self._hosted = hosted
        self._ports = ports
        self._bus = bus
        self._name = hosted.manifest.name
        self._subscription = hosted.manifest.subscription()
        self._record = _Record(self._subscription, clock)

    @property
    def events(self) -> list[Event]:
        """What it emitted, in answers and by itself, and its last failures."""
        return self._record.emitted

    @property
    def announcements(self) -> list[Announcement]:
        return self._ports.announcements

    @property
    def heartbeats(self) -> list[str]:
        """The ids of the events at which it said that it is alive."""
        return self._ports.heartbeats

    @property
    def deliveries(self) -> list[Delivery]:
        """What became of each event that came to it."""
        return list(self._record.deliveries.values())

    async def state(self) -> dict[str, Any]:
        return await self._ports.list_state(self._name, "")

    async def deliver(self, event: Event) -> list[Event]:
        """Publishes an event, waits until it was handled, and returns the answers. Raises what the handler raised."""
        if not self._subscription.wants(event):
            raise PluginFailed(f"{self._name} does not subscribe to {event.name}")
        await self.publish(event)
        await self.idle()
        delivery = self._record.deliveries.get(event.id)
        if delivery is None:
            raise PluginFailed(f"{self._name} rests, for it has failed too often")
        if delivery.state is not DeliveryState.DONE:
            raise self._raised.get(event.id) or PluginFailed(delivery.error or delivery.state)
        return [answer for answer in self.events if answer.cause_id == event.id]

    async def publish(self, *events: Event) -> None:
        """Publishes events as others would; `idle` waits until they were handled."""
        self._record.foreign.update(event.id for event in events)
        await self._bus.publish(*events)

    async def idle(self) -> None:
        """Waits until there is nothing more to do at the time that the clock shows."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not (self._bus.rest_of(self._name) or self._record.has_settled()):
                    await self._record.changes()
        except TimeoutError:
            raise PluginFailed(f"{self._name} is still at work after {PATIENCE_SECONDS:g} s") from None

    async def pass_time(self, seconds: float) -> None:
        """Advances the clock, and waits for the retries that are due by then."""
        self.clock.advance(seconds)
        self._bus.resume(self._name)
        await self.idle()

    async def start(self) -> None:
        self._bus.project(self._record)
        self._bus.declare(self._subscription)
        await self._bus.start()
        await self._hosted.initialize(PATIENCE_SECONDS)
        self._bus.attach(self._name, self._handle)

    async def stop(self) -> None:
        await self._bus.stop(grace_seconds=0)
        await self._hosted.release(PATIENCE_SECONDS)

    async def _handle(self, event: Event) -> list[Event]:
        try:
            return await self._hosted.handle(event)
        except BaseException as error:
            self.errors.append(error)
            self._raised[event.id] = error
            raise


@asynccontextmanager
async def host(
    folder: Path,
    *,
    config: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    state: Mapping[str, Any] | None = None,
    services: Services | None = None,
) -> AsyncIterator[PluginHost]:
    """Starts the plugin of a folder, with these settings over its manifest's and the state that an earlier run left it,
    and stops it in the end."""
    manifest = read_manifest(folder)
    clock, services = StoppedClock(), services or Services()
    wishes = Wishes({manifest.name: PluginSettings(config=dict(config or {}))})
    with tempfile.TemporaryDirectory(prefix="panotti-") as temporary:
        data = Path(temporary, "data")
        database = await Database.open(Path(temporary, "panotti.db"), clock.now())
        try:
            bus = EventBus(database, clock, Random(1))  # noqa: S311 jitter is no secret
            ports = _Ports(bus, database)
            for key, value in (state or {}).items():
                await ports.set_state(manifest.name, key, value)
            loader = Loader(lambda name: services.context(name, clock, data), ports, wishes, _Secrets(secrets or {}))
            hosted = PluginHost(await loader.load(folder, manifest), ports, bus, clock, services)
            try:
                await hosted.start()
                yield hosted
            finally:
                await hosted.stop()
        finally:
            await database.close()


class Hosting(Protocol):
    """The fixture `hosted`: as `host`, and unless told otherwise for the plugin that the test stands beside."""

    def __call__(
        self,
        folder: Path | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        state: Mapping[str, Any] | None = None,
        services: Services | None = None,
    ) -> AbstractAsyncContextManager[PluginHost]: ...


class _Secrets(Secrets):
    """Those of the test, never those of its user."""

    def __init__(self, given: Mapping[str, str]) -> None:
        super().__init__({})
        self._given = given

    async def get(self, plugin: str, key: str) -> str | None:
        return self._given.get(key)


class _Ports(DaemonPorts):
    """Also notes what only passes."""

    def __init__(self, bus: EventBus, database: Database) -> None:
        super().__init__(bus, database)
        self.announcements: list[Announcement] = []
        self.heartbeats: list[str] = []

    async def announce(self, announcement: Announcement) -> None:
        self.announcements.append(announcement)
        await super().announce(announcement)

    def heartbeat(self, plugin: str, event_id: str) -> None:
        self.heartbeats.append(event_id)
        super().heartbeat(plugin, event_id)


class _Record:
    """What has been stored; told by the bus inside its transactions, true once these are committed."""

    def __init__(self, subscription: Subscription, clock: Clock) -> None:
        self.foreign: set[str] = set()
        """The ids of events that the test itself publishes."""
        self.emitted: list[Event] = []
        self.deliveries: dict[str, Delivery] = {}
        """By event, each as it was last."""
        self._subscription = subscription
        self._clock = clock
        self._wanted: set[str] = set()
        self._changed = asyncio.Event()

    async def event_stored(self, transaction: Transaction, event: Event) -> None:
        transaction.after_commit(partial(self._stored, event))

    async def delivery_changed(self, transaction: Transaction, delivery: Delivery, event: Event) -> None:
        transaction.after_commit(partial(self._became, delivery))

    def has_settled(self) -> bool:
        return all(self._is_settled(event_id) for event_id in self._wanted)

    async def changes(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _stored(self, event: Event) -> None:
        if self._subscription.wants(event):
            self._wanted.add(event.id)
        if event.id not in self.foreign:
            self.emitted.append(event)
        self._changed.set()

    def _became(self, delivery: Delivery) -> None:
        self.deliveries[delivery.event_id] = delivery
        self._changed.set()

    def _is_settled(self, event_id: str) -> bool:
        delivery = self.deliveries.get(event_id)
        if delivery is None:
            return False
        if delivery.available_at and delivery.state is DeliveryState.WAITING:
            return delivery.available_at > self._clock.now()
        return delivery.state in (DeliveryState.DONE, DeliveryState.DEAD)
