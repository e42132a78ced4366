"""The servers' keys: in the keyring or the environment, as the secrets of plugins are."""

from __future__ import annotations

from panotti_daemon.core.plugins.secrets import KeyringUnavailable, Secrets, variable
from panotti_daemon.errors import RequestFailed, ServerUnavailable
from panotti_daemon.settings.servers import RemoteSettings

OWNER = "engine"
"""What they are filed under; no plugin may have that name."""


class ServerKeys:
    def __init__(self, settings: RemoteSettings, secrets: Secrets) -> None:
        self._settings = settings
        self._secrets = secrets

    async def all(self) -> dict[str, str]:
        """Those that the settings name. Raises ServerUnavailable where one is missing."""
        return {name: await self._get(name) for name in self._settings.key_names}

    async def keep(self, name: str, value: str | None) -> None:
        """In the keyring; None takes it away from there.

        Raises:
            RequestFailed: no server has such a key.
            KeyringUnavailable: with what to do instead.
        """
        if name not in self._settings.key_names:
            raise RequestFailed(f"No server of engine.remote.servers names its key {name!r}.")
        if value is None:
            await self._secrets.delete(OWNER, name)
        else:
            await self._secrets.set(OWNER, name, value)

    async def _get(self, name: str) -> str:
        why = ""
        found = None
        try:
            found = await self._secrets.get(OWNER, name)
        except KeyringUnavailable as error:
            why = f"{error.message} "
        if key := (found or "").strip():
            if not (key.isascii() and key.isprintable()):
                raise ServerUnavailable(f"The server's key {name} holds a character that no key has: keep it anew")
            return key
        raise ServerUnavailable(
            f"The server's key {name} is missing. {why}`panotti remote key {name}` keeps it in the keyring, or give it "
            f"to the daemon as {variable(OWNER, name)}"
        )
