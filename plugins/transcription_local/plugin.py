"""Turns a recording into transcripts: the engine's result is stored first, then written, so that a full drive or a
crash in between costs no second decoding."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from panotti_daemon.core.plugins import (
    Event,
    EventContext,
    PluginBase,
    Recording,
    RecordingData,
    RecordingKnown,
    RecordingReady,
    Transcript,
    Transcription,
    TranscriptionCompleted,
    TranscriptionData,
    TranscriptionMetadata,
    TranscriptionProgress,
    TranscriptStatus,
)

EXCERPT_WORDS = 30


class Plugin(PluginBase):
    async def handle(self, event: Event) -> list[Event]:
        if event.name == "recording.ready":
            return await self._transcribe(event, event.read(RecordingReady))
        return await self._restore(event, event.read(RecordingKnown))

    async def _transcribe(self, event: Event, ready: RecordingReady) -> list[Event]:
        recording = await self.context.recordings.get(ready.recording.id, ready.transcript_id)
        transcript = await self.context.transcripts.get(ready.transcript_id)
        if transcript.status is TranscriptStatus.PENDING:
            if not await self.context.recordings.is_whole(recording):
                return []
            result = await self._run_engine(event, recording, ready)
            if await self.context.recordings.has_changed(recording):
                return []
            transcript = await self.context.transcripts.store(ready.transcript_id, result)
            recording = await self.context.recordings.get(ready.recording.id, ready.transcript_id)  # renamed meanwhile?
        paths = await self.context.outputs.write(transcript, recording)
        self.context.log.info("transcribed", recording=recording.id, path=str(recording.path))
        status: Literal["completed", "no_speech"] = "completed"
        if transcript.status is TranscriptStatus.NO_SPEECH:
            status = "no_speech"
        return [self._completed(event, recording, transcript, paths, status)]

    async def _run_engine(self, event: Event, recording: Recording, ready: RecordingReady) -> Transcription:
        loop = asyncio.get_running_loop()
        announcing: set[asyncio.Task[None]] = set()

        def on_progress(fraction: float, seconds_left: float | None) -> None:
            self.is_alive(event)
            task = loop.create_task(self._tell("progress", recording, fraction, seconds_left))
            announcing.add(task)
            task.add_done_callback(announcing.discard)

        await self._tell("started", recording)
        try:
            return await self.context.transcriber.transcribe(
                recording, language=ready.language, model=ready.model, on_progress=on_progress
            )
        finally:
            await asyncio.gather(*announcing)
            await self._tell("stopped", recording, 1.0)

    async def _tell(
        self, what: str, recording: Recording, fraction: float = 0.0, seconds_left: float | None = None
    ) -> None:
        progress = TranscriptionProgress(
            recording_id=recording.id, title=recording.title, fraction=fraction, seconds_left=seconds_left
        )
        await self.announce(f"transcription_local.{what}", progress)

    async def _restore(self, event: Event, known: RecordingKnown) -> list[Event]:
        transcript = await self.context.transcripts.get(known.transcript_id)
        if transcript.status is TranscriptStatus.PENDING:
            return []
        recording = await self.context.recordings.get(known.recording.id)
        paths = await self.context.outputs.restore(transcript, recording, Path(known.path))
        return [self._completed(event, recording, transcript, paths, "restored")] if paths else []

    def _completed(
        self,
        event: Event,
        recording: Recording,
        transcript: Transcript,
        paths: Mapping[str, Path],
        status: Literal["completed", "no_speech", "restored"],
    ) -> Event:
        assert transcript.result
        words = " ".join(segment.text for segment in transcript.result.segments).split()
        payload = TranscriptionCompleted(
            recording=RecordingData.of(recording),
            transcription=TranscriptionData(
                status=status,
                timestamp=transcript.created_at,
                recording_id=recording.id,
                output_file=str(next(iter(paths.values()))),
                transcript_paths={format: str(path) for format, path in paths.items()},
                model=transcript.result.model,
                language=transcript.result.language,
                speaker_labels=recording.speaker_labels,
            ),
            metadata=TranscriptionMetadata(
                duration=transcript.result.duration,
                speech_seconds=transcript.result.speech_seconds,
                words=len(words),
                excerpt=" ".join(words[:EXCERPT_WORDS]),
                warnings=list(transcript.result.warnings),
            ),
            context=EventContext(
                correlation_id=event.correlation_id,
                source_plugin=self.manifest.name,
                metadata={"transcript_id": transcript.id},
            ),
        )
        return self.create_child_event(event, "transcription_local.completed", payload)
