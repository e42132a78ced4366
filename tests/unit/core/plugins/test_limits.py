from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panotti_daemon.core.events.models import Announcement, Event
from panotti_daemon.core.plugins.limits import (
    ANNOUNCEMENTS_AT_ONCE,
    EVENTS_A_SECOND,
    EVENTS_AT_ONCE,
    MOST_BYTES,
    Bucket,
    Limits,
)
from panotti_daemon.core.plugins.manifest import Manifest
from panotti_daemon.errors import PluginFailed


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def limits(*emits: str, now: Seconds | None = None) -> Limits:
    manifest = Manifest(name="one", version="1.0.0", api_version=1, description="A test.", emits=emits)
    return Limits(manifest, now or Seconds())


def event(name: str = "one.done", data: dict[str, Any] | None = None, **changes: Any) -> Event:
    return Event.create(name, {}).model_copy(update={"data": data or {}, **changes})


def test_an_event_of_its_own_passes_with_its_source_named() -> None:
    assert limits().event(event()).source_plugin == "one"
    assert limits("area.*").event(event("area.changed")).source_plugin == "one"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (event("other.done"), "one may not emit other.done: its manifest's `emits` does not name it"),
        (event(source_plugin="other"), "one.done is an event of other's, and not of one's"),
        (
            event(data={"file": object()}),
            "The data of one.done is no JSON: Object of type object is not JSON serializable",
        ),
        (event(data={"share": float("nan")}), "The data of one.done is no JSON: Out of range float values"),
        (event(data={"text": "x" * MOST_BYTES}), "one.done has 256 KB of data; 256 are allowed"),
        (event(correlation_id=5), "one.done is not what it must be: correlation_id: Input should be a valid string"),
        (
            event("one.failed").model_copy(update={"name": "one.error"}),
            "one.error is not what it must be: plugin: Field required",
        ),
    ],
)
def test_an_event_that_is_not_what_it_must_be_is_refused_with_what_is_wrong(wrong: Event, reason: str) -> None:
    with pytest.raises(PluginFailed) as caught:
        limits().event(wrong)
    assert str(caught.value).startswith(reason)


def test_what_was_said_is_not_in_the_refusal() -> None:
    with pytest.raises(PluginFailed) as caught:
        limits().event(event("one.failed", {"plugin": {"said": "a secret"}}).model_copy(update={"name": "one.error"}))
    assert "a secret" not in str(caught.value)


def test_a_flood_of_events_is_refused_until_time_has_passed() -> None:
    now = Seconds()
    limited = limits(now=now)
    for _ in range(EVENTS_AT_ONCE):
        limited.event(event())
    with pytest.raises(PluginFailed, match="one emits more than 100 events a second for too long"):
        limited.event(event())
    now.now = 1.0
    for _ in range(int(EVENTS_A_SECOND)):
        limited.event(event())
    with pytest.raises(PluginFailed):
        limited.event(event())


def test_a_flood_of_announcements_is_refused() -> None:
    limited = limits()
    for _ in range(ANNOUNCEMENTS_AT_ONCE):
        limited.announcement(Announcement.create("one.progress", {}))
    with pytest.raises(PluginFailed, match="one announces more than 200 times a second"):
        limited.announcement(Announcement.create("one.progress", {}))
    with pytest.raises(PluginFailed, match=r"one may not emit other\.progress"):
        limited.announcement(Announcement.create("other.progress", {}))


@given(pauses=st.lists(st.floats(0, 10), max_size=200))
def test_a_bucket_never_gives_more_than_its_size_and_what_time_has_brought(pauses: list[float]) -> None:
    now = Seconds()
    bucket, taken = Bucket(5, 2, now), 0
    for pause in pauses:
        now.now += pause
        taken += bucket.take()
        assert taken <= 5 + 2 * now.now + 1e-6
