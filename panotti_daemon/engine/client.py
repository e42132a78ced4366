"""The daemon's side of the engine: child processes of one program, started when they are needed.

One transcribes, one probes and one encodes, so that a file that crashes FFmpeg costs no transcription.
Each ends after a time without requests, which is the only way to give its memory back; giving up a request kills its
process, which is the only way to stop a decode.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import structlog

from panotti_daemon.engine.messages import (
    Codec,
    Done,
    EncodeRequest,
    ErrorKind,
    Failed,
    Line,
    Message,
    Pace,
    PaceRequest,
    Probe,
    Probed,
    ProbeKind,
    ProbeRequest,
    Progress,
    Progressed,
    Track,
    TranscribeRequest,
    Workers,
    parse_message,
    to_line,
)
from panotti_daemon.errors import (
    EngineCrashed,
    EngineError,
    MediaError,
    ModelUnavailable,
    PanottiError,
    SourceUnavailable,
)
from panotti_daemon.models.transcript.models import Transcription

log = structlog.get_logger(__name__)

State = Literal["off", "idle", "working"]

_ERRORS: dict[ErrorKind, type[PanottiError]] = {
    ErrorKind.MEDIA: MediaError,
    ErrorKind.MODEL: ModelUnavailable,
    ErrorKind.SOURCE: SourceUnavailable,
    ErrorKind.INTERNAL: EngineError,
}

PROBE_IDLE_SECONDS = 30.0
PROBE_SILENCE_SECONDS = 30.0
"""A file that FFmpeg has looked at for so long without an answer has hung it."""
STRIKES = 2
"""A file is to blame when the process dies on it this many times in a row."""

_START_SECONDS = 60.0
_LINE_LIMIT = 256 * 2**20
"""A transcription is one line: some 250 bytes a sentence, and nobody speaks for a month."""
_STDERR_KEPT = 2000
_READ_SIZE = 65536

if sys.platform == "win32":
    _CREATION_FLAGS = subprocess.CREATE_NO_WINDOW
else:
    _CREATION_FLAGS = 0


class Engine:
    """Probes files and transcribes recordings, one at a time each."""

    def __init__(
        self,
        *,
        models: Path,
        idle_seconds: float,
        workers: Workers = "auto",
        python: str = sys.executable,
        probe_silence_seconds: float = PROBE_SILENCE_SECONDS,
    ) -> None:
        self._models = models
        self._workers = workers
        self._probe_silence = probe_silence_seconds
        self._model: str | None = None
        self._transcriber = _Child(python, idle_seconds)
        self._prober = _Child(python, min(idle_seconds, PROBE_IDLE_SECONDS))
        self._encoder = _Child(python, min(idle_seconds, PROBE_IDLE_SECONDS))

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
            except (_Died, TimeoutError) as error:
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
        tracks: Sequence[tuple[Path, str | None]],
        *,
        language: str,
        model: str,
        on_progress: Callable[[Progress], None],
    ) -> Transcription:
        """Cancelling it kills the process.

        Raises:
            MediaError, SourceUnavailable: a track cannot be decoded, for ever or for now.
            ModelUnavailable: there is no such model, or none that knows the language.
            EngineCrashed: the process died.
            EngineError: anything else that went wrong in it.
        """

        def report(message: Message) -> None:
            if isinstance(message, Progressed):
                self._model = message.progress.model
                on_progress(message.progress)

        request = TranscribeRequest(
            id=0,
            tracks=tuple(Track(path=path, label=label) for path, label in tracks),
            language=language,
            model=model,
            models=self._models,
            workers=self._workers,
        )
        done = await self._transcriber.ask(request, report)
        if done.transcription is None:
            raise EngineError("The engine answered without a transcription")
        return done.transcription

    async def encode(self, source: Path, target: Path, codec: Codec) -> None:
        """Writes the sound of `source` to a new file and verifies it; cancelling it leaves the file half written.

        Raises:
            MediaError: it cannot be done without a loss, or the file is damaged.
            SourceUnavailable, EngineError: it failed this time, as on a full disk.
        """
        await self._encoder.ask(EncodeRequest(id=0, source=source, target=target, codec=codec), lambda _: None)

    def keep_pace(self, pace: Pace) -> None:
        """In transcribing, from now on, and by a process that is started later, too."""
        self._transcriber.keep_pace(pace)

    async def close(self) -> None:
        """Ends all processes; what they were doing is lost."""
        await asyncio.gather(*(child.close() for child in self._children))

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
    def _children(self) -> tuple[_Child, _Child, _Child]:
        return self._transcriber, self._prober, self._encoder


class _Child:
    """One of the engine's processes, which is there only while it is of use."""

    def __init__(self, python: str, idle_seconds: float) -> None:
        self._python = python
        self._idle_seconds = idle_seconds
        self._process: _Process | None = None
        self._lock = asyncio.Lock()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._last_id = 0
        self._pace = Pace.FULL
        self._closed = False

    @property
    def working(self) -> bool:
        return self._lock.locked()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.alive else None

    async def ask(
        self,
        request: ProbeRequest | TranscribeRequest | EncodeRequest,
        on_message: Callable[[Message], None],
        *,
        silence: float | None = None,
    ) -> Done:
        """Waits for its turn; `on_message` is given what comes before the answer.

        Raises:
            TimeoutError: nothing came for `silence` seconds.
        """
        async with self._lock:
            self._stop_idle_timer()
            message: Message | None = None
            try:
                process = await self._running_process()
                self._last_id += 1
                process.send(request.model_copy(update={"id": self._last_id}))
                while not isinstance(message := await process.receive(silence), Done | Failed):
                    on_message(message)
            finally:
                if isinstance(message, Done | Failed):
                    self._start_idle_timer()
                else:
                    self._kill()
                    await self._all_ended()
        if isinstance(message, Failed):
            raise _ERRORS[message.error](message.message)
        return message

    def keep_pace(self, pace: Pace) -> None:
        self._pace = pace
        if self._process is not None:
            self._process.send(PaceRequest(pace=pace))

    async def close(self) -> None:
        self._closed = True
        self._stop_idle_timer()
        self._kill()
        await self._all_ended()

    async def _running_process(self) -> _Process:
        if self._closed:
            raise EngineError("Panotti is stopping")
        if self._process is None or not self._process.alive:
            self._kill()
            await self._all_ended()
            self._process = await _Process.start(self._python)
            await self._process.ready()
            if self._pace is not Pace.FULL:
                self._process.send(PaceRequest(pace=self._pace))
        return self._process

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            task = asyncio.get_running_loop().create_task(process.ended())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _all_ended(self) -> None:
        if self._ending:
            await asyncio.wait(self._ending)

    def _start_idle_timer(self) -> None:
        if not self._closed:
            self._idle_timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._kill)

    def _stop_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None


