"""The keys of the servers that recordings may be sent to: kept and removed, never shown."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as PathParameter

from panotti_daemon.api.plugin_schemas import SecretValue
from panotti_daemon.api.schemas import Changed
from panotti_daemon.api.services import Injected

router = APIRouter(prefix="/engine/keys", tags=["engine"])

Name = Annotated[str, PathParameter(description="As `key` of a server in the settings.")]


@router.put("/{name}", summary="Keep a server's key in the keyring")
async def keep(services: Injected, name: Name, secret: SecretValue) -> Changed:
    await services.server_keys.keep(name, secret.value.get_secret_value())
    return Changed(count=1)


@router.delete("/{name}", summary="Remove a server's key from the keyring")
async def remove(services: Injected, name: Name) -> Changed:
    await services.server_keys.keep(name, None)
    return Changed(count=1)
