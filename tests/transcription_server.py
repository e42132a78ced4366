"""A server of other people's kind, as a process of its own: speaks `/v1/audio/transcriptions`, and fails as it is told.

    with TranscriptionServer(tmp_path, "broken", "fine") as server: ...

The first request is answered in the first way, the last way goes for all that come later.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SECONDS = 2.0
TEXT = "Good morning."
SAYS = {"error": {"message": "no thanks,\nnot this one", "type": "invalid_request_error"}}


class TranscriptionServer:
    def __init__(self, folder: Path, *ways: str, port: int = 0) -> None:
        self._ways = ways or ("fine",)
        self._heard = folder / f"heard-{time.monotonic_ns()}.jsonl"
        self._port = port
        self.url = ""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.transcription_server", str(self._heard), str(self._port), *self._ways]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
        assert self._process.stdout
        self._port = int(self._process.stdout.readline())
        self.url = f"http://{self.name}/v1"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What came, in its order: when, path, headers in small letters, fields of the form, the file's facts."""
        lines = self._heard.read_text().splitlines() if self._heard.exists() else []
        return [json.loads(line) for line in lines]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self.server.note({"path": self.path, "headers": self._headers})
        self._send({"data": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form, file = _parts(body, self.headers["Content-Type"].partition("boundary=")[2].encode())
        way = self.server.next_way(
            {
                "time": time.monotonic(),
                "path": self.path,
                "headers": self._headers,
                "form": form,
                "file": {"name": file["name"], "type": file["type"], "size": len(file["content"])},
            }
        )
        if way.startswith("to:"):
            self._send({}, 307, {"Location": f"{way.removeprefix('to:')}/audio/transcriptions"})
        else:
            getattr(self, f"_{way}")(form, file)

    @property
    def _headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def _fine(self, form: Mapping[str, list[str]], file: Mapping[str, Any]) -> None:
        said = {"avg_logprob": -0.2, "no_speech_prob": 0.01, "compression_ratio": 1.1}
        words = [{"word": "Good", "start": 0.0, "end": 0.8}, {"word": "morning", "start": 0.8, "end": 1.7}]
        answer = {
            "task": "transcribe",
            "language": "english",
            "duration": SECONDS,
            "text": TEXT,
            "segments": [{"id": 0, "seek": 0, "start": 0.0, "end": SECONDS, "text": f" {TEXT}", **said}],
        }
        self._send(answer if "timestamp_granularities[]" not in form else {**answer, "words": words})

    def _whisper(self, form: Mapping[str, list[str]], file: Mapping[str, Any]) -> None:
        """As it is in earnest, with the model that Panotti's starter has."""
        from faster_whisper import WhisperModel

        from panotti_daemon.engine.models.store import resolve

        model = WhisperModel(str(resolve("tiny.en", Path(), download=False).path), device="cpu", compute_type="int8")
        found, _ = model.transcribe(BytesIO(file["content"]), language="en", beam_size=1)
        segments = [{"start": s.start, "end": s.end, "text": s.text, "avg_logprob": s.avg_logprob} for s in found]
        text = "".join(str(segment["text"]) for segment in segments)
        self._send({"language": "english", "text": text, "segments": segments})

    def _text(self, *_: object) -> None:
        self._send({"text": TEXT})

    def _nothing(self, *_: object) -> None:
        self._send({"text": "", "language": "english", "segments": []})

    def _slow(self, form: Mapping[str, list[str]], file: Mapping[str, Any]) -> None:
        time.sleep(0.5)
        self._fine(form, file)

    def _hang(self, *_: object) -> None:
        time.sleep(3600)

    def _cut(self, *_: object) -> None:
        self._head(200, {"Content-Length": "1000"})
        self.wfile.write(b'{"text": "Good')
        self.close_connection = True

    def _busy(self, *_: object) -> None:
        self._send({"error": {"message": "too many"}}, 429, {"Retry-After": "1"})

    def _busy_for_hours(self, *_: object) -> None:
        self._send({"error": {"message": "come back later"}}, 429, {"Retry-After": "7200"})

    def _broken(self, *_: object) -> None:
        self._send({"detail": "CUDA out of memory"}, 500)

    def _stranger(self, *_: object) -> None:
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self._send({"error": {"message": f"Incorrect API key provided: {key}"}}, 401)

    def _echo(self, *_: object) -> None:
        self.send_response(403, f"No {self.headers.get('Authorization')}, {'no ' * 1000}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _refuse(self, *_: object) -> None:
        self._send(SAYS, 400)

    def _deep(self, *_: object) -> None:
        self._send("[" * 100_000, 400)

    def _rubbish(self, *_: object) -> None:
        self._send("<html>Good morning</html>")

    def _huge(self, *_: object) -> None:
        self._head(200, {"Connection": "close"})
        while True:
            self.wfile.write(b" " * 65536)

    def _trickle(self, *_: object) -> None:
        self._head(200, {"Connection": "close"})
        while True:
            self.wfile.write(b" ")
            time.sleep(0.05)

    def _full(self, *_: object) -> None:
        self._send({"detail": "25 MB at most"}, 413)

    def _misfit(self, form: Mapping[str, list[str]], file: Mapping[str, Any]) -> None:
        """As FastAPI has it, which repeats what it was given."""
        self._send({"detail": [{"loc": ["body", "prompt"], "msg": "Too long", "input": form["prompt"]}]}, 422)

    def _rant(self, *_: object) -> None:
        self._send({"error": {"message": "\x1b[31m no" * 1000}}, 422)

    def _send(self, answer: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self._head(status, {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})})
        self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, heard: Path, port: int, ways: list[str]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self._heard = heard
        self._ways = ways

    def note(self, request: Mapping[str, Any]) -> None:
        with self._heard.open("a") as heard:
            heard.write(f"{json.dumps(request)}\n")

    def next_way(self, request: Mapping[str, Any]) -> str:
        self.note(request)
        return self._ways.pop(0) if len(self._ways) > 1 else self._ways[0]

    def handle_error(self, *_: object) -> None:
        """Clients that break off are what some tests are about."""


def _parts(body: bytes, boundary: bytes) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """The fields of a form, and its file."""
    form: dict[str, list[str]] = {}
    file: dict[str, Any] = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        said = dict(piece.split("=", 1) for piece in head.decode().replace("\r\n", "; ").split("; ") if "=" in piece)
        name = said["name"].strip('"')
        if "filename" in said:
            media_type = head.decode().partition("Content-Type: ")[2].partition("\r\n")[0]
            file = {"name": said["filename"].strip('"'), "type": media_type, "content": content}
        else:
            form.setdefault(name, []).append(content.decode())
    return form, file


if __name__ == "__main__":
    server = _Server(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
    print(server.server_address[1], flush=True)
    server.serve_forever()
