"""The daemon's side of the engine: child processes of one program, started when they are needed.

One transcribes, one probes and one encodes, so that a file that crashes FFmpeg costs no transcription.
Each ends after a time without requests, which is the only way to give its memory back. A transcription that is given up
has a moment to finish its windows in flight; then, and with other requests at once, the process is killed, which is the
only way to stop a decode.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from panotti_daemon.engine.child import Child, Died
from panotti_daemon.engine.messages import (
    Checkpointed,
    Codec,
    EncodeRequest,
    Job,
    Message,
    Pace,
    PrepareRequest,
    Probe,
    Probed,
    ProbeKind,
    ProbeRequest,
    Progress,
    Progressed,
    PullRequest,
    Remote,
    Track,
    TranscribeRequest,
    Workers,
)
from panotti_daemon.errors import EngineError
from panotti_daemon.models.transcript.models import Checkpoint, RequestedSettings, Transcription
from panotti_daemon.settings.resources import DEFAULT, Resources

State = Literal["off", "idle", "working"]

PROBE_IDLE_SECONDS = 30.0
PROBE_SILENCE_SECONDS = 30.0
"""A file that FFmpeg has looked at for so long without an answer has hung it."""
PREPARE_SILENCE_SECONDS = 120.0
"""Libraries that load for so long will not do so this time, and what waits for their process may as well start anew."""
STRIKES = 2
"""A file is to blame when the process dies on it this many times in a row."""


class Engine:
    """Probes files and transcribes recordings, one at a time each."""

    def __init__(
        self,
        *,
        models: Path,
        idle_seconds: float,
        workers: Workers = "auto",
        resources: Resources = DEFAULT,
        python: str = sys.executable,
        probe_silence_seconds: float = PROBE_SILENCE_SECONDS,
    ) -> None:
        self._models = models
        self._workers = workers
        self._probe_silence = probe_silence_seconds
        self._model: str | None = None
        self._held = False
        self._preparing: set[asyncio.Task[None]] = set()
        self._transcriber = Child(python, idle_seconds, resources)
        self._prober = Child(python, min(idle_seconds, PROBE_IDLE_SECONDS), resources)
        self._encoder = Child(python, min(idle_seconds, PROBE_IDLE_SECONDS), resources)
        self._downloader = Child(python, 0.0, resources)

    async def probe(self, paths: Sequence[Path]) -> list[Probe]:
        """What each file is, in the order of `paths`. A file that crashes or hangs FFmpeg is `not_media`.

        Raises:
            EngineError: the engine cannot be started.
        """
        probes: list[Probe] = []

        def collect(message: Message) -> None:
            if isinstance(message, Probed):
                probes.append(message.probe)

        strikes = 0
        while rest := tuple(paths[len(probes) :]):
            try:
                await self._prober.ask(ProbeRequest(id=0, paths=rest), collect, silence=self._probe_silence)
            except (Died, TimeoutError) as error:
                suspect = paths[len(probes)]
                strikes = strikes + 1 if suspect == rest[0] else 1
                if strikes == STRIKES:
                    what = "hangs" if isinstance(error, TimeoutError) else "crashes"
                    message = f"it is damaged: FFmpeg {what} on it"
                    probes.append(Probe(path=suspect, kind=ProbeKind.NOT_MEDIA, message=message))
                    strikes = 0
        return probes

    async def transcribe(
        self,
        tracks: Sequence[Track],
        settings: RequestedSettings,
        *,
        done: Sequence[Checkpoint] = (),
        on_progress: Callable[[Progress], None],
        on_checkpoint: Callable[[Checkpoint], None] = lambda _: None,
        remote: Remote | None = None,
    ) -> Transcription:
        """Goes on behind what is `done`, where the model is the same. Cancelled, it ends within a second.

        Raises:
            MediaError, SourceUnavailable: a track cannot be decoded, for ever or for now.
            ModelUnavailable: there is no such model, or none that knows the language.
            ServerUnavailable, ServerRefused: none of the servers does it, for now or for ever.
            EngineCrashed: the process died.
            EngineError: anything else that went wrong in it.
        """

        def report(message: Message) -> None:
            if isinstance(message, Progressed):
                self._model = message.progress.model
                on_progress(message.progress)
            elif isinstance(message, Checkpointed):
                on_checkpoint(message.checkpoint)

        request = TranscribeRequest(
            id=0,
            tracks=tuple(tracks),
            settings=settings,
            done=tuple(done),
            models=self._models,
            workers=self._workers,
            remote=remote,
        )
        answer = await self._transcriber.ask(request, report)
        if answer.transcription is None:
            raise EngineError("The engine answered without a transcription")
        return answer.transcription

    def expect(self) -> None:
        """A recording may come soon: the processes for it start meanwhile, unless nothing is to be transcribed."""
        if self._held:
            return
        requests: dict[Child, Job] = {
            self._prober: ProbeRequest(id=0, paths=()),
            self._transcriber: PrepareRequest(id=0),
        }
        for child, request in requests.items():
            if child.pid is None and not child.working:
                task = asyncio.create_task(_prepared(child, request))
                self._preparing.add(task)
                task.add_done_callback(self._preparing.discard)

    async def encode(self, source: Path, target: Path, codec: Codec) -> None:
        """Writes the sound of `source` to a new file and verifies it; cancelling it leaves the file half written.

        Raises:
            MediaError: it cannot be done without a loss, or the file is damaged.
            SourceUnavailable, EngineError: it failed this time, as on a full disk.
        """
        await self._encoder.ask(EncodeRequest(id=0, source=source, target=target, codec=codec), lambda _: None)

    async def pull(self, model: str, *, on_progress: Callable[[Progress], None]) -> None:
        """Downloads a model; what has arrived when it is cancelled is kept. Raises ModelUnavailable, EngineError."""

        def report(message: Message) -> None:
            if isinstance(message, Progressed):
                on_progress(message.progress)

        await self._downloader.ask(PullRequest(id=0, model=model, models=self._models), report)

    def keep_pace(self, pace: Pace) -> None:
        """In transcribing, from now on, and by a process that is started later, too."""
        self._held = pace is Pace.HELD
        self._transcriber.keep_pace(pace)

    async def close(self) -> None:
        """Ends all processes; what they were doing is lost."""
        await asyncio.gather(*(child.close() for child in self._children), *self._preparing)

    @property
    def state(self) -> State:
        if any(child.working for child in self._children):
            return "working"
        return "idle" if self.pids else "off"

    @property
    def model(self) -> str | None:
        """The model that was used last, by name."""
        return self._model

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self._children if child.pid is not None]

    @property
    def _children(self) -> tuple[Child, ...]:
        return self._transcriber, self._prober, self._encoder, self._downloader


async def _prepared(child: Child, request: Job) -> None:
    with contextlib.suppress(EngineError, TimeoutError):  # whoever needs it next is told
        await child.ask(request, lambda _: None, silence=PREPARE_SILENCE_SECONDS)
