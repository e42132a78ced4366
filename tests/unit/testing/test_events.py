from __future__ import annotations

import pytest
from pydantic import ValidationError

from panotti_daemon.core.events.types import EVENTS
from panotti_daemon.core.plugins import EventPriority, PluginError, TranscriptionCompleted
from panotti_daemon.testing import NOW, event_for


@pytest.mark.parametrize("name", [*EVENTS, "other.error"])
def test_every_event_that_panotti_knows_can_be_had(name: str) -> None:
    event = event_for(name)
    assert event.data
    assert event.read(EVENTS.get(name, PluginError)).model_dump(mode="json") == event.data
    assert event.created_at == NOW


def test_a_test_names_only_what_matters_to_it() -> None:
    event = event_for("transcription_local.completed", {"metadata": {"words": 12}}, priority=EventPriority.HIGH)
    done = event.read(TranscriptionCompleted)
    assert (done.metadata.words, done.metadata.duration, event.priority) == (12, 62.0, EventPriority.HIGH)
    assert event_for("transcription_local.completed").data["metadata"]["words"] == 5


def test_an_event_says_who_it_is_from() -> None:
    assert event_for("recording.ready").source_plugin is None
    assert event_for("diary.error").source_plugin == "diary"
    assert event_for("diary.error").data["plugin"] == "diary"


def test_an_event_that_only_a_plugin_knows_carries_what_it_is_given() -> None:
    event = event_for("diary.noted", {"line": 1}, correlation_id="c")
    assert (event.data, event.correlation_id, event.source_plugin) == ({"line": 1}, "c", "diary")


def test_data_that_does_not_fit_is_refused_as_it_would_be_in_the_daemon() -> None:
    with pytest.raises(ValidationError):
        event_for("transcription_local.completed", {"metadata": {"words": "many"}})
