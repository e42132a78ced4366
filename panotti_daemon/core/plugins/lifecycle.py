"""Where each plugin is in its life, since when, and why.

registered -> initialized -> running -> stopped, or failed at any step; disabled by its user; resting for a while after
it failed again and again, or ended the process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import structlog

from panotti_daemon.clock import Clock, local
from panotti_daemon.core.events.circuit import Rest
from panotti_daemon.core.plugins.hosting import Hosted
from panotti_daemon.core.plugins.interface import Health
from panotti_daemon.core.plugins.manifest import Manifest

log = structlog.get_logger(__name__)


class PluginState(StrEnum):
    REGISTERED = "registered"
    INITIALIZED = "initialized"
    RUNNING = "running"
    RESTING = "resting"
    STOPPED = "stopped"
    FAILED = "failed"
    DISABLED = "disabled"


@dataclass
class PluginRecord:
    name: str
    folder: Path
    clock: Clock
    changed: Callable[[], None]
    """Told of all that others see of a plugin."""
    manifest: Manifest | None = None
    state: PluginState = PluginState.REGISTERED
    reason: str | None = None
    since: datetime = field(init=False)
    hosted: Hosted | None = None
    """What runs; nobody else has a reason to hold on to it."""
    is_blocked: bool = False
    """It failed only because of what it depends on."""
    lacks_something: bool = False
    """It failed for want of something outside: a keyring that is locked, a server that is not up yet."""
    is_changing: bool = False
    """A new version waits for it to finish what it runs."""
    health: Health = field(default_factory=Health)
    setback: str | None = None
    """Why a change of its files or settings was not taken over; what ran before goes on."""
    hidden: list[Path] = field(default_factory=list)
    """Folders of other plugins of this name, which are ignored."""

    def __post_init__(self) -> None:
        self.since = self.clock.now()

    @property
    def is_up(self) -> bool:
        return self.hosted is not None and self.hosted.is_ready

    @property
    def problem(self) -> str | None:
        """What its user should know, in a sentence."""
        if self.state is PluginState.FAILED:
            return f"The plugin {self.name} does not run: {self.reason}"
        if self.state is PluginState.RESTING:
            return f"The plugin {self.name} rests {self.reason}"
        if self.setback:
            return f"The plugin {self.name} goes on as it was: {self.setback}"
        if self.is_up and not self.health.ok:
            return f"The plugin {self.name} is not well: {self.health.message}"
        return None

    def become(
        self, state: PluginState, reason: str | None = None, *, is_blocked: bool = False, lacks: bool = False
    ) -> None:
        self.is_blocked, self.lacks_something = is_blocked, lacks
        if (state, reason) == (self.state, self.reason) and state is PluginState.FAILED:
            return  # tried again in vain
        self.state, self.reason, self.since = state, reason, self.clock.now()
        level = log.error if state is PluginState.FAILED else log.info
        level("plugin", plugin=self.name, state=state.value, reason=reason)
        self.changed()

    def rests(self, rest: Rest) -> None:
        self.become(PluginState.RESTING, f"until {local(rest.until):%H:%M}: {rest.reason}")

    def set_back(self, reason: str | None) -> None:
        if reason != self.setback:
            self.setback = reason
            if reason:
                log.error("plugin goes on as it was", plugin=self.name, reason=reason)
            self.changed()

    def is_found(self, health: Health) -> None:
        if health != self.health:
            self.health = health
            level = log.info if health.ok else log.warning
            level("plugin health", plugin=self.name, ok=health.ok, reason=health.message)
            self.changed()
