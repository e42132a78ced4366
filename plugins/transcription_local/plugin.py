"""Turns a recording into transcripts.

What the engine has decoded is kept as it comes, so that a crash costs no more than the windows in flight; its result is
stored before it is written, so that a full drive costs no second decoding.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Literal

from panotti_daemon.core.plugins import (
    Checkpoint,
    Event,
    EventContext,
    HeardSegment,
    PluginBase,
    Recording,
    RecordingData,
    RecordingKnown,
    RecordingReady,
    Transcript,
    Transcription,
    TranscriptionCompleted,
    TranscriptionData,
    TranscriptionHeard,
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
            result = await self._run_engine(event, recording, transcript)
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

    async def _run_engine(self, event: Event, recording: Recording, transcript: Transcript) -> Transcription:
        done = await self.context.transcripts.checkpoints(transcript.id)
        reached = max((checkpoint.fraction for checkpoint in done), default=0.0)
        loop = asyncio.get_running_loop()
        telling: set[asyncio.Task[None]] = set()

        def begin(coroutine: Coroutine[Any, Any, None]) -> None:
            task = loop.create_task(coroutine)
            telling.add(task)
            task.add_done_callback(telling.discard)

        def on_progress(fraction: float, seconds_left: float | None) -> None:
            nonlocal reached
            reached = max(reached, fraction)  # the engine comes upon what is done only bit by bit
            self.is_alive(event)
            begin(self._tell("progress", recording, reached, seconds_left))

        def on_checkpoint(checkpoint: Checkpoint) -> None:
            begin(self._keep(event, recording, transcript, checkpoint))

        await self._tell("started", recording, reached)
        try:
            result = await self.context.transcriber.transcribe(
                recording, transcript.settings, done=done, on_progress=on_progress, on_checkpoint=on_checkpoint
            )
            reached = 1.0
            return result
        finally:
            await asyncio.gather(*telling)
            await self._tell("stopped", recording, reached)

    async def _keep(self, event: Event, recording: Recording, transcript: Transcript, checkpoint: Checkpoint) -> None:
        await self.context.transcripts.keep(transcript.id, checkpoint)
        await self.spare_attempt(event)
        segments = [segment for window in checkpoint.windows for segment in window.segments]
        heard = [HeardSegment(start=s.start, end=s.end, text=s.text, track=s.track) for s in segments]
        await self.announce("transcription_local.heard", TranscriptionHeard(recording_id=recording.id, segments=heard))

    async def _tell(self, what: str, recording: Recording, fraction: float, seconds_left: float | None = None) -> None:
        progress = TranscriptionProgress(
            recording_id=recording.id, title=recording.title, fraction=fraction, seconds_left=seconds_left
        )
        await self.announce(f"transcription_local.{what}", progress)

    async def _restore(self, event: Event, known: RecordingKnown) -> list[Event]:
        transcript = await self.context.transcripts.get(known.transcript_id)
        if transcript.status is TranscriptStatus.PENDING:
            return []
        recording = await self.context.recordings.get(known.recording.id)
        came = Path(known.path)
        paths = await self.context.outputs.restore(transcript, recording, came)
        return [self._completed(event, recording, transcript, paths, "restored", came)] if paths else []

    def _completed(
        self,
        event: Event,
        recording: Recording,
        transcript: Transcript,
        paths: Mapping[str, Path],
        status: Literal["completed", "no_speech", "restored"],
        came: Path | None = None,
    ) -> Event:
        assert transcript.result
        words = " ".join(segment.text for segment in transcript.result.segments if not segment.bleed).split()
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
                speaker_labels=self.context.outputs.speaker_labels(transcript, recording, came),
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
