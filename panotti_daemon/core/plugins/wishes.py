"""What the user wants of the plugins: in the settings, and by command."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from panotti_daemon.errors import SettingsError
from panotti_daemon.explain import suggest
from panotti_daemon.paths import Paths
from panotti_daemon.settings import PluginSettings, Sources, files, merge, origin, read_sources

WRITER = "panotti plugins"


class Wishes:
    """Those that a program states; what a command adds is kept in memory."""

    def __init__(self, settings: Mapping[str, PluginSettings] | None = None) -> None:
        self._stated = dict(settings or {})
        self._by_command: dict[str, dict[str, Any]] = {}

    def names(self) -> list[str]:
        """The plugins that somebody named in the settings."""
        return sorted(self._stated)

    def check_names(self, known: Collection[str]) -> None:
        """Raises SettingsError for a plugin that somebody named and that is not there."""
        for name in self.names():
            if name not in known:
                where = self.origin(name)
                raise SettingsError(f"{where}: plugins.{name}: there is no such plugin{suggest(name, known)}")

    def of(self, plugin: str) -> PluginSettings:
        stated, command = self._stated.get(plugin, PluginSettings()), self._by_command.get(plugin, {})
        config = stated.config | command.get("config", {})
        return PluginSettings(enabled=command.get("enabled", stated.enabled), config=config)

    def origin(self, plugin: str, *key: str) -> str | None:
        """Where a value was written that is the user's."""
        return "settings" if _get(self.of(plugin).model_dump(exclude_none=True), key) is not None else None

    def get(self, plugin: str, *key: str) -> Any:
        """What holds; None: nothing was said."""
        return _get(self.of(plugin).model_dump(), key)

    def by_command(self, plugin: str) -> dict[str, Any]:
        return dict(self._by_command.get(plugin, {}))

    def wish(self, plugin: str, key: str, value: Any) -> None:
        """Adds to what commands said. Raises SettingsError, also where the environment says otherwise."""
        parts = {(key, part): inner for part, inner in value.items()} if isinstance(value, dict) else {(key,): value}
        for path, wished in parts.items():
            where = self.origin(plugin, *path)
            if where and where.startswith("environment") and self.get(plugin, *path) != wished:
                raise SettingsError(f"{where} says otherwise, and stands above commands: unset it first.")
        self.keep(plugin, self.by_command(plugin) | {key: value})

    def keep(self, plugin: str, wish: Mapping[str, Any]) -> None:
        """Replaces what commands said of a plugin before. Raises SettingsError."""
        self._by_command[plugin] = dict(wish)

    def refresh(self) -> None:
        """Takes in what was written meanwhile. Raises SettingsError."""


class StoredWishes(Wishes):
    """Those of the settings files; what a command adds stands in `plugins.d/NAME.yaml`."""

    def __init__(self, paths: Paths) -> None:
        super().__init__()
        self._paths = paths
        self._sources: Sources = {}
        self.refresh()

    def names(self) -> list[str]:
        files = self._paths.plugin_settings
        written = [values.get("plugins") for file, values in self._sources.items() if Path(file).parent != files]
        return sorted({name for plugins in written if isinstance(plugins, Mapping) for name in plugins})

    def origin(self, plugin: str, *key: str) -> str | None:
        return origin(["plugins", plugin, *key], self._sources)

    def by_command(self, plugin: str) -> dict[str, Any]:
        written = self._sources.get(str(self._file(plugin)), {})
        return dict(_get(written, ("plugins", plugin)) or {})

    def keep(self, plugin: str, wish: Mapping[str, Any]) -> None:
        file = self._file(plugin)
        before = self.by_command(plugin)
        files.write(file, wish, by=WRITER)
        try:
            self.refresh()
        except SettingsError:
            files.write(file, before, by=WRITER)
            self.refresh()
            raise

    def refresh(self) -> None:
        sources = read_sources(self._paths)
        self._stated = dict(merge(sources, self._paths).plugins)
        self._sources = sources

    def _file(self, plugin: str) -> Path:
        return self._paths.plugin_settings / f"{plugin}.yaml"


def _get(values: Any, key: tuple[str, ...]) -> Any:
    for part in key:
        if not isinstance(values, Mapping) or part not in values:
            return None
        values = values[part]
    return values
