"""A server that speaks as much of the hub's protocol as a download needs, with the faults of real networks."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REPOSITORY = "Systran/faster-whisper-base"
WEIGHTS = b"weights" * 1_000_000
FILES = {"config.json": b"{}", "model.bin": WEIGHTS, "tokenizer.json": b"{}", "README.md": b"# unwanted"}


class Hub:
    def __init__(self, files: dict[str, bytes] = FILES) -> None:
        self.files = files
        self.sent: dict[str, bytes] = {}
        """What arrives in place of a file that was published."""
        self.sizes: dict[str, int] = {}
        """What is said of a file's size in place of the truth."""
        self.refuses: list[int] = []
        """The status of each next answer to a question for a file."""
        self.is_another_page = False
        """Whatever is asked is answered with it, as by the network of a hotel."""
        self.cut_after: list[int] = []
        """For each next answer with a file: after how many bytes its connection breaks."""
        self.slow = False
        """Weights come so slowly that a download can be broken off."""
        self.asked: list[tuple[str, str | None]] = []
        """Files that were asked for, each with its range."""
        self.url = ""

    def about(self) -> dict[str, object]:
        return {"id": REPOSITORY, "sha": "a" * 40, "siblings": [self._sibling(*file) for file in self.files.items()]}

    def _sibling(self, name: str, content: bytes) -> dict[str, object]:
        size = self.sizes.get(name, len(content))
        git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        about: dict[str, object] = {"rfilename": name, "size": size, "blobId": git}
        if name == "model.bin":
            about["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": size, "pointerSize": 134}
        return about


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            name = path.rpartition("/")[2]
            if hub.is_another_page:
                self._send(b"<html>Welcome! Please log in.</html>")
            elif path == f"/api/models/{REPOSITORY}":
                self._send(json.dumps(hub.about()).encode())
            elif path.startswith(f"/{REPOSITORY}/resolve/") and name in hub.files:
                self._send_file(name)
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def _send_file(self, name: str) -> None:
            content = hub.sent.get(name, hub.files[name])
            wanted = self.headers["Range"]
            hub.asked.append((name, wanted))
            if hub.refuses:
                self._send(b"", hub.refuses.pop(0))
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            limit = hub.cut_after.pop(0) if hub.cut_after else None
            self._send(content[start:], 206 if wanted else 200, limit, slowly=hub.slow and name == "model.bin")

        def _send(self, content: bytes, status: int = 200, limit: int | None = None, slowly: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            for piece in _pieces(content[:limit], 100_000 if slowly else 2**20):
                self.wfile.write(piece)
                time.sleep(0.05 if slowly else 0)
            if limit is not None:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # whoever downloads was ended
                super().handle()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        hub.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


def _pieces(content: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def model_folder(folder: Path) -> Path:
    """As it is once it was downloaded from there."""
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder
