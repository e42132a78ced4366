"""From a plugin's folder to an instance of it, with its settings checked and its secrets fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from panotti_daemon.core.plugins.at_work import AtWork
from panotti_daemon.core.plugins.configuring import configured
from panotti_daemon.core.plugins.hosting import Hosted, is_ours
from panotti_daemon.core.plugins.importing import load_plugin_class, located, unload
from panotti_daemon.core.plugins.interface import PluginBase, Ports
from panotti_daemon.core.plugins.limits import LimitedPorts, Limits
from panotti_daemon.core.plugins.manifest import Manifest
from panotti_daemon.core.plugins.protocol import Context
from panotti_daemon.core.plugins.secrets import Secrets, secret_keys
from panotti_daemon.core.plugins.wishes import Wishes
from panotti_daemon.errors import PermanentError, PluginFailed, Unavailable
from panotti_daemon.explain import suggest

log = structlog.get_logger(__name__)

ContextFor = Callable[[str], Context]


class Loader:
    def __init__(
        self,
        context_for: ContextFor,
        ports: Ports,
        wishes: Wishes,
        secrets: Secrets | None = None,
        at_work: AtWork | None = None,
    ) -> None:
        self.wishes = wishes
        self._at_work = at_work or AtWork()
        self._context_for = context_for
        self._ports = ports
        self._secrets = secrets or Secrets()

    async def load(self, folder: Path, manifest: Manifest) -> Hosted:
        """An instance that is ready to be initialized. Raises PluginFailed, with file and line of what is wrong,
        and Unavailable."""
        mark, limits = self._at_work.mark(manifest.name), Limits(manifest)
        with mark.on_loop():
            plugin_class = _import(folder)
        try:
            with _failing_as(folder):
                config = await configured(plugin_class, manifest, folder, self.wishes, self._secrets)
                ports = LimitedPorts(self._ports, limits)
                with mark.on_loop():
                    plugin = plugin_class(manifest, config, self._context_for(manifest.name), ports)
                return Hosted(plugin, folder, limits=limits, mark=mark)
        except BaseException:
            unload(plugin_class)
            raise

    async def check(self, folder: Path, manifest: Manifest) -> None:
        """Whether it could be loaded with these settings. Raises PluginFailed and Unavailable."""
        plugin_class = _import(folder)
        try:
            with _failing_as(folder):
                await configured(plugin_class, manifest, folder, self.wishes, self._secrets)
        finally:
            unload(plugin_class)

    async def keep_secret(self, folder: Path, key: str, value: str | None) -> None:
        """Into the keyring, or out of it (None). Raises PanottiError."""
        plugin_class = _import(folder)
        known = secret_keys(plugin_class.Config)
        unload(plugin_class)
        if key not in known:
            raise PermanentError(f"{folder.name} has no secret {key}{suggest(key, known)}", title="No such secret")
        if value is None:
            await self._secrets.delete(folder.name, key)
        else:
            await self._secrets.set(folder.name, key, value)


def _import(folder: Path) -> type[PluginBase]:
    try:
        return load_plugin_class(folder)
    except BaseException as error:
        raise _failure(error, folder) from None


@contextmanager
def _failing_as(folder: Path) -> Iterator[None]:
    """What a plugin's own code raises, as PluginFailed with its place."""
    try:
        yield
    except BaseException as error:
        if is_ours(error) or isinstance(error, Unavailable):
            raise
        raise _failure(error, folder) from None


def _failure(error: BaseException, folder: Path) -> PluginFailed:
    trace = None if isinstance(error, PluginFailed) else error
    log.debug("plugin cannot be loaded", plugin=folder.name, exc_info=trace)
    return PluginFailed(located(error, folder))
