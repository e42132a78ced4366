"""A bundled plugin as the daemon would host it, with services that live in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from panotti_daemon.clock import SystemClock
from panotti_daemon.core.events.models import Announcement, Event
from panotti_daemon.core.plugins import PluginBase, Transcript, Transcription, TranscriptStatus
from panotti_daemon.core.plugins.manager import load_plugin_class
from panotti_daemon.core.plugins.manifest import read_manifest
from panotti_daemon.core.plugins.protocol import Context, OnProgress
from panotti_daemon.errors import PermanentError
from panotti_daemon.models.recording.models import Recording, Track
from panotti_daemon.models.transcript.models import Segment
from panotti_daemon.paths import bundled

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

RECORDING = Recording(
    id="r1",
    content_id="c1",
    title="Call with Ann",
    tracks=(Track(path=Path("/in/call.wav"), content_hash="h", size=1000, mtime_ns=1),),
    folder=Path("/in"),
    duration=62.0,
    created_at=NOW,
)


def transcription(*texts: str) -> Transcription:
    return Transcription(
        segments=tuple(
            Segment(start=i, end=i + 1, text=text, avg_logprob=-0.1, no_speech_prob=0.1, compression_ratio=1.0)
            for i, text in enumerate(texts)
        ),
        language="en",
        language_probability=1.0,
        model="tiny.en",
        duration=62.0,
        speech_seconds=float(len(texts)),
        warnings=("quiet",),
    )


@dataclass
class Services:
    """All that a context offers. What is done is noted in `log`, in its order."""

    result: Transcription = field(default_factory=lambda: transcription("Hello Ann.", "How are you?"))
    stored: Transcription | None = None
    is_whole: bool = True
    """When it is looked at before."""
    has_changed: bool = False
    """When it is looked at afterwards."""
    failures: list[Exception] = field(default_factory=list)
    """Of the next attempts at writing."""
    missing: Mapping[str, Path] = field(default_factory=dict)
    """What a restoration finds to write."""
    log: list[str] = field(default_factory=list)

    def context(self, tmp_path: Path) -> Context:
        return Context(
            recordings=self._Recordings(self),
            transcriber=self._Transcriber(self),
            transcripts=self._Transcripts(self),
            outputs=self._Outputs(self),
            clock=SystemClock(),
            log=structlog.get_logger("plugins.test"),
            data=tmp_path / "data",
            resources=bundled("resources"),
        )

    def transcript(self) -> Transcript:
        status = TranscriptStatus.PENDING
        if self.stored:
            status = TranscriptStatus.DONE if self.stored.segments else TranscriptStatus.NO_SPEECH
        return Transcript(
            id="t1",
            recording_id="r1",
            content_id="c1",
            title="Call with Ann",
            language_setting="auto",
            model_setting="auto",
            status=status,
            created_at=NOW,
            result=self.stored,
        )

    @dataclass
    class _Recordings:
        services: Services

        async def get(self, recording_id: str, transcript_id: str | None = None) -> Recording:
            if recording_id != RECORDING.id:
                raise PermanentError("It has been forgotten.")
            return RECORDING

        async def is_whole(self, recording: Recording) -> bool:
            self.services.log.append("is it whole?")
            return self.services.is_whole

        async def has_changed(self, recording: Recording) -> bool:
            self.services.log.append("has it changed?")
            return self.services.has_changed

    @dataclass
    class _Transcriber:
        services: Services

        async def transcribe(
            self, recording: Recording, *, language: str, model: str, on_progress: OnProgress
        ) -> Transcription:
            self.services.log.append(f"decode {language} {model}")
            on_progress(0.5, 3.0)
            return self.services.result

    @dataclass
    class _Transcripts:
        services: Services

        async def get(self, transcript_id: str) -> Transcript:
            return self.services.transcript()

        async def store(self, transcript_id: str, result: Transcription) -> Transcript:
            self.services.log.append("store")
            self.services.stored = result
            return self.services.transcript()

    @dataclass
    class _Outputs:
        services: Services

        async def write(self, transcript: Transcript, recording: Recording) -> Mapping[str, Path]:
            self.services.log.append("write")
            if self.services.failures:
                raise self.services.failures.pop(0)
            return {"txt": Path("/out/call.txt"), "json": Path("/out/call.json")}

        async def restore(self, transcript: Transcript, recording: Recording, came: Path) -> Mapping[str, Path]:
            self.services.log.append(f"restore {came}")
            return self.services.missing


@dataclass
class Ports:
    """The daemon's side of a plugin's own methods."""

    published: list[Event] = field(default_factory=list)
    announced: list[Announcement] = field(default_factory=list)
    heartbeats: list[tuple[str, str]] = field(default_factory=list)
    state: dict[tuple[str, str], Any] = field(default_factory=dict)

    async def publish(self, plugin: str, event: Event) -> None:
        self.published.append(event)

    async def announce(self, announcement: Announcement) -> None:
        self.announced.append(announcement)

    def heartbeat(self, plugin: str, event_id: str) -> None:
        self.heartbeats.append((plugin, event_id))

    async def get_state(self, plugin: str, key: str) -> Any:
        return self.state.get((plugin, key))

    async def set_state(self, plugin: str, key: str, value: Any) -> None:
        self.state[plugin, key] = value

    async def delete_state(self, plugin: str, key: str) -> None:
        self.state.pop((plugin, key), None)

    async def list_state(self, plugin: str, prefix: str) -> dict[str, Any]:
        return {k: v for (p, k), v in sorted(self.state.items()) if p == plugin and k.startswith(prefix)}


@asynccontextmanager
async def hosted(
    name: str, tmp_path: Path, services: Services | None = None, ports: Ports | None = None, **config: Any
) -> AsyncIterator[PluginBase]:
    folder = bundled("plugins") / name
    manifest = read_manifest(folder)
    plugin_class = load_plugin_class(folder)
    settings = plugin_class.Config.model_validate(manifest.config | config)
    plugin = plugin_class(manifest, settings, (services or Services()).context(tmp_path), ports or Ports())
    await plugin.initialize()
    try:
        yield plugin
    finally:
        await plugin.shutdown()
