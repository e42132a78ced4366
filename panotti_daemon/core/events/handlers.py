"""Who handles an event, and what becomes of a delivery when they fail at it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from itertools import islice
from random import Random
from typing import TypeVar

from panotti_daemon.core.events.circuit import Rest
from panotti_daemon.core.events.models import Delivery, DeliveryState, Event
from panotti_daemon.core.events.types import RESTS, PluginError, PluginRests
from panotti_daemon.errors import PanottiError, PermanentError, PluginFailed, Unavailable
from panotti_daemon.logs import without_secrets

T = TypeVar("T")

Handler = Callable[[Event], Awaitable[Iterable[Event] | None]]

MOST_FOLLOW_ONS = 1000
LONGEST_REASON = 2000
"""Letters of an error: it is stored, told and shown."""
FIRST_WAIT_SECONDS = 5.0
MAX_WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Subscription:
    """What a plugin's manifest says of its deliveries. It stands without its handler, so that events are kept
    for a plugin that could not be loaded."""

    name: str
    patterns: tuple[str, ...]
    """Event names; `*` stands for any part."""
    max_attempts: int = 3
    concurrency: int = 1
    retry_seconds: float = 5.0
    """Before the second attempt."""
    retry_factor: float = 2.0
    """How much longer each pause is than the one before."""
    retry_longest_seconds: float = 600.0
    retry_jitter: float = 0.2
    """The part of a pause by which it is shorter or longer at random, so that what failed together does not come back
    together."""
    gives_way: bool = False
    """What runs goes back to the queue, at no attempt's cost, when something is wanted now."""
    silence_seconds: float = 600.0
    """A handler that has neither ended nor reported progress for so long is taken for hung."""

    def wants(self, event: Event) -> bool:
        """A plugin is not told of its own failures, and nobody of a failure at being told of one: two plugins that
        fail at that would never end."""
        if _is_trouble(event.name) and (
            event.source_plugin == self.name or _is_trouble(str(event.data.get("event_name")))
        ):
            return False
        return any(fnmatchcase(event.name, pattern) for pattern in self.patterns)

    def retry_pause(self, attempts: int, random: Random) -> float:
        """Seconds before the next attempt, after so many."""
        seconds = self.retry_seconds
        for _ in range(attempts - 1):
            seconds = min(seconds * self.retry_factor, self.retry_longest_seconds)
        return min(seconds, self.retry_longest_seconds) * random.uniform(1 - self.retry_jitter, 1 + self.retry_jitter)

    @property
    def longest_wait(self) -> timedelta:
        """Nothing is put off for longer: what seems to be was stored before the computer's clock was set back."""
        return timedelta(seconds=max(MAX_WAIT_SECONDS, self.retry_longest_seconds * (1 + self.retry_jitter)))


class HandlerSilent(PanottiError):
    """A handler did not answer"""


async def contained(call: Callable[[], Awaitable[T]]) -> T:
    """Runs a plugin's code. What would end the whole daemon if it left a task is only the plugin's failure."""
    try:
        return await call()
    except (SystemExit, KeyboardInterrupt) as error:
        raise PluginFailed(f"It raised {type(error).__name__}, which a plugin must not do") from error


def checked_answer(answer: object) -> list[Event]:
    """What a handler returned, if it is what it must be. Raises PluginFailed."""
    if answer is None:
        return []
    if isinstance(answer, Event) or not isinstance(answer, Iterable):
        raise PluginFailed(f"handle() must return a list of events or None, not {type(answer).__name__}")
    events = list(islice(answer, MOST_FOLLOW_ONS + 1))
    if len(events) > MOST_FOLLOW_ONS:
        raise PluginFailed(f"handle() may return {MOST_FOLLOW_ONS} events, not more")
    for event in events:
        if not isinstance(event, Event):
            raise PluginFailed(f"handle() must return events, not {type(event).__name__}")
    return events


def after_failure(
    delivery: Delivery,
    error: BaseException,
    subscription: Subscription,
    now: datetime,
    random: Random,
    *,
    spared: bool = False,
) -> Delivery:
    """The delivery as it goes on after its handler raised. A spared attempt was given back before."""
    reason = describe(error)
    if isinstance(error, Unavailable):
        seconds = min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(delivery.waits, 10))
        unpaid = delivery if spared else delivery.refunded()
        return unpaid.model_copy(
            update={
                "state": DeliveryState.WAITING,
                "waits": delivery.waits + 1,
                "available_at": now + timedelta(seconds=seconds),
                "error": reason,
            }
        )
    if isinstance(error, PermanentError) or delivery.attempts >= subscription.max_attempts:
        return delivery.model_copy(update={"state": DeliveryState.DEAD, "available_at": None, "error": reason})
    pause = timedelta(seconds=subscription.retry_pause(delivery.attempts, random))
    return delivery.model_copy(update={"state": DeliveryState.WAITING, "available_at": now + pause, "error": reason})


def describe(error: BaseException) -> str:
    """In words for the user: our own errors say it themselves, for others their kind is named, and
    what was noted on them."""
    if isinstance(error, PanottiError):
        said = error.message
    else:
        what = f"{type(error).__name__}: {_said(error)}".removesuffix(": ")
        said = ", ".join([what, *getattr(error, "__notes__", ())])
    said = without_secrets(said)
    return said if len(said) <= LONGEST_REASON else f"{said[: LONGEST_REASON - 1]}…"


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a plugin's own error may be broken, too
        return ""


def error_event(delivery: Delivery, event: Event) -> Event:
    """`PLUGIN.error`, for a delivery that died."""
    recording = event.data.get("recording")
    about = recording if isinstance(recording, dict) else {}
    return event.child(
        f"{delivery.subscriber}.error",
        PluginError(
            plugin=delivery.subscriber,
            event_id=event.id,
            event_name=event.name,
            recording_id=_text(about.get("id")),
            recording_title=_text(about.get("title")),
            path=_text(about.get("path")),
            title=f"{delivery.subscriber} failed",
            message=delivery.error or "",
            attempts=delivery.attempts,
        ),
        source_plugin=delivery.subscriber,
    )


def rest_event(plugin: str, rest: Rest) -> Event:
    payload = PluginRests(plugin=plugin, reason=rest.reason, until=rest.until)
    return Event.create(RESTS, payload, source_plugin=plugin)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _is_trouble(name: str) -> bool:
    return name.endswith(".error") or name == RESTS
