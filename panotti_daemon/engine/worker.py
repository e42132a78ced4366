"""The engine's process: reads requests from stdin, one at a time does what they ask, and writes messages to stdout.

The main thread only reads, so that a new pace and the end of stdin are seen in the middle of a job. When stdin ends,
the daemon is gone or wants no more: the process ends at once, whatever it is doing. Probing and encoding load FFmpeg
alone; the speech libraries are loaded by the first transcription, or when one is expected.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO

from panotti_daemon.engine.gate import Gate, JobEnded
from panotti_daemon.engine.machine.placement import take_place
from panotti_daemon.engine.messages import (
    Checkpointed,
    Done,
    EncodeRequest,
    ErrorKind,
    Failed,
    Job,
    Line,
    Pace,
    PaceRequest,
    PrepareRequest,
    Probed,
    ProbeRequest,
    Progress,
    Progressed,
    PullRequest,
    Ready,
    Remote,
    Request,
    Stage,
    StopRequest,
    TranscribeRequest,
    parse_request,
    to_line,
)
from panotti_daemon.errors import MediaError, ModelUnavailable, ServerRefused, ServerUnavailable, SourceUnavailable
from panotti_daemon.models.transcript.models import Checkpoint, Transcription
from panotti_daemon.settings.resources import DEFAULT, Resources

if TYPE_CHECKING:
    from panotti_daemon.engine.remote.job import Servers
    from panotti_daemon.engine.whisper.shelf import Shelf
    from panotti_daemon.engine.whisper.transcriber import Transcriber

_QUIET = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
"""ONNX Runtime 1.32 would otherwise keep a device id and send usage reports to its maker, and says so nowhere."""

_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy's other threads would spin for a tenth of a second after each product, on processors that decode meanwhile."""


