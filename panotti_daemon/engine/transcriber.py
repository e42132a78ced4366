"""The engine as plugins reach it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from panotti_daemon import __version__
from panotti_daemon.clock import Clock
from panotti_daemon.core.plugins.protocol import OnCheckpoint, OnProgress
from panotti_daemon.engine.client import Engine
from panotti_daemon.engine.messages import Progress, Track
from panotti_daemon.models.recording.models import Recording
from panotti_daemon.models.transcript.models import Checkpoint, RequestedSettings, Transcription

log = structlog.get_logger(__name__)

FIRST_GUESS = 10.0


class LocalTranscriber:
    def __init__(self, engine: Engine, clock: Clock, *, model: str) -> None:
        """`model` is the one for folders whose own is `auto`."""
        self._engine = engine
        self._clock = clock
        self.model = model
        self.speed = FIRST_GUESS
        """Seconds of audio for each second of work, as it was with the last recording."""

    async def transcribe(
        self,
        recording: Recording,
        settings: RequestedSettings,
        *,
        done: Sequence[Checkpoint] = (),
        on_progress: OnProgress,
        on_checkpoint: OnCheckpoint,
    ) -> Transcription:
        def report(progress: Progress) -> None:
            on_progress(progress.fraction or 0.0, progress.seconds_left)

        model = self.model if settings.model == "auto" else settings.model
        log.info(
            "transcribing",
            recording=recording.id,
            language=settings.language,
            model=model,
            windows_done=sum(len(part.windows) for part in done),
        )
        began = self._clock.monotonic()
        result = await self._engine.transcribe(
            tracks_of(recording, settings.split),
            settings.model_copy(update={"model": model}),
            done=done,
            on_progress=report,
            on_checkpoint=on_checkpoint,
        )
        if result.duration > 1 and not done:
            self.speed = result.duration / max(0.1, self._clock.monotonic() - began)
        return completed(result, recording)


def completed(result: Transcription, recording: Recording) -> Transcription:
    """The engine's answer with what it does not know itself."""
    versions = {"panotti": __version__, **result.versions}
    return result.model_copy(update={"versions": versions, "incomplete": recording.incomplete})


def tracks_of(recording: Recording, split: Mapping[str, str]) -> list[Track]:
    """What the engine is to hear: each file, or the streams or channels of a single one that are tracks."""
    if len(recording.tracks) > 1 or not split:
        return [Track(path=track.path, label=track.label) for track in recording.tracks]
    return [Track(path=recording.path, label=label, **_part(part)) for label, part in split.items()]


def _part(part: str) -> dict[str, int]:
    """`channel 2`, as the settings count, is the channel with the number 1."""
    kind, number = part.split()
    return {kind: int(number) - 1}
