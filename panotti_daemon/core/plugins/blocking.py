"""Threads for what blocks in a plugin: each its own, so that it is in nobody's way. In the loop's pool a few calls that
hang would keep the daemon from its own work, and from its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from panotti_daemon.core.plugins.at_work import current_mark

P = ParamSpec("P")
T = TypeVar("T")

NAME = "a plugin's"


async def in_own_thread(function: Callable[[], T], name: str = NAME) -> T:
    """Whoever is cancelled while it waits goes on at once; the function ends by itself, and nobody is told."""
    return await asyncio.wrap_future(_started(partial(copy_context().run, function), name))


class Pool(ThreadPoolExecutor):
    """The loop's own, as `asyncio.to_thread` uses it, but for plugins."""

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        call: Callable[[], Any] = partial(function, *args, **kwargs)
        return _started(call, NAME) if current_mark.get() else super().submit(call)


def _started(function: Callable[[], T], name: str) -> Future[T]:
    outcome: Future[T] = Future()
    mark = current_mark.get()

    def run() -> None:
        if not outcome.set_running_or_notify_cancel():
            return
        try:
            with mark.in_thread() if mark else nullcontext():
                result = function()
        except StopIteration as error:  # asyncio's futures do not take it
            outcome.set_exception(RuntimeError(f"{function} raised StopIteration: {error}"))
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return outcome