class Worker:
    """Carries out requests in their order."""

    def __init__(self, send: Callable[[Line], None], resources: Resources = DEFAULT) -> None:
        self._send = send
        self._resources = resources
        self._pace = Pace.FULL
        self._gates: dict[int, Gate] = {}
        """Of the transcriptions that have been asked for, by the request's id."""
        self._requests: SimpleQueue[Job] = SimpleQueue()
        self._shelf: Shelf | None = None
        self._remote: Servers | None = None

    def take(self, request: Request) -> None:
        match request:
            case PaceRequest():
                self._pace = request.pace
                for gate in list(self._gates.values()):
                    gate.keep(request.pace)
            case StopRequest():
                if to_end := self._gates.get(request.id):
                    to_end.end()
            case TranscribeRequest():
                self._gates[request.id] = Gate(self._pace)
                self._requests.put(request)
            case _:
                self._requests.put(request)

    def work(self) -> None:
        while True:
            request = self._requests.get()
            self._send(self._answer(request))

    def _answer(self, request: Job) -> Done | Failed:
        try:
            if isinstance(request, TranscribeRequest):
                return Done(id=request.id, transcription=self._transcribe(request))
            if isinstance(request, EncodeRequest):
                self._encode(request)
            elif isinstance(request, PullRequest):
                self._pull(request)
            elif isinstance(request, PrepareRequest):
                self._open_shelf()
            else:
                self._probe(request)
            return Done(id=request.id)
        except MediaError as error:
            return Failed(id=request.id, error=ErrorKind.MEDIA, message=error.message)
        except ModelUnavailable as error:
            return Failed(id=request.id, error=ErrorKind.MODEL, message=error.message)
        except SourceUnavailable as error:
            return Failed(id=request.id, error=ErrorKind.SOURCE, message=error.message)
        except ServerUnavailable as error:
            return Failed(id=request.id, error=ErrorKind.SERVER, message=error.message)
        except ServerRefused as error:
            return Failed(id=request.id, error=ErrorKind.REFUSED, message=error.message)
        except MemoryError:
            message = "Memory ran out: a smaller model, or fewer `engine.workers`, takes less"
            return Failed(id=request.id, error=ErrorKind.INTERNAL, message=message)
        except JobEnded:
            return Failed(id=request.id, error=ErrorKind.STOPPED, message="It was stopped")
        except Exception as error:
            # Frames, and the words of the libraries' own errors; others may quote what was said in the recording.
            traceback.print_tb(error.__traceback__)
            words = f": {error}" if isinstance(error, RuntimeError | OSError) else ""
            message = f"The engine stumbled over {type(error).__name__}{words}"
            return Failed(id=request.id, error=ErrorKind.INTERNAL, message=message)
        finally:
            self._gates.pop(request.id, None)

    def _probe(self, request: ProbeRequest) -> None:
        from panotti_daemon.engine.media.audio import probe

        for path in request.paths:
            self._send(Probed(id=request.id, probe=probe(path)))

    def _encode(self, request: EncodeRequest) -> None:
        from panotti_daemon.engine.media.encode import encode

        encode(request.source, request.target, request.codec)

    def _pull(self, request: PullRequest) -> None:
        from panotti_daemon.engine.models.store import pull

        def tell(name: str, fraction: float | None) -> None:
            self._send(Progressed(id=request.id, progress=_downloading(name, fraction)))

        pull(request.model, request.models, tell)

    def _transcribe(self, request: TranscribeRequest) -> Transcription:
        def tell(progress: Progress) -> None:
            self._send(Progressed(id=request.id, progress=progress))

        def keep(checkpoint: Checkpoint) -> None:
            self._send(Checkpointed(id=request.id, checkpoint=checkpoint))

        transcriber = self._servers(request.remote) if request.remote else self._model(request, tell)
        return transcriber.transcribe(
            request.tracks, request.settings, done=request.done, gate=self._gates[request.id], tell=tell, keep=keep
        )

    def _model(self, request: TranscribeRequest, tell: Callable[[Progress], None]) -> Transcriber:
        """In memory from one recording to the next."""
        return self._open_shelf().take(
            request.settings.model,
            request.models,
            language=request.settings.language,
            translate=request.settings.task == "translate",
            workers=request.workers,
            on_download=lambda name, fraction: tell(_downloading(name, fraction)),
        )

    def _open_shelf(self) -> Shelf:
        """Loads the speech libraries."""
        from panotti_daemon.engine.whisper.shelf import Shelf

        self._shelf = self._shelf or Shelf(self._resources)
        return self._shelf

    def _servers(self, remote: Remote) -> Servers:
        from panotti_daemon.engine.remote.job import Servers

        if self._remote is None or self._remote.remote != remote:
            self._remote = Servers(remote)
        return self._remote


def _downloading(model: str, fraction: float | None) -> Progress:
    return Progress(stage=Stage.DOWNLOADING, model=model, fraction=fraction)


def _work(worker: Worker) -> None:
    """Without this thread, nobody would be answered any more."""
    try:
        worker.work()
    except BaseException as error:  # a panic of a library in Rust is no Exception
        traceback.print_tb(error.__traceback__)
        os._exit(1)


def _private_stdout() -> BinaryIO:
    """The real stdout. Descriptor 1 becomes stderr, so that a library's print cannot end up among the messages."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "wb")


def _leave_to_the_daemon() -> None:
    """Ctrl-C and the end of a terminal reach the whole group: what they mean is not for this process to say."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def main() -> None:
    os.environ.update(_QUIET | _ONE_THREAD)
    _leave_to_the_daemon()
    resources = Resources.model_validate_json(sys.argv[-1]) if len(sys.argv) > 1 else DEFAULT
    take_place(resources)
    out = _private_stdout()
    lock = threading.Lock()

    def send(line: Line) -> None:
        with lock:
            out.write(to_line(line))
            out.flush()

    worker = Worker(send, resources)
    threading.Thread(target=_work, args=(worker,), daemon=True).start()
    try:
        send(Ready())
        for line in sys.stdin.buffer:
            worker.take(parse_request(line))
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
