from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from panotti_daemon.core.plugins import Event, PermanentError, RecordingData, TranscriptionCompleted
from panotti_daemon.errors import OutputUnavailable
from panotti_daemon.models.transcript.models import Checkpoint, DecodedWindow, RequestedSettings
from panotti_daemon.paths import bundled
from panotti_daemon.testing import NOW, RECORDING, Hosting, PluginHost, Services, event_for, transcription

pytest_plugins = ["panotti_daemon.testing.fixtures"]

READY = event_for("recording.ready", correlation_id="r1")
KNOWN = event_for("recording.known", correlation_id="r1")


@pytest.fixture
def services() -> Services:
    return Services(settings=RequestedSettings(language="de", model="base"))


@asynccontextmanager
async def transcriber(hosted: Hosting, services: Services) -> AsyncIterator[PluginHost]:
    async with hosted(bundled("plugins") / "transcription_local", services=services) as plugin:
        yield plugin


def completed(answers: list[Event]) -> TranscriptionCompleted:
    [event] = answers
    assert event.name == "transcription_local.completed"
    return event.read(TranscriptionCompleted)


async def test_a_recording_is_looked_at_decoded_looked_at_again_stored_and_only_then_written(
    hosted: Hosting, services: Services
) -> None:
    async with transcriber(hosted, services) as plugin:
        completed(await plugin.deliver(READY))
    assert services.log == ["is it whole?", "decode de base", "has it changed?", "store", "write"]


async def test_the_completed_event_tells_all_that_others_need(hosted: Hosting, services: Services) -> None:
    async with transcriber(hosted, services) as plugin:
        answers = await plugin.deliver(READY)
    done = completed(answers)
    [event] = answers
    assert (event.correlation_id, event.cause_id, event.source_plugin) == ("r1", READY.id, "transcription_local")
    assert done.recording == RecordingData.of(RECORDING)
    assert done.transcription.model_dump() == {
        "status": "completed",
        "timestamp": NOW,
        "recording_id": "r1",
        "output_file": "/out/call.txt",
        "transcript_paths": {"txt": "/out/call.txt", "json": "/out/call.json"},
        "model": "tiny.en",
        "language": "en",
        "speaker_labels": {},
    }
    assert done.metadata.model_dump() == {
        "duration": 62.0,
        "speech_seconds": 2.0,
        "words": 5,
        "excerpt": "Hello Ann. How are you?",
        "warnings": ["quiet"],
    }
    assert done.context.model_dump() == {
        "correlation_id": "r1",
        "source_plugin": "transcription_local",
        "metadata": {"transcript_id": "t1"},
    }


async def test_the_completed_event_names_the_speakers_as_the_transcripts_do(hosted: Hosting) -> None:
    services = Services(speaker_labels={"microphone": "Anna", "system": "Ben"})
    async with transcriber(hosted, services) as plugin:
        done = completed(await plugin.deliver(READY))
    assert done.transcription.speaker_labels == {"microphone": "Anna", "system": "Ben"}


async def test_what_one_track_hears_of_another_is_not_told_twice(hosted: Hosting) -> None:
    heard = transcription("Hello Ann.", "Hello Ann.")
    bleed = heard.segments[1].model_copy(update={"bleed": True})
    services = Services(result=heard.model_copy(update={"segments": (heard.segments[0], bleed)}))
    async with transcriber(hosted, services) as plugin:
        done = completed(await plugin.deliver(READY))
    assert (done.metadata.words, done.metadata.excerpt) == (2, "Hello Ann.")


async def test_an_output_that_is_unavailable_costs_no_second_decoding(hosted: Hosting, services: Services) -> None:
    services.failures = [OutputUnavailable("The drive is gone.")]
    async with transcriber(hosted, services) as plugin:
        with pytest.raises(OutputUnavailable):
            await plugin.deliver(READY)
        services.log.clear()
        await plugin.pass_time(60)
        completed(plugin.events)
    assert services.log == ["write"]


