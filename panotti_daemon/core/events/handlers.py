"""Who handles an event, and what becomes of a delivery when they fail at it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from random import Random

from panotti_daemon.core.events.models import Delivery, DeliveryState, Event
from panotti_daemon.errors import PanottiError, PermanentError, Unavailable

Handler = Callable[[Event], Awaitable[Iterable[Event] | None]]

MAX_RETRY_SECONDS = 600.0
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
    """Before the second attempt; doubled for each one after."""
    silence_seconds: float = 600.0
    """A handler that has neither ended nor reported progress for so long is taken for hung."""

    def wants(self, event: Event) -> bool:
        """A plugin is not told of its own failures: failing at that, too, would never end."""
        own_error = event.name.endswith(".error") and event.source_plugin == self.name
        return not own_error and any(fnmatchcase(event.name, pattern) for pattern in self.patterns)


class HandlerSilent(PanottiError):
    """A handler did not answer"""


def after_failure(
    delivery: Delivery, error: BaseException, subscription: Subscription, now: datetime, random: Random
) -> Delivery:
    """The delivery as it goes on after its handler raised."""
    reason = describe(error)
    if isinstance(error, Unavailable):
        seconds = min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(delivery.waits, 10))
        return delivery.model_copy(
            update={
                "state": DeliveryState.WAITING,
                "attempts": delivery.attempts - 1,
                "waits": delivery.waits + 1,
                "available_at": now + timedelta(seconds=seconds),
                "error": reason,
            }
        )
    if isinstance(error, PermanentError) or delivery.attempts >= subscription.max_attempts:
        return delivery.model_copy(update={"state": DeliveryState.DEAD, "available_at": None, "error": reason})
    seconds = min(MAX_RETRY_SECONDS, subscription.retry_seconds * 2 ** (delivery.attempts - 1))
    seconds *= random.uniform(0.8, 1.2)  # so that what failed together does not come back together
    return delivery.model_copy(
        update={"state": DeliveryState.WAITING, "available_at": now + timedelta(seconds=seconds), "error": reason}
    )


def describe(error: BaseException) -> str:
    """In words for the user: our own errors say it themselves, for others their kind is named."""
    return error.message if isinstance(error, PanottiError) else f"{type(error).__name__}: {error}"
