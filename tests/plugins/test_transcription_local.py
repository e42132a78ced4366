from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from panotti_daemon.core.plugins import (
    Event,
    PermanentError,
    PluginBase,
    RecordingData,
    RecordingKnown,
    RecordingReady,
    TranscriptionCompleted,
)
from panotti_daemon.errors import OutputUnavailable
from tests.plugins.hosting import NOW, RECORDING, Ports, Services, hosted, transcription

READY = Event.create(
    "recording.ready",
    RecordingReady(recording=RecordingData.of(RECORDING), transcript_id="t1", language="de", model="base"),
    correlation_id="r1",
)
KNOWN = Event.create(
    "recording.known",
    RecordingKnown(recording=RecordingData.of(RECORDING), transcript_id="t1", path="/in/copy.wav", folder="/in"),
    correlation_id="r1",
)


def play(
    tmp_path: Path, act: Callable[[PluginBase], Awaitable[None]], services: Services, ports: Ports | None = None
) -> None:
    async def main() -> None:
        async with hosted("transcription_local", tmp_path, services, ports) as plugin:
            await act(plugin)

    asyncio.run(main())


def completed(answer: object) -> TranscriptionCompleted:
    assert isinstance(answer, list)
    (event,) = answer
    assert isinstance(event, Event)
    assert event.name == "transcription_local.completed"
    return event.read(TranscriptionCompleted)


def test_a_recording_is_looked_at_decoded_looked_at_again_stored_and_only_then_written(tmp_path: Path) -> None:
    services = Services()

    async def act(plugin: PluginBase) -> None:
        completed(await plugin.handle(READY))
        assert services.log == ["is it whole?", "decode de base", "has it changed?", "store", "write"]

    play(tmp_path, act, services)


def test_the_completed_event_tells_all_that_others_need(tmp_path: Path) -> None:
    async def act(plugin: PluginBase) -> None:
        answer = await plugin.handle(READY)
        done = completed(answer)
        (event,) = answer or ()
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

    play(tmp_path, act, Services())


def test_an_output_that_is_unavailable_costs_no_second_decoding(tmp_path: Path) -> None:
    services = Services(failures=[OutputUnavailable("The drive is gone.")])

    async def act(plugin: PluginBase) -> None:
        with pytest.raises(OutputUnavailable):
            await plugin.handle(READY)
        services.log.clear()
        completed(await plugin.handle(READY))
        assert services.log == ["write"]

    play(tmp_path, act, services)


@pytest.mark.parametrize(
    ("services", "log"),
    [
        (Services(is_whole=False), ["is it whole?"]),
        (Services(has_changed=True), ["is it whole?", "decode de base", "has it changed?"]),
    ],
    ids=["before", "meanwhile"],
)
def test_a_recording_that_changed_is_left_to_come_again(tmp_path: Path, services: Services, log: list[str]) -> None:
    async def act(plugin: PluginBase) -> None:
        assert await plugin.handle(READY) == []
        assert services.log == log
        assert services.stored is None

    play(tmp_path, act, services)


def test_a_recording_without_speech_is_written_and_says_so(tmp_path: Path) -> None:
    async def act(plugin: PluginBase) -> None:
        done = completed(await plugin.handle(READY))
        assert done.transcription.status == "no_speech"
        assert (done.metadata.words, done.metadata.excerpt) == (0, "")

    play(tmp_path, act, Services(result=transcription()))


def test_a_known_file_gets_the_outputs_that_are_missing(tmp_path: Path) -> None:
    services = Services(stored=transcription("Hello Ann."), missing={"md": Path("/out/copy.md")})

    async def act(plugin: PluginBase) -> None:
        done = completed(await plugin.handle(KNOWN))
        assert (done.transcription.status, done.transcription.output_file) == ("restored", "/out/copy.md")
        assert services.log == ["restore /in/copy.wav"]

    play(tmp_path, act, services)


@pytest.mark.parametrize("stored", [None, transcription("Hello.")], ids=["not yet transcribed", "nothing missing"])
def test_a_known_file_with_nothing_to_restore_is_not_spoken_of(tmp_path: Path, stored: None) -> None:
    async def act(plugin: PluginBase) -> None:
        assert await plugin.handle(KNOWN) == []

    play(tmp_path, act, Services(stored=stored))


def test_progress_is_announced_and_shows_that_the_handler_lives(tmp_path: Path) -> None:
    ports = Ports()

    async def act(plugin: PluginBase) -> None:
        await plugin.handle(READY)
        assert [a.name.split(".")[1] for a in ports.announced] == ["started", "progress", "stopped"]
        assert [a.data["fraction"] for a in ports.announced] == [0.0, 0.5, 1.0]
        assert ports.announced[1].data["seconds_left"] == 3.0
        assert ports.heartbeats == [("transcription_local", READY.id)]

    play(tmp_path, act, Services(), ports)


def test_a_recording_that_was_forgotten_is_not_tried_again(tmp_path: Path) -> None:
    data = READY.data | {"recording": READY.data["recording"] | {"id": "gone"}}

    async def act(plugin: PluginBase) -> None:
        with pytest.raises(PermanentError):
            await plugin.handle(Event.create("recording.ready", data))

    play(tmp_path, act, Services())