@pytest.mark.parametrize(
    ("changes", "log"),
    [
        ({"is_whole": False}, ["is it whole?"]),
        ({"has_changed": True}, ["is it whole?", "decode auto auto", "has it changed?"]),
    ],
    ids=["before", "meanwhile"],
)
async def test_a_recording_that_changed_is_left_to_come_again(
    hosted: Hosting, changes: dict[str, bool], log: list[str]
) -> None:
    services = Services(**changes)  # type: ignore[arg-type]
    async with transcriber(hosted, services) as plugin:
        assert await plugin.deliver(READY) == []
    assert services.log == log
    assert services.stored is None


async def test_a_recording_without_speech_is_written_and_says_so(hosted: Hosting) -> None:
    async with transcriber(hosted, Services(result=transcription())) as plugin:
        done = completed(await plugin.deliver(READY))
    assert done.transcription.status == "no_speech"
    assert (done.metadata.words, done.metadata.excerpt) == (0, "")


async def test_a_known_file_gets_the_outputs_that_are_missing(hosted: Hosting) -> None:
    services = Services(stored=transcription("Hello Ann."), missing={"md": Path("/out/copy.md")})
    async with transcriber(hosted, services) as plugin:
        done = completed(await plugin.deliver(KNOWN))
    assert (done.transcription.status, done.transcription.output_file) == ("restored", "/out/copy.md")
    assert services.log == ["restore /in/copy.wav"]


@pytest.mark.parametrize("stored", [None, transcription("Hello.")], ids=["not yet transcribed", "nothing missing"])
async def test_a_known_file_with_nothing_to_restore_is_not_spoken_of(hosted: Hosting, stored: None) -> None:
    async with transcriber(hosted, Services(stored=stored)) as plugin:
        assert await plugin.deliver(KNOWN) == []


async def test_progress_is_announced_and_shows_that_the_handler_lives(hosted: Hosting, services: Services) -> None:
    async with transcriber(hosted, services) as plugin:
        await plugin.deliver(READY)
    assert [a.name.split(".")[1] for a in plugin.announcements] == ["started", "progress", "stopped"]
    assert [a.data["fraction"] for a in plugin.announcements] == [0.0, 0.5, 1.0]
    assert plugin.announcements[1].data["seconds_left"] == 3.0
    assert plugin.heartbeats == [READY.id]


async def test_progress_does_not_fall_back_when_a_transcription_goes_on(hosted: Hosting) -> None:
    first = checkpoint(0, "Hello Ann.").model_copy(update={"fraction": 0.7})
    async with transcriber(hosted, Services(kept=[first])) as plugin:
        await plugin.deliver(READY)
    assert [a.data["fraction"] for a in plugin.announcements] == [0.7, 0.7, 1.0]


async def test_a_recording_that_was_forgotten_is_not_tried_again(hosted: Hosting, services: Services) -> None:
    async with transcriber(hosted, services) as plugin:
        with pytest.raises(PermanentError):
            await plugin.deliver(event_for("recording.ready", {"recording": {"id": "gone"}}))
        assert [delivery.state.value for delivery in plugin.deliveries] == ["dead"]


def checkpoint(second: int, said: str) -> Checkpoint:
    window = DecodedWindow(
        track=0,
        start=second * 16_000,
        end=(second + 1) * 16_000,
        segments=transcription(said).segments,
        transcribed_seconds=1.0,
        again=False,
        suspect=False,
    )
    return Checkpoint(model="tiny.en", language="en", language_probability=1.0, windows=(window,))


async def test_what_is_decoded_is_kept_and_told_as_it_comes(hosted: Hosting) -> None:
    services = Services(decoded=[checkpoint(0, "Hello Ann."), checkpoint(1, "How are you?")])
    async with transcriber(hosted, services) as plugin:
        await plugin.deliver(READY)
        heard = [told.data for told in plugin.announcements if told.name == "transcription_local.heard"]
    assert services.kept == services.decoded
    assert {segment["text"] for told in heard for segment in told["segments"]} == {"Hello Ann.", "How are you?"}


async def test_a_transcription_goes_on_behind_what_was_kept(hosted: Hosting) -> None:
    first, second = checkpoint(0, "Hello Ann."), checkpoint(1, "How are you?")
    services = Services(decoded=[first, second], kept=[first])
    async with transcriber(hosted, services) as plugin:
        await plugin.deliver(READY)
    assert services.kept == [first, second]
