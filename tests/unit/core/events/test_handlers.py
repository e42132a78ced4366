from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panotti_daemon.core.events.handlers import (
    MAX_RETRY_SECONDS,
    MAX_WAIT_SECONDS,
    Subscription,
    after_failure,
    describe,
    error_event,
)
from panotti_daemon.core.events.models import Delivery, DeliveryState, Event
from panotti_daemon.core.events.types import PluginError
from panotti_daemon.errors import MediaError, OutputUnavailable, PermanentError, Unavailable

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def delivery(attempts: int = 1, waits: int = 0) -> Delivery:
    return Delivery(
        id=1,
        event_id="e",
        subscriber="plugin",
        correlation_id="c",
        state=DeliveryState.RUNNING,
        priority=10,
        attempts=attempts,
        waits=waits,
    )


def failed(
    error: BaseException, attempts: int = 1, waits: int = 0, *, max_attempts: int = 3, retry_seconds: float = 5.0
) -> Delivery:
    subscription = Subscription("plugin", ("*",), max_attempts=max_attempts, retry_seconds=retry_seconds)
    return after_failure(delivery(attempts, waits), error, subscription, NOW, Random(1))


def delay(after: Delivery) -> float:
    assert after.available_at
    return (after.available_at - NOW).total_seconds()


def test_an_error_is_tried_again_later() -> None:
    after = failed(ValueError("no luck"))
    assert (after.state, after.attempts, after.error) == ("waiting", 1, "ValueError: no luck")
    assert delay(after) > 0


@given(attempts=st.integers(1, 99), retry_seconds=st.floats(0, 3600), seed=st.integers())
def test_each_retry_waits_twice_as_long_give_or_take_a_fifth_up_to_ten_minutes(
    attempts: int, retry_seconds: float, seed: int
) -> None:
    subscription = Subscription("plugin", ("*",), max_attempts=100, retry_seconds=retry_seconds)
    after = after_failure(delivery(attempts), ValueError(), subscription, NOW, Random(seed))
    expected = min(MAX_RETRY_SECONDS, retry_seconds * 2 ** (attempts - 1))
    assert expected * 0.8 - 0.001 <= delay(after) <= expected * 1.2 + 0.001


def test_what_failed_together_does_not_come_back_together() -> None:
    subscription = Subscription("plugin", ("*",))
    random = Random(1)
    delays = {delay(after_failure(delivery(), ValueError(), subscription, NOW, random)) for _ in range(20)}
    assert len(delays) == 20


def test_the_last_attempt_is_death() -> None:
    after = failed(ValueError("no luck"), attempts=3)
    assert (after.state, after.available_at, after.error) == ("dead", None, "ValueError: no luck")


@pytest.mark.parametrize("error", [PermanentError("no"), MediaError("not media")])
def test_what_trying_again_cannot_help_dies_at_once(error: PermanentError) -> None:
    assert failed(error).state is DeliveryState.DEAD


@pytest.mark.parametrize("error", [Unavailable("no network"), OutputUnavailable("no drive")])
def test_what_is_unavailable_costs_no_attempt_however_often(error: Unavailable) -> None:
    after = failed(error, attempts=3, waits=1000, max_attempts=3)
    assert (after.state, after.attempts, after.waits, after.error) == ("waiting", 2, 1001, error.message)


@pytest.mark.parametrize(("waits", "seconds"), [(0, 5), (1, 10), (2, 20), (3, 40), (4, 60), (100, 60)])
def test_what_is_unavailable_is_asked_for_at_least_every_minute(waits: int, seconds: float) -> None:
    assert delay(failed(Unavailable("gone"), waits=waits)) == seconds <= MAX_WAIT_SECONDS


def test_our_errors_speak_for_themselves_and_others_are_named() -> None:
    assert describe(Unavailable("The drive is gone.")) == "The drive is gone."
    assert describe(KeyError("x")) == "KeyError: 'x'"
    assert describe(TimeoutError()) == "TimeoutError"


def test_the_error_event_says_what_failed_at_what() -> None:
    event = Event.create("example.happened", {}, correlation_id="c")
    told = error_event(failed(PermanentError("Not a recording.")), event)
    assert (told.name, told.correlation_id, told.cause_id, told.source_plugin) == (
        "plugin.error",
        "c",
        event.id,
        "plugin",
    )
    error = told.read(PluginError)
    assert (error.event_name, error.message, error.attempts) == ("example.happened", "Not a recording.", 1)
