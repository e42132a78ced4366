"""What goes over the wire about models."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PathText = Annotated[str, BeforeValidator(lambda path: str(path) if isinstance(path, Path) else path)]


class _FromAttributes(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ListedModel(_FromAttributes):
    name: str
    size: int | None = Field(None, description="Bytes on the disk, or of the download.")
    english_only: bool
    source: Literal["panotti", "cache", "starter", "path"] | None = Field(
        None,
        description="Who brought it here: Panotti, another tool (the Hugging Face cache), a package; null: nobody yet.",
    )
    path: PathText | None = None
    damage: str | None = Field(None, description="What is wrong with it; it is not used then.")
    last_used: datetime | None = Field(None, description="Of one that Panotti downloaded.")


class ModelUse(_FromAttributes):
    """What a setting means now, for what is spoken."""

    setting: str
    language: str
    translate: bool = Field(False, description="Into English.")
    folders: list[PathText] = Field(description="The watched folders that have this setting, language and task.")
    model: str | None = Field(description="Null: none can be used, and `why` says what to do.")
    why: str
    warnings: list[str] = []


class ModelInventory(_FromAttributes):
    setting: str = Field(description="`engine.model`, for folders that name none.")
    origin: str | None = Field(None, description="Where that was written; null: nowhere.")
    machine: str
    models: list[ListedModel] = Field(description="All that are known, the best first.")
    uses: list[ModelUse]


class ModelChoice(BaseModel):
    model: str | None = Field(description="A name, a path or `auto`; null: what `config.yaml` says.")


class ModelName(BaseModel):
    model: str
