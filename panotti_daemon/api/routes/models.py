"""Models: seen, chosen and downloaded. How far a download is stands in the status."""

from __future__ import annotations

from fastapi import APIRouter

from panotti_daemon.api.model_schemas import ModelChoice, ModelInventory, ModelName
from panotti_daemon.api.schemas import ModelDownload
from panotti_daemon.api.services import Injected
from panotti_daemon.api.status import model_download

router = APIRouter(prefix="/models", tags=["models"])


@router.get("", summary="All models, those that are here, and which ones are used and why")
async def models(services: Injected) -> ModelInventory:
    return ModelInventory.model_validate(await services.models.inventory())


@router.post("/use", summary="Set engine.model, from the next recording on and for good")
async def use(body: ModelChoice, services: Injected) -> ModelInventory:
    return ModelInventory.model_validate(await services.models.use(body.model))


@router.post("/pull", status_code=202, summary="Begin to download a model, or fetch a damaged one anew")
async def pull(body: ModelName, services: Injected) -> ModelDownload:
    return model_download(services.models.pull(body.model))


@router.post("/pull/cancel", status_code=202, summary="End a download; what has arrived is kept")
async def cancel(body: ModelName, services: Injected) -> ModelInventory:
    await services.models.cancel_pull(body.model)
    return ModelInventory.model_validate(await services.models.inventory())
