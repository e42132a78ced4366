"""The engine as plugins reach it."""

from __future__ import annotations

import structlog

from panotti_daemon import __version__
from panotti_daemon.clock import Clock
from panotti_daemon.core.plugins.protocol import OnProgress
from panotti_daemon.engine.client import Engine
from panotti_daemon.engine.messages import Progress
from panotti_daemon.models.recording.models import Recording
from panotti_daemon.models.transcript.models import Transcription

log = structlog.get_logger(__name__)

FIRST_GUESS = 10.0


class LocalTranscriber:
    def __init__(self, engine: Engine, clock: Clock, *, model: str) -> None:
        """`model` is the one for folders whose own is `auto`."""
        self._engine = engine
        self._clock = clock
        self._model = model
        self.speed = FIRST_GUESS
        """Seconds of audio for each second of work, as it was with the last recording."""

    async def transcribe(
        self, recording: Recording, *, language: str, model: str, on_progress: OnProgress
    ) -> Transcription:
        def report(progress: Progress) -> None:
            on_progress(progress.fraction or 0.0, progress.seconds_left)

        log.info("transcribing", recording=recording.id, language=language, model=model)
        began = self._clock.monotonic()
        result = await self._engine.transcribe(
            [(track.path, track.label) for track in recording.tracks],
            language=language,
            model=self._model if model == "auto" else model,
            on_progress=report,
        )
        if result.duration > 1:
            self.speed = result.duration / max(0.1, self._clock.monotonic() - began)
        versions = {"panotti": __version__, **result.versions}
        return result.model_copy(update={"versions": versions, "incomplete": recording.incomplete})
