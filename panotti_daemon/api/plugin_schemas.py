"""What goes over the wire about plugins."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, SecretStr

from panotti_daemon.api.schemas import PluginStatus


class PluginSetting(BaseModel):
    key: str
    value: Any = Field(None, description="Null for a secret, and where the plugin does not run.")
    origin: str = Field(description="A file, an environment variable, or where secrets are.")
    secret: bool = False


class PluginDetail(PluginStatus):
    description: str | None = None
    folder: str
    hidden: list[str] = Field([], description="Folders of other plugins of this name, which are ignored.")
    subscribes: list[str]
    emits: list[str]
    dependencies: dict[str, str] = Field({}, description="The plugins that it needs, with their versions.")
    dependents: list[str] = Field([], description="Running plugins that need it.")
    enabled: bool
    enabled_origin: str
    config: list[PluginSetting]
    config_by_command: dict[str, Any] = Field({}, description="The part of it that was set here or by command.")
    waiting: int = Field(0, description="Deliveries that wait for it.")
    dead: int = Field(0, description="Deliveries that it failed at for good.")


class SecretValue(BaseModel):
    value: SecretStr = Field(min_length=1)


class ActionAnswer(BaseModel):
    result: Any = None
