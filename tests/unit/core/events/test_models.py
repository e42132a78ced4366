from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from panotti_daemon.core.events.models import Announcement, Event
from panotti_daemon.core.events.types import EVENTS, EventPriority, NotificationCompleted, Payload, PluginError

NOTIFIED = {"status": "no server", "title": "Call is transcribed", "recordings": ["r1"]}


def test_an_event_without_a_cause_begins_its_own_correlation() -> None:
    event = Event.create("example.happened", {})
    assert event.correlation_id == event.id
    assert (event.cause_id, event.source_plugin, event.priority) == (None, None, EventPriority.NORMAL)


def test_the_ids_of_events_sort_by_the_time_they_were_made() -> None:
    ids = [Event.create("example.happened", {}).id for _ in range(3)]
    assert len(set(ids)) == 3
    assert [id_[:8] for id_ in ids] == sorted(id_[:8] for id_ in ids)


def test_a_child_stays_in_its_parents_correlation_and_keeps_its_urgency() -> None:
    parent = Event.create("example.happened", {}, correlation_id="c", priority=EventPriority.NOW)
    child = parent.child("example.answered", {"a": 1}, source_plugin="plugin")
    assert (child.correlation_id, child.cause_id, child.priority) == ("c", parent.id, EventPriority.NOW)
    assert child.source_plugin == "plugin"
    assert child.id != parent.id


def test_the_data_of_a_known_event_is_checked_when_it_is_made() -> None:
    assert Event.create("desktop_notification.completed", NOTIFIED).data == NOTIFIED
    with pytest.raises(ValidationError, match="status"):
        Event.create("desktop_notification.completed", NOTIFIED | {"status": "seen"})
    with pytest.raises(ValidationError, match="plugin"):
        Event.create("any_plugin.error", {})


def test_a_payload_is_kept_as_json() -> None:
    payload = NotificationCompleted.model_validate(NOTIFIED)
    assert Event.create("desktop_notification.completed", payload).data == NOTIFIED


def test_the_payload_of_another_event_is_refused() -> None:
    with pytest.raises(ValidationError):
        Event.create("recording.ready", NotificationCompleted.model_validate(NOTIFIED))


@pytest.mark.parametrize("value", [object(), {1, 2}, datetime(2026, 1, 1, tzinfo=UTC), b"bytes"])
def test_what_is_no_json_is_refused_when_it_is_made(value: object) -> None:
    with pytest.raises(ValidationError):
        Event.create("example.happened", {"value": value})
    with pytest.raises(ValidationError):
        Announcement.create("example.progress", {"value": value})


@pytest.mark.parametrize("name", ["", "example", "Example.happened", "example.", "a.b.c", "example.happened\n", "1.a"])
def test_names_are_area_and_fact(name: str) -> None:
    with pytest.raises(ValidationError):
        Event.create(name, {})


def test_an_event_cannot_be_changed() -> None:
    event = Event.create("example.happened", {})
    with pytest.raises(ValidationError, match="frozen"):
        event.name = "example.other"  # type: ignore[misc]


@pytest.mark.parametrize(("stored", "read"), [(-5, 0), (0, 0), (9, 0), (10, 10), (25, 20), (99, 30)])
def test_a_priority_of_another_version_is_read_as_the_nearest_below(stored: int, read: int) -> None:
    event = Event.create("example.happened", {}).model_dump() | {"priority": stored}
    assert Event.model_validate(event).priority == read


class Renamed(Payload):
    payload_version: ClassVar[int] = 3

    title: str
    words: int

    @classmethod
    def upgrade(cls, data: dict[str, Any], version: int) -> dict[str, Any]:
        if version < 2:
            data["title"] = data.pop("name")
        if version < 3:
            data["words"] = 0
        return data


@pytest.mark.parametrize(
    ("version", "data"), [(1, {"name": "Call"}), (2, {"title": "Call"}), (3, {"title": "Call", "words": 0})]
)
def test_an_event_that_was_stored_long_ago_is_read_in_todays_form(version: int, data: dict[str, Any]) -> None:
    event = Event(
        name="example.happened", data=data, payload_version=version, correlation_id="c", created_at=datetime.now(UTC)
    )
    before = dict(data)
    assert event.read(Renamed) == Renamed(title="Call", words=0)
    assert event.data == before


def test_an_event_is_stored_at_the_version_of_its_payload() -> None:
    for name, model in EVENTS.items():
        if name == "desktop_notification.completed":
            assert Event.create(name, NOTIFIED).payload_version == model.payload_version


def test_what_an_event_holds_is_not_repeated_in_the_error_about_it() -> None:
    with pytest.raises(ValidationError) as caught:
        PluginError.model_validate({"plugin": ["words that were spoken"]})
    assert "spoken" not in str(caught.value)


def test_known_announcements_are_checked_too() -> None:
    with pytest.raises(ValidationError, match="fraction"):
        Announcement.create("transcription_local.progress", {"recording_id": "r", "title": "Call"})
