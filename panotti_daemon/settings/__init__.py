"""The user's settings."""

from panotti_daemon.choices import Format
from panotti_daemon.settings.models import (
    ApiSettings,
    EngineSettings,
    EventSettings,
    LogSettings,
    PluginSettings,
    PoliteSettings,
    Settings,
    WatchFolder,
)
from panotti_daemon.settings.sources import Sources, load, merge, origin, read_sources

__all__ = [
    "ApiSettings",
    "EngineSettings",
    "EventSettings",
    "Format",
    "LogSettings",
    "PluginSettings",
    "PoliteSettings",
    "Settings",
    "Sources",
    "WatchFolder",
    "load",
    "merge",
    "origin",
    "read_sources",
]