class _Died(EngineCrashed):
    """The engine crashed"""


class _Process:
    """A started process and its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._stdin = process.stdin
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._last_words = b""
        self._readers = [
            asyncio.create_task(self._read_lines(process.stdout)),
            asyncio.create_task(self._read_last_words(process.stderr)),
        ]

    @classmethod
    async def start(cls, python: str) -> _Process:
        try:
            process = await asyncio.create_subprocess_exec(
                python,
                "-P",  # a module of the folder that the daemon was started in must not stand in for a library
                "-m",
                "panotti_daemon.engine.worker",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                limit=_LINE_LIMIT,
                creationflags=_CREATION_FLAGS,
            )
        except OSError as error:
            raise EngineCrashed(f"The engine cannot be started: {error}") from error
        log.debug("engine.started", pid=process.pid)
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ready(self) -> None:
        try:
            await self.receive(_START_SECONDS)
        except (_Died, TimeoutError) as error:
            raise EngineCrashed("The engine cannot be started; `panotti doctor` may know why") from error

    def send(self, line: Line) -> None:
        self._stdin.write(to_line(line))

    async def receive(self, silence: float | None) -> Message:
        async with asyncio.timeout(silence):
            line = await self._lines.get()
        if line.endswith(b"\n"):
            return parse_message(line)
        await self.ended()
        log.debug("engine.died", pid=self.pid, stderr=self._last_words.decode(errors="replace"))
        raise _Died(_cause_of_death(self._process.returncode or 0))

    def kill(self) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        self._stdin.close()

    async def ended(self) -> None:
        """Waits until nothing is left of the process and its pipes."""
        await self._process.wait()
        await asyncio.wait(self._readers)

    async def _read_lines(self, stdout: asyncio.StreamReader) -> None:
        line = b"\n"
        while line.endswith(b"\n"):
            line = await stdout.readline()
            self._lines.put_nowait(line)

    async def _read_last_words(self, stderr: asyncio.StreamReader) -> None:
        while said := await stderr.read(_READ_SIZE):
            self._last_words = (self._last_words + said)[-_STDERR_KEPT:]


def _cause_of_death(status: int) -> str:
    if status >= 0:
        return f"The engine ended with exit status {status} in the middle of its work"
    name = signal.Signals(-status).name
    if name == "SIGKILL":
        return "The engine was killed (SIGKILL), possibly because memory ran out"
    return f"The engine was ended by {name}"
