"""The base of every plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from panotti_daemon.core.events.models import Announcement, Event
from panotti_daemon.core.events.types import Payload
from panotti_daemon.core.plugins.manifest import Manifest
from panotti_daemon.core.plugins.protocol import Context
from panotti_daemon.errors import PermanentError

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Health:
    ok: bool = True
    message: str = ""


class Ports(Protocol):
    """The daemon's side of a plugin's own methods."""

    async def publish(self, plugin: str, event: Event) -> None: ...

    async def announce(self, announcement: Announcement) -> None: ...

    def heartbeat(self, plugin: str, event_id: str) -> None: ...

    async def spare_attempt(self, plugin: str, event_id: str) -> None: ...

    async def run_blocking(self, plugin: str, function: Callable[[], T]) -> T: ...

    async def get_state(self, plugin: str, key: str) -> Any: ...

    async def set_state(self, plugin: str, key: str, value: Any) -> None: ...

    async def delete_state(self, plugin: str, key: str) -> None: ...

    async def list_state(self, plugin: str, prefix: str) -> dict[str, Any]: ...


class PluginBase:
    """A plugin is a folder with `plugin.yaml` and a `plugin.py` that holds one subclass of this, named `Plugin`."""

    class Config(BaseModel):
        """The plugin's settings; checked before `initialize`."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    config: Any

    def __init__(self, manifest: Manifest, config: BaseModel, context: Context, ports: Ports) -> None:
        self.manifest = manifest
        self.config = config
        self.context = context
        self._ports = ports

    async def initialize(self) -> None:
        """Acquires what the plugin needs; called before any event comes."""

    async def handle(self, event: Event) -> Iterable[Event] | None:
        """Handles one delivery and returns the events that follow from it; they are stored together with the
        fact that this one is done. What it raises is retried, PermanentError and Unavailable excepted."""

    async def health(self) -> Health:
        return Health()

    async def act(self, action: str, arguments: dict[str, Any]) -> Any:
        """Does what a person asks of this plugin, through `panotti plugins do` or the API, and answers in JSON."""
        raise PermanentError(f"{self.manifest.name} has no action {action!r}")

    async def shutdown(self) -> None:
        """Releases what `initialize` acquired; called after the last event."""

    def create_child_event(self, parent: Event, name: str, data: Payload | dict[str, Any]) -> Event:
        """An event that `parent` caused, in the same correlation."""
        return parent.child(name, data, source_plugin=self.manifest.name)

    async def publish(self, event: Event) -> None:
        """Stores an event that follows from no other. What `handle` returns is published by itself."""
        await self._ports.publish(self.manifest.name, event)

    async def announce(self, name: str, data: Payload | dict[str, Any]) -> None:
        """Tells whoever listens just now."""
        await self._ports.announce(Announcement.create(name, data))

    def is_alive(self, event: Event) -> None:
        """Call it while a long `handle` makes progress, so that it is not taken for hung."""
        self._ports.heartbeat(self.manifest.name, event.id)

    async def spare_attempt(self, event: Event) -> None:
        """Call it once part of a long `handle` is kept: the next attempt goes on there, so this one does not count.
        Never call it without progress, or what kills the daemon does so for ever."""
        await self._ports.spare_attempt(self.manifest.name, event.id)

    async def run_blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs what would block the daemon, such as file operations or a long computation, in a thread of its own. A
        handler that is ended does not wait for it: the function ends by itself, and its result is dropped."""
        return await self._ports.run_blocking(self.manifest.name, partial(function, *args, **kwargs))

    async def get_state(self, key: str, default: Any = None) -> Any:
        value = await self._ports.get_state(self.manifest.name, key)
        return default if value is None else value

    async def update_state(self, key: str, value: Any) -> None:
        """Keeps a JSON value that survives restarts; other plugins cannot see it."""
        await self._ports.set_state(self.manifest.name, key, value)

    async def delete_state(self, key: str) -> None:
        await self._ports.delete_state(self.manifest.name, key)

    async def list_state(self, prefix: str = "") -> dict[str, Any]:
        """Every value whose key begins so, in the keys' order."""
        return await self._ports.list_state(self.manifest.name, prefix)
