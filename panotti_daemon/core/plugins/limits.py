"""What a plugin may send: its own events, of a bearable size, at a bearable pace. Whatever is more fails in that plugin
and is no matter of anybody else's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError

from panotti_daemon.core.events.models import Announcement, Event
from panotti_daemon.core.events.types import payload_type
from panotti_daemon.core.plugins.interface import Ports
from panotti_daemon.core.plugins.manifest import Manifest
from panotti_daemon.errors import PluginFailed
from panotti_daemon.explain import dotted

MOST_BYTES = 256 * 1024
EVENTS_AT_ONCE, EVENTS_A_SECOND = 10_000, 100.0
ANNOUNCEMENTS_AT_ONCE, ANNOUNCEMENTS_A_SECOND = 2_000, 200.0


class Bucket:
    """Holds so many tokens, and gets more with time."""

    def __init__(self, size: float, a_second: float, now: Callable[[], float]) -> None:
        self._size = size
        self._a_second = a_second
        self._now = now
        self._tokens = size
        self._filled_at = now()

    def take(self) -> bool:
        now = self._now()
        self._tokens = min(self._size, self._tokens + (now - self._filled_at) * self._a_second)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Limits:
    def __init__(self, manifest: Manifest, now: Callable[[], float] = time.monotonic) -> None:
        self._manifest = manifest
        self._events = Bucket(EVENTS_AT_ONCE, EVENTS_A_SECOND, now)
        self._announcements = Bucket(ANNOUNCEMENTS_AT_ONCE, ANNOUNCEMENTS_A_SECOND, now)

    def event(self, event: Event) -> Event:
        """As it is to be stored. Raises PluginFailed, which says what is wrong with it."""
        name = self._manifest.name
        self._check(event.name, event.data, event)
        if event.source_plugin not in (None, name):
            raise PluginFailed(f"{event.name} is an event of {event.source_plugin}'s, and not of {name}'s")
        if not self._events.take():
            raise PluginFailed(f"{name} emits more than {EVENTS_A_SECOND:.0f} events a second for too long")
        return event if event.source_plugin else event.model_copy(update={"source_plugin": name})

    def announcement(self, announcement: Announcement) -> None:
        """Raises PluginFailed."""
        self._check(announcement.name, announcement.data, announcement)
        if not self._announcements.take():
            raise PluginFailed(f"{self._manifest.name} announces more than {ANNOUNCEMENTS_A_SECOND:.0f} times a second")

    def _check(self, name: str, data: dict[str, Any], message: Event | Announcement) -> None:
        own = (f"{self._manifest.name}.*", *self._manifest.emits)
        if not any(fnmatchcase(name, pattern) for pattern in own):
            raise PluginFailed(f"{self._manifest.name} may not emit {name}: its manifest's `emits` does not name it")
        model = payload_type(name)
        try:
            type(message).model_validate(dict(message))
            if model:
                model.model_validate(data)
        except ValidationError as error:
            wrong = error.errors(include_input=False, include_context=False)[0]  # what was said is shown nowhere
            raise PluginFailed(f"{name} is not what it must be: {dotted(list(wrong['loc']))}: {wrong['msg']}") from None
        try:
            size = len(json.dumps(data, allow_nan=False).encode())
        except (TypeError, ValueError, RecursionError) as error:
            raise PluginFailed(f"The data of {name} is no JSON: {error}") from error
        if size > MOST_BYTES:
            raise PluginFailed(f"{name} has {size // 1024} KB of data; {MOST_BYTES // 1024} are allowed")


class LimitedPorts:
    """The daemon's side for one plugin, within its limits."""

    def __init__(self, ports: Ports, limits: Limits) -> None:
        self._ports = ports
        self._limits = limits
        self.heartbeat = ports.heartbeat
        self.spare_attempt = ports.spare_attempt
        self.run_blocking = ports.run_blocking
        self.get_state = ports.get_state
        self.set_state = ports.set_state
        self.delete_state = ports.delete_state
        self.list_state = ports.list_state

    async def publish(self, plugin: str, event: Event) -> None:
        await self._ports.publish(plugin, self._limits.event(event))

    async def announce(self, announcement: Announcement) -> None:
        self._limits.announcement(announcement)
        await self._ports.announce(announcement)
