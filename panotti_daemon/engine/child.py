"""One of the engine's processes, which is there only while it is of use, and its pipes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import structlog
from pydantic import ValidationError

from panotti_daemon.engine.machine.placement import OUT_OF_MEMORY
from panotti_daemon.engine.messages import (
    Done,
    ErrorKind,
    Failed,
    Job,
    Line,
    Message,
    Pace,
    PaceRequest,
    StopRequest,
    TranscribeRequest,
    parse_message,
    to_line,
)
from panotti_daemon.errors import (
    EngineCrashed,
    EngineError,
    MediaError,
    ModelUnavailable,
    PanottiError,
    ServerRefused,
    ServerUnavailable,
    SourceUnavailable,
)
from panotti_daemon.settings.resources import DEFAULT, Resources

log = structlog.get_logger(__name__)

_ERRORS: dict[ErrorKind, type[PanottiError]] = {
    ErrorKind.MEDIA: MediaError,
    ErrorKind.MODEL: ModelUnavailable,
    ErrorKind.SOURCE: SourceUnavailable,
    ErrorKind.SERVER: ServerUnavailable,
    ErrorKind.REFUSED: ServerRefused,
    ErrorKind.STOPPED: EngineError,
    ErrorKind.INTERNAL: EngineError,
}

STOP_SECONDS = 0.8
"""For the windows in flight, when a transcription is given up; then its process is killed."""

_START_SECONDS = 60.0
_LINE_LIMIT = 256 * 2**20
"""A transcription is one line: some 250 bytes a sentence, and nobody speaks for a month."""
_STDERR_KEPT = 2000
_READ_SIZE = 65536

_KEEPS_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
}
"""glibc would give blocks of 32 MB back to the system at once. Attention over a window takes two of them in each layer,
and to be given cleared pages again and again took a quarter of the encoder's time. Other systems do not read this."""

if sys.platform == "win32":
    _CREATION_FLAGS = subprocess.CREATE_NO_WINDOW
else:
    _CREATION_FLAGS = 0


class Child:
    """One of the engine's processes, which is there only while it is of use."""

    def __init__(self, python: str, idle_seconds: float, resources: Resources = DEFAULT) -> None:
        self._python = python
        self._resources = resources
        self._idle_seconds = idle_seconds
        self._process: Process | None = None
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
        request: Job,
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
            message: Done | Failed | None = None
            try:
                process = await self._running_process()
                self._last_id += 1
                process.send(request.model_copy(update={"id": self._last_id}))
                try:
                    message = await _answer(process, on_message, silence)
                except asyncio.CancelledError:
                    if isinstance(request, TranscribeRequest):
                        process.send(StopRequest(id=self._last_id))
                        with contextlib.suppress(TimeoutError, EngineError):
                            async with asyncio.timeout(STOP_SECONDS):
                                message = await _answer(process, on_message, None)
                    raise
            finally:
                if message:
                    self._start_idle_timer()
                else:
                    self._kill()  # the next job waits for its end; this one may have to be given up in time
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
        async with self._lock:  # until who is starting a process just now has seen that none is wanted
            await self._all_ended()

    async def _running_process(self) -> Process:
        self._refuse_if_closed()
        if self._process is None or not self._process.alive:
            self._kill()
            await self._all_ended()
            self._process = await Process.start(self._python, self._resources)
            self._refuse_if_closed()
            await self._process.ready()
            if self._pace is not Pace.FULL:
                self._process.send(PaceRequest(pace=self._pace))
        return self._process

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise EngineError("Panotti is stopping")

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


async def _answer(process: Process, on_message: Callable[[Message], None], silence: float | None) -> Done | Failed:
    while True:
        message = await process.receive(silence)
        if isinstance(message, Done | Failed):
            return message
        on_message(message)


class Died(EngineCrashed):
    """The engine crashed"""


class Process:
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
    async def start(cls, python: str, resources: Resources) -> Process:
        try:
            process = await asyncio.create_subprocess_exec(
                python,
                "-P",  # a module of the folder that the daemon was started in must not stand in for a library
                "-m",
                "panotti_daemon.engine.worker",
                resources.model_dump_json(include=set(Resources.model_fields)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                limit=_LINE_LIMIT,
                env={**os.environ, **_KEEPS_MEMORY},
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
        except (EngineError, TimeoutError) as error:
            raise EngineCrashed("The engine cannot be started; `panotti doctor` may know why") from error

    def send(self, line: Line) -> None:
        self._stdin.write(to_line(line))

    async def receive(self, silence: float | None) -> Message:
        async with asyncio.timeout(silence):
            line = await self._lines.get()
        if not line.endswith(b"\n"):
            await self.ended()
            log.debug("engine.died", pid=self.pid, stderr=self._last_words.decode(errors="replace"))
            raise Died(_cause_of_death(self._process.returncode or 0))
        try:
            return parse_message(line)
        except ValidationError as error:
            raise EngineError(
                "The engine answers what this daemon does not understand: if Panotti was updated, restart it"
            ) from error

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
            try:
                line = await stdout.readline()
            except ValueError:  # beyond the limit
                line = b""
                self.kill()
            self._lines.put_nowait(line)

    async def _read_last_words(self, stderr: asyncio.StreamReader) -> None:
        while said := await stderr.read(_READ_SIZE):
            self._last_words = (self._last_words + said)[-_STDERR_KEPT:]


def _cause_of_death(status: int) -> str:
    if status == OUT_OF_MEMORY:
        return (
            "The engine needed more memory than `engine.memory_megabytes` allows: raise it, or choose a smaller model "
            "or fewer `engine.workers`"
        )
    if status >= 0:
        return f"The engine ended with exit status {status} in the middle of its work"
    name = signal.Signals(-status).name
    if name == "SIGKILL":
        return "The engine was killed (SIGKILL), possibly because memory ran out"
    return f"The engine was ended by {name}"
