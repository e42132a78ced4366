"""All that is looked at, in the order in which a user would mend it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from datetime import datetime

from panotti_daemon.client import Client
from panotti_daemon.doctor import desktop, engine, folders, machine
from panotti_daemon.doctor.finding import Finding
from panotti_daemon.doctor.servers import servers
from panotti_daemon.errors import NotRunning, PanottiError, SettingsError
from panotti_daemon.paths import Paths
from panotti_daemon.settings import load


async def examine(paths: Paths, now: datetime) -> list[Finding]:
    """Changes nothing."""
    return [finding async for finding in _examined(paths, now)]


async def _examined(paths: Paths, now: datetime) -> AsyncIterator[Finding]:
    yield machine.versions()
    yield machine.clock(paths, now)
    settings = None
    try:
        settings = load(paths)
    except SettingsError as error:
        yield Finding("settings", False, error.message, f"Edit {paths.config_file}")
    else:
        yield Finding("settings", True, f"{paths.config_file}" if paths.config_file.exists() else "all defaults")
    daemon, is_running = await _daemon(paths)
    yield daemon
    if settings:
        for finding in (*folders.examine(settings, paths), *machine.disks(settings, paths)):
            yield finding
        if not is_running:
            yield machine.port(settings.api)
        models = list(engine.models(settings, paths, now))
        for finding in models:
            yield finding
        if all(model.ok for model in models):
            yield await engine.trial(settings, paths)
        async for finding in servers(settings.engine.remote):
            yield finding
    yield await desktop.tray()
    yield await desktop.notifications()
    yield desktop.autostart()
    if sys.platform == "linux":
        yield desktop.open_with()


async def _daemon(paths: Paths) -> tuple[Finding, bool]:
    """And whether one runs."""
    try:
        status = await Client.from_paths(paths).status()
    except NotRunning:
        return Finding("daemon", True, "not running; `panotti run` starts it, and checks its database"), False
    except PanottiError as error:
        return Finding("daemon", False, error.message, f"Look into {paths.log_file}"), True
    problems = "; ".join(status.problems)
    remedy = "See `panotti status`" if problems else None
    return Finding("daemon", not problems, problems or f"running at {status.url}", remedy), True
