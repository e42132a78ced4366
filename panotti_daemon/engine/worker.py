"""The engine's process: reads requests from stdin, one at a time does what they ask, and writes messages to stdout.

The main thread only reads, so that a new pace and the end of stdin are seen in the middle of a job. When stdin ends,
the daemon is gone or wants no more: the process ends at once, whatever it is doing. Probing and encoding load FFmpeg
alone; the speech libraries are loaded by the first transcription.
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

from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.messages import (
    Done,
    EncodeRequest,
    ErrorKind,
    Failed,
    Line,
    PaceRequest,
    Probed,
    ProbeRequest,
    Progress,
    Progressed,
    Ready,
    Request,
    Stage,
    TranscribeRequest,
    parse_request,
    to_line,
)
from panotti_daemon.errors import MediaError, ModelUnavailable, SourceUnavailable
from panotti_daemon.models.transcript.models import Transcription

if TYPE_CHECKING:
    from panotti_daemon.engine.whisper import Transcriber

_NICENESS = 10

_QUIET = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
"""ONNX Runtime 1.32 would otherwise keep a device id and send usage reports to its maker, and says so nowhere."""


class Worker:
    """Carries out requests in their order."""

    def __init__(self, send: Callable[[Line], None]) -> None:
        self._send = send
        self._gate = Gate()
        self._requests: SimpleQueue[ProbeRequest | TranscribeRequest | EncodeRequest] = SimpleQueue()
        self._transcriber: Transcriber | None = None

    def take(self, request: Request) -> None:
        match request:
            case PaceRequest():
                self._gate.keep(request.pace)
            case _:
                self._requests.put(request)

    def work(self) -> None:
        while True:
            request = self._requests.get()
            self._send(self._answer(request))

    def _answer(self, request: ProbeRequest | TranscribeRequest | EncodeRequest) -> Done | Failed:
        try:
            if isinstance(request, TranscribeRequest):
                return Done(id=request.id, transcription=self._transcribe(request))
            if isinstance(request, EncodeRequest):
                self._encode(request)
            else:
                self._probe(request)
            return Done(id=request.id)
        except MediaError as error:
            return Failed(id=request.id, error=ErrorKind.MEDIA, message=error.message)
        except ModelUnavailable as error:
            return Failed(id=request.id, error=ErrorKind.MODEL, message=error.message)
        except SourceUnavailable as error:
            return Failed(id=request.id, error=ErrorKind.SOURCE, message=error.message)
        except Exception as error:
            # Frames, and the words of the libraries' own errors; others may quote what was said in the recording.
            traceback.print_tb(error.__traceback__)
            words = f": {error}" if isinstance(error, RuntimeError | OSError) else ""
            message = f"The engine stumbled over {type(error).__name__}{words}"
            return Failed(id=request.id, error=ErrorKind.INTERNAL, message=message)

    def _probe(self, request: ProbeRequest) -> None:
        from panotti_daemon.engine.audio import probe

        for path in request.paths:
            self._send(Probed(id=request.id, probe=probe(path)))

    def _encode(self, request: EncodeRequest) -> None:
        from panotti_daemon.engine.encode import encode

        encode(request.source, request.target, request.codec)

    def _transcribe(self, request: TranscribeRequest) -> Transcription:
        from panotti_daemon.engine.downloaded import note_use
        from panotti_daemon.engine.model_store import resolve
        from panotti_daemon.engine.whisper import Transcriber, worker_count

        def tell(progress: Progress) -> None:
            self._send(Progressed(id=request.id, progress=progress))

        def on_download(name: str, fraction: float | None) -> None:
            tell(Progress(stage=Stage.DOWNLOADING, model=name, fraction=fraction))

        model = resolve(request.model, request.models, language=request.language, on_progress=on_download)
        note_use(model, request.models)
        workers = worker_count(request.workers)
        transcriber = self._transcriber
        if transcriber is None or (transcriber.model, transcriber.workers) != (model, workers):
            self._transcriber = transcriber = None  # the old one gives its memory back before the new one takes some
            self._transcriber = transcriber = Transcriber(model, workers)
        return transcriber.transcribe(request.tracks, request.language, tell, self._gate)


def _step_back() -> None:
    """Whatever else runs on this machine goes first."""
    if sys.platform == "win32":
        import psutil

        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        os.nice(_NICENESS)


def _private_stdout() -> BinaryIO:
    """The real stdout. Descriptor 1 becomes stderr, so that a library's print cannot end up among the messages."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "wb")


def main() -> None:
    os.environ.update(_QUIET)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the daemon decides what it means
    _step_back()
    out = _private_stdout()
    lock = threading.Lock()

    def send(line: Line) -> None:
        with lock:
            out.write(to_line(line))
            out.flush()

    worker = Worker(send)
    threading.Thread(target=worker.work, daemon=True).start()
    try:
        send(Ready())
        for line in sys.stdin.buffer:
            worker.take(parse_request(line))
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
