"""One instance of a plugin, and the borders around its code: time, and what it may raise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic_core import PydanticSerializationError, to_jsonable_python

from panotti_daemon.core.events.handlers import checked_answer, contained
from panotti_daemon.core.events.models import Event
from panotti_daemon.core.plugins.at_work import Mark
from panotti_daemon.core.plugins.importing import line_of, located, unload
from panotti_daemon.core.plugins.interface import Health, PluginBase
from panotti_daemon.core.plugins.limits import Limits
from panotti_daemon.core.plugins.manifest import Manifest
from panotti_daemon.errors import PanottiError, PluginFailed

T = TypeVar("T")

OBEY_SECONDS = 1.0
ACTION_SECONDS = 600.0


class Hosted:
    def __init__(
        self, plugin: PluginBase, folder: Path, *, limits: Limits | None = None, mark: Mark | None = None
    ) -> None:
        self.plugin = plugin
        self._limits = limits or Limits(plugin.manifest)
        self._mark = mark or Mark()
        self.folder = folder
        self.is_ready = False
        self._actions: set[asyncio.Task[Any]] = set()

    @property
    def manifest(self) -> Manifest:
        return self.plugin.manifest

    async def initialize(self, seconds: float) -> None:
        """Raises PluginFailed, and whatever the plugin raises."""
        await within(seconds, self._mark.noted(self.plugin.initialize))
        self.is_ready = True

    async def handle(self, event: Event) -> list[Event]:
        """The follow-on events, as they are to be stored. Raises PluginFailed, and whatever the plugin raises."""

        async def answer() -> list[Event]:
            # an iterable may run the plugin's code, too
            return [self._limits.event(event) for event in checked_answer(await self.plugin.handle(event))]

        try:
            return await contained(self._mark.noted(answer))
        except PanottiError:
            raise
        except Exception as error:
            if line := line_of(error, self.folder):
                error.add_note(f"in {line}")
            raise

    async def health(self) -> Health:
        return await contained(self._mark.noted(self.plugin.health))

    async def act(self, action: str, arguments: dict[str, Any], seconds: float = ACTION_SECONDS) -> Any:
        """The plugin's answer, in what JSON knows. Raises PanottiError."""

        async def acting() -> Any:
            act = self._mark.noted(lambda: self.plugin.act(action, arguments))
            return await within(seconds, act, f"the action {action}")

        task = asyncio.create_task(acting(), name=f"action {action}")
        self._actions.add(task)
        task.add_done_callback(self._actions.discard)
        try:
            return to_jsonable_python(await task)
        except PanottiError:
            raise
        except asyncio.CancelledError as error:
            if is_ours(error):
                raise
            raise PluginFailed(f"{action} was ended, because the plugin was") from error
        except PydanticSerializationError as error:
            raise PluginFailed(f"What {action} answered is no JSON: {error}") from error
        except Exception as error:
            raise PluginFailed(located(error, self.folder)) from error

    async def finish_actions(self, seconds: float) -> None:
        if self._actions:
            _, late = await asyncio.wait(self._actions, timeout=seconds)
            for task in late:
                task.cancel()

    async def release(self, seconds: float) -> None:
        """Called once `initialize` was begun, however that ended. Raises what the plugin raises, and PluginFailed."""
        try:
            await within(seconds, self._mark.noted(self.plugin.shutdown))
        finally:
            unload(type(self.plugin))


async def within(seconds: float, call: Callable[[], Awaitable[T]], what: str = "") -> T:
    """Runs a plugin's code in a task of its own, so that it can be left behind if it neither ends nor obeys."""
    task = asyncio.create_task(contained(call))
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        task.cancel()
    if not task.done():
        await asyncio.wait([task], timeout=OBEY_SECONDS)
        raise PluginFailed(f"{what or f'{call.__name__}()'} took longer than {seconds:g} s")
    if task.cancelled():
        raise PluginFailed("It cancelled itself")
    return task.result()


def is_ours(error: BaseException) -> bool:
    """Whether we ourselves are being cancelled; all else that a plugin raises is its own."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
