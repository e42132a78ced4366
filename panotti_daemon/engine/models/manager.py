"""The models as the daemon shows and changes them while it runs: which one to use, and what to download."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from panotti_daemon.engine.client import Engine
from panotti_daemon.engine.messages import Progress
from panotti_daemon.engine.models.inventory import Inventory, take_inventory
from panotti_daemon.engine.models.store import can_be_downloaded, canonical, damaged_models, mending, resolve
from panotti_daemon.errors import ModelUnavailable, PanottiError, SettingsError
from panotti_daemon.paths import Paths
from panotti_daemon.settings import Settings, WatchFolder, files, load, merge, origin, read_sources

log = structlog.get_logger(__name__)


class UsesModel(Protocol):
    model: str
    """The one for folders whose own is `auto`."""


@dataclass(frozen=True)
class Download:
    model: str
    fraction: float | None = None
    problem: str | None = None
    """It failed; what has arrived is kept for the next try."""


class Models:
    def __init__(
        self,
        paths: Paths,
        watch: tuple[WatchFolder, ...],
        engine: Engine,
        transcriber: UsesModel,
        *,
        changed: Callable[[], None],
    ) -> None:
        """`watch` as the daemon was started with, which may be by flags."""
        self._paths = paths
        self._watch = watch
        self._engine = engine
        self._transcriber = transcriber
        self._changed = changed
        self._downloads: dict[str, Download] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._telling: asyncio.Task[Inventory] | None = None

    @property
    def downloads(self) -> list[Download]:
        """Those on their way, and those that failed."""
        return list(self._downloads.values())

    @property
    def problems(self) -> list[str]:
        """A sentence for each damaged model."""
        return [
            f"The model {found.name} is damaged ({damage}): {mending(found)}"
            for found, damage in damaged_models(self._paths.models)
        ]

    def start(self) -> None:
        self._telling = asyncio.create_task(self._tell(), name="models")

    async def stop(self) -> None:
        if self._telling:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        for name in list(self._tasks):
            await self.cancel_pull(name)

    async def _tell(self) -> Inventory:
        """In the log: what the settings mean on this machine."""
        found = await self.inventory()
        for use in found.uses:
            log.info("model", model=use.model, why=use.why, setting=use.setting, machine=found.machine)
        return found

    async def inventory(self) -> Inventory:
        return await asyncio.to_thread(inventory, self._paths, self._watch)

    async def use(self, model: str | None) -> Inventory:
        """From the next recording on, and for good; None: what `config.yaml` says. Raises PanottiError."""
        settings = await asyncio.to_thread(use, self._paths, model)
        self._transcriber.model = settings.engine.model
        self._changed()
        return await self._tell()

    def pull(self, model: str) -> Download:
        """Begins a download, or tells how far it is. Raises ModelUnavailable for a name that nobody knows."""
        name = _downloadable(model)
        if name not in self._tasks:
            self._show(Download(name))
            self._tasks[name] = asyncio.create_task(self._pull(name), name=f"pull {name}")
        return self._downloads[name]

    async def cancel_pull(self, model: str) -> None:
        """What has arrived is kept. That there is none is no error."""
        name = canonical(model)
        if task := self._tasks.pop(name, None):
            task.cancel()
            await asyncio.wait([task])
        self._downloads.pop(name, None)
        self._changed()

    async def _pull(self, name: str) -> None:
        def report(progress: Progress) -> None:
            self._show(Download(name, progress.fraction))

        try:
            await self._engine.pull(name, on_progress=report)
        except PanottiError as error:
            log.warning("a model was not downloaded", model=name, reason=error.message)
            self._show(Download(name, problem=error.message))
        else:
            log.info("a model was downloaded", model=name)
            del self._downloads[name]
        finally:
            self._tasks.pop(name, None)
            self._changed()

    def _show(self, download: Download) -> None:
        self._downloads[download.model] = download
        self._changed()


def inventory(paths: Paths, watch: tuple[WatchFolder, ...] | None = None) -> Inventory:
    """For the folders of the settings, or those. Raises SettingsError."""
    sources = read_sources(paths)
    settings = merge(sources, paths)
    return take_inventory(paths, settings.model_copy(update={"watch": watch}) if watch else settings, sources)


def use(paths: Paths, model: str | None) -> Settings:
    """Sets `engine.model`, above `config.yaml`; None takes that back. Returns the settings as they are then.

    Raises:
        ModelUnavailable: nobody knows such a model.
        SettingsError: the environment says otherwise.
    """
    name = None if model is None else _checked(model, paths)
    where = origin(["engine", "model"], read_sources(paths)) or ""
    if where.startswith("environment") and name != load(paths).engine.model:
        raise SettingsError(f"{where} says otherwise, and stands above commands: unset it first.")
    values: Mapping[str, object] = {} if name is None else {"engine": {"model": name}}
    files.write(paths.chosen_model, values, by="panotti models use")
    return load(paths)


def _checked(model: str, paths: Paths) -> str:
    """What is not here must be one to download."""
    if model == "auto" or can_be_downloaded(model):
        return canonical(model)
    resolve(model, paths.models, download=False)
    return model


def _downloadable(model: str) -> str:
    name = canonical(model)
    if not can_be_downloaded(name):
        raise ModelUnavailable(f"There is no model named {name!r}: `panotti models list` shows those that there are.")
    return name
