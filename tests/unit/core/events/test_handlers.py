from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panotti_daemon.core.events.circuit import Rest
from panotti_daemon.core.events.handlers import (
    LONGEST_REASON,
    MAX_WAIT_SECONDS,
    Subscription,
    after_failure,
    describe,
    error_event,
    rest_event,
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


@given(
    attempts=st.integers(1, 99),
    first=st.floats(0, 3600),
    factor=st.floats(1, 10),
    longest=st.floats(1, 86400),
    jitter=st.floats(0, 1),
    seed=st.integers(),
)
def test_each_pause_is_longer_than_the_one_before_give_or_take_the_jitter_up_to_the_longest(
    attempts: int, first: float, factor: float, longest: float, jitter: float, seed: int
) -> None:
    subscription = Subscription(
        "plugin",
        ("*",),
        max_attempts=100,
        retry_seconds=first,
        retry_factor=factor,
        retry_longest_seconds=longest,
        retry_jitter=jitter,
    )
    after = after_failure(delivery(attempts), ValueError(), subscription, NOW, Random(seed))
    expected = min(longest, first * factor ** (attempts - 1))
    assert expected * (1 - jitter) * 0.999 - 0.001 <= delay(after) <= expected * (1 + jitter) * 1.001 + 0.001
    assert delay(after) <= subscription.longest_wait.total_seconds() + 0.001


def test_the_first_pause_is_five_seconds_and_each_after_it_twice_as_long() -> None:
    subscription = Subscription("plugin", ("*",), retry_jitter=0)
    assert [subscription.retry_pause(attempts, Random(1)) for attempts in (1, 2, 3, 9)] == [5, 10, 20, 600]


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


def test_an_error_that_cannot_say_what_it_is_is_named_all_the_same() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            return str(self.reason)  # type: ignore[attr-defined]

    assert describe(Broken()) == "Broken"


@pytest.mark.parametrize("error", [ValueError("x" * 10_000), PermanentError("x" * 10_000)])
def test_of_an_error_that_says_too_much_the_beginning_is_kept(error: Exception) -> None:
    assert len(describe(error)) == LONGEST_REASON
    assert describe(error).endswith("xxx…")


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


def test_a_plugin_that_rests_is_told_to_all_others() -> None:
    told = rest_event("plugin", Rest("it failed", NOW))
    assert told.data["plugin"] == "plugin"
    assert Subscription("notifier", ("*",)).wants(told)
    assert not Subscription("plugin", ("*",)).wants(told)


def test_nobody_is_told_that_somebody_failed_at_being_told_of_a_rest() -> None:
    told = rest_event("plugin", Rest("it failed", NOW))
    assert not Subscription("other", ("*",)).wants(error_event(failed(PermanentError("no")), told))
