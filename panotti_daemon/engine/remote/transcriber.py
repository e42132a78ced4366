"""The servers as plugins reach them, and the choice between them and this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from panotti_daemon.core.plugins.protocol import OnCheckpoint, OnProgress, Transcriber
from panotti_daemon.engine.client import Engine
from panotti_daemon.engine.messages import Progress, Remote
from panotti_daemon.engine.remote.keys import ServerKeys
from panotti_daemon.engine.transcriber import completed, tracks_of
from panotti_daemon.errors import ServerRefused, ServerUnavailable
from panotti_daemon.models.recording.models import Recording
from panotti_daemon.models.transcript.models import Checkpoint, RequestedSettings, Transcription
from panotti_daemon.settings.servers import RemoteSettings

log = structlog.get_logger(__name__)


class RemoteTranscriber:
    """The engine's process finds the speech and sends it; the daemon itself connects to nobody."""

    def __init__(self, engine: Engine, settings: RemoteSettings, keys: ServerKeys) -> None:
        self._engine = engine
        self._settings = settings
        self._keys = keys

    async def transcribe(
        self,
        recording: Recording,
        settings: RequestedSettings,
        *,
        done: Sequence[Checkpoint] = (),
        on_progress: OnProgress,
        on_checkpoint: OnCheckpoint,
    ) -> Transcription:
        """Raises ServerUnavailable and ServerRefused, too."""

        def report(progress: Progress) -> None:
            on_progress(progress.fraction or 0.0, progress.seconds_left)

        remote = Remote(settings=self._settings, keys=await self._keys.all())
        log.info("transcribing by servers", recording=recording.id, resumed=bool(done))
        result = await self._engine.transcribe(
            tracks_of(recording, settings.split),
            settings,
            done=done,
            on_progress=report,
            on_checkpoint=on_checkpoint,
            remote=remote,
        )
        return completed(result, recording)


def choice(
    remote: Transcriber, local: Transcriber, settings: RemoteSettings, stays_here: Callable[[Path], bool]
) -> Transcriber:
    """Without a server in the settings, this machine, whatever happens. `stays_here` says of a file whether it must not
    leave the machine."""
    if not settings.servers:
        return local
    return _Choice(remote, local, stays_here, otherwise_local=settings.otherwise_local)


class _Choice:
    """Servers, but for what stays here; and this machine for what they do not do, if the user wants that."""

    def __init__(
        self, remote: Transcriber, local: Transcriber, stays_here: Callable[[Path], bool], *, otherwise_local: bool
    ) -> None:
        self._remote = remote
        self._local = local
        self._stays_here = stays_here
        self._otherwise_local = otherwise_local

    async def transcribe(
        self,
        recording: Recording,
        settings: RequestedSettings,
        *,
        done: Sequence[Checkpoint] = (),
        on_progress: OnProgress,
        on_checkpoint: OnCheckpoint,
    ) -> Transcription:
        async def by(transcriber: Transcriber) -> Transcription:
            return await transcriber.transcribe(
                recording, settings, done=done, on_progress=on_progress, on_checkpoint=on_checkpoint
            )

        if any(self._stays_here(track.path) for track in recording.tracks):
            return await by(self._local)
        try:
            return await by(self._remote)
        except (ServerUnavailable, ServerRefused) as error:
            if not self._otherwise_local:
                raise
            log.warning("no server transcribes", recording=recording.id, reason=error.message)
            result = await by(self._local)
            warning = f"It was transcribed on this machine, as no server did it ({error.message})"
            return result.model_copy(update={"warnings": (*result.warnings, warning)})
