"""Plugins: seen, switched on and off, configured, reloaded, and asked to do what they offer."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from fastapi import Path as PathParameter

from panotti_daemon.api.plugin_schemas import ActionAnswer, PluginDetail, PluginSetting, SecretValue
from panotti_daemon.api.schemas import PluginStatus
from panotti_daemon.api.services import Injected, Services
from panotti_daemon.api.status import plugin_status
from panotti_daemon.core.plugins.configuring import shown
from panotti_daemon.core.plugins.lifecycle import PluginRecord
from panotti_daemon.core.plugins.manifest import MANIFEST
from panotti_daemon.errors import Unavailable
from panotti_daemon.models.database import queries

router = APIRouter(prefix="/plugins", tags=["plugins"])

Name = Annotated[str, PathParameter(description="The plugin's name.")]
Key = Annotated[str, PathParameter(description="A secret of its Config.")]
Action = Annotated[str, PathParameter(description="What it is to do; its own page says what it offers.")]
Force = Annotated[bool, Query(description="Stop what depends on it, too.")]
Config = Annotated[dict[str, Any], Body(description="All that is to stand above the user's settings file.")]
Arguments = Annotated[dict[str, Any] | None, Body(description="What the action is told.")]


@router.get("", summary="All plugins, and how they are")
async def plugins(services: Injected) -> list[PluginStatus]:
    return [plugin_status(record) for record in services.plugins.records.values()]


@router.get("/{name}", summary="One plugin with its settings, and where each was written")
async def plugin(services: Injected, name: Name) -> PluginDetail:
    return await _detail(services, services.plugins.find(name))


@router.post("/{name}/enable", summary="Switch a plugin on, for good; what waited for it is delivered")
async def enable(services: Injected, name: Name) -> PluginDetail:
    return await _changed(services, services.plugins.enable(name))


@router.post("/{name}/disable", summary="Switch a plugin off, for good; it gets no more events")
async def disable(services: Injected, name: Name, force: Force = False) -> PluginDetail:
    return await _changed(services, services.plugins.disable(name, cascade=force))


@router.post("/{name}/reload", summary="Take a plugin's files and settings anew, or find one that was put there")
async def reload(services: Injected, name: Name) -> PluginDetail:
    return await _changed(services, services.plugins.reload(name))


@router.put("/{name}/config", summary="Configure a plugin: replaces what was set this way before")
async def configure(services: Injected, name: Name, config: Config) -> PluginDetail:
    return await _changed(services, services.plugins.configure(name, config))


@router.put("/{name}/secrets/{key}", summary="Keep one of a plugin's secrets in the keyring")
async def keep_secret(services: Injected, name: Name, key: Key, secret: SecretValue) -> PluginDetail:
    return await _changed(services, services.plugins.keep_secret(name, key, secret.value.get_secret_value()))


@router.delete("/{name}/secrets/{key}", summary="Remove one of a plugin's secrets from the keyring")
async def remove_secret(services: Injected, name: Name, key: Key) -> PluginDetail:
    return await _changed(services, services.plugins.keep_secret(name, key, None))


@router.post("/{name}/actions/{action}", summary="Ask a plugin to do something that it offers")
async def act(services: Injected, name: Name, action: Action, arguments: Arguments = None) -> ActionAnswer:
    return ActionAnswer(result=await services.plugins.act(name, action, arguments or {}))


async def _changed(services: Services, change: Awaitable[PluginRecord]) -> PluginDetail:
    try:
        return await _detail(services, await change)
    except CancelledError:  # only the server's end cancels a request
        raise Unavailable("Panotti is ending; the plugin stays as it is.") from None


async def _detail(services: Services, record: PluginRecord) -> PluginDetail:
    manifest, wishes = record.manifest, services.plugins.wishes
    config = record.hosted.plugin.config if record.hosted else None
    async with services.database.reading() as connection:
        waiting = await queries().count_waiting_for(connection, plugin=record.name)
        dead = await queries().count_dead_of(connection, plugin=record.name)
    return PluginDetail(
        **plugin_status(record).model_dump(),
        description=manifest and manifest.description,
        folder=str(record.folder),
        hidden=[str(folder) for folder in record.hidden],
        subscribes=list(manifest.subscribes) if manifest else [],
        emits=list(manifest.emits) if manifest else [],
        dependencies=manifest.dependencies if manifest else {},
        dependents=services.plugins.dependents(record.name),
        enabled=services.plugins.is_wanted(record),
        enabled_origin=wishes.origin(record.name, "enabled") or MANIFEST,
        config=[
            PluginSetting(key=s.key, value=s.value, origin=s.origin, secret=s.is_secret)
            for s in (shown(manifest, config, wishes) if manifest else [])
        ],
        config_by_command=wishes.by_command(record.name).get("config", {}),
        waiting=waiting,
        dead=dead,
    )
