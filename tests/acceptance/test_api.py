"""The HTTP API as its users meet it: every route, with a daemon that does the real work behind it."""

from __future__ import annotations

import json
import re
import shutil
import sys
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import srt
import webvtt

from panotti_daemon.api.app import create_app
from panotti_daemon.api.schemas import Activity, Status
from panotti_daemon.choices import FileState, Format
from tests.daemon import PATIENCE, Panotti, wait_until
from tests.speech import SAMPLE, librivox_sentences, word_error_rate

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "api.md"
OPENAPI = create_app().openapi()
OPERATIONS = [
    pytest.param(method, path, operation, id=f"{method} {path}")
    for path, operations in OPENAPI["paths"].items()
    for method, operation in operations.items()
]
MOST_MEMORY = 75 * 2**20
SENTENCE, WORDS = next(iter(librivox_sentences().items()))
MEDIA_TYPES = {
    Format.TXT: "text/plain; charset=utf-8",
    Format.SRT: "application/x-subrip",
    Format.VTT: "text/vtt; charset=utf-8",
    Format.JSON: "application/json",
    Format.MD: "text/markdown; charset=utf-8",
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panotti]:
    """It has transcribed one sentence, failed at none, and asks about two files that were there before it."""
    home = tmp_path_factory.mktemp("api") / "home"
    old = home / "old"
    old.mkdir(parents=True)
    for number in range(2):
        silence(old / f"old{number}.wav", seconds=number + 1)
    settings = {
        "watch": [{"path": str(home / "in"), "settle_seconds": 0.5}, {"path": str(old)}],
        "backlog_limit": 1,
        "engine": {"idle_seconds": 1},
    }
    (home / "in").mkdir()
    with Panotti(home, settings) as daemon:
        daemon.wait_for(dropped(daemon, "sentence.wav"), FileState.DONE)
        yield daemon


def silence(path: Path, seconds: float) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(int(seconds * 16_000) * 2))
    return path


def dropped(daemon: Panotti, name: str, seconds: float | None = None) -> Path:
    """A recording in the watched folder: the sentence, or that many seconds of silence."""
    target = daemon.home / "in" / name
    if seconds is None:
        shutil.copy(SENTENCE, target)
    else:
        silence(target, seconds)
    return target


def sentence(daemon: Panotti) -> str:
    recording_id = daemon.explain(daemon.home / "in" / "sentence.wav").recording_id
    assert recording_id
    return recording_id


@contextmanager
def paused(daemon: Panotti) -> Iterator[None]:
    daemon.post("/pause", {})
    try:
        yield
    finally:
        daemon.post("/resume")


@contextmanager
def event_stream(daemon: Panotti, patience: float = 30) -> Iterator[Iterator[str]]:
    """The lines of the event stream."""
    runtime = daemon.runtime
    headers = {"Authorization": f"Bearer {runtime.token}"}
    with (
        httpx2.Client(trust_env=False, timeout=patience) as client,
        client.stream("GET", f"{runtime.url}/api/v1/events", headers=headers) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        yield response.iter_lines()


def next_status(lines: Iterator[str]) -> Status:
    for line in lines:
        if line.startswith("data:"):
            return Status.model_validate_json(line.removeprefix("data:"))
    raise AssertionError("the stream has ended")


def test_the_daemon_says_that_it_lives_and_that_it_is_ready(daemon: Panotti) -> None:
    assert daemon.get("/health/live") == {"status": "alive"}
    assert daemon.get("/health/ready") == {"status": "ready"}


def test_the_status_tells_who_the_daemon_is_and_what_it_has_done(daemon: Panotti) -> None:
    status = daemon.status()
    assert daemon.process
    assert status.pid == daemon.process.pid
    assert status.url == daemon.runtime.url
    assert [Path(folder.path).name for folder in status.folders] == ["in", "old"]
    assert {plugin.name: plugin.state for plugin in status.plugins}["transcription_local"] == "running"
    assert [recent.title for recent in status.recent][-1] == "sentence"
    assert Path(status.recent[-1].path or "").is_file()


def test_a_recording_is_shown_with_its_files_outputs_and_settings(daemon: Panotti) -> None:
    recording = daemon.recording(sentence(daemon))
    assert recording.title == "sentence"
    assert recording.state is FileState.DONE
    assert recording.model == "tiny.en"
    assert [Path(file.path).name for file in recording.files] == ["sentence.wav"]
    assert {(output.format, output.present) for output in recording.outputs} == {
        ("txt", True),
        ("srt", True),
        ("json", True),
    }


@pytest.mark.parametrize("format", Format)
def test_a_transcript_comes_in_every_format_with_its_content_type(
    daemon: Panotti, format: Format, tmp_path: Path
) -> None:
    response = daemon.request("GET", f"/recordings/{sentence(daemon)}/transcript.{format.value}")
    assert response.status_code == 200
    assert response.headers["content-type"] == MEDIA_TYPES[format]
    text = response.text
    match format:
        case Format.TXT:
            assert word_error_rate(WORDS, text) <= 0.2
        case Format.SRT:
            assert list(srt.parse(text, ignore_errors=False))
        case Format.VTT:
            file = tmp_path / "transcript.vtt"
            file.write_text(text, encoding="utf-8")
            assert webvtt.read(str(file)).captions
        case Format.JSON:
            assert json.loads(text)["segments"]
        case Format.MD:
            assert text.startswith("#")


def test_lists_come_in_pages_that_join_to_the_whole(daemon: Panotti) -> None:
    daemon.wait_for(dropped(daemon, "page.wav", seconds=2))
    for route, key in (("/recordings", "id"), ("/ledger", "path")):
        everything = daemon.get(route)
        assert everything["total"] == len(everything["items"]) >= 2
        assert everything["next_offset"] is None
        collected: list[Any] = []
        offset: int | None = 0
        while offset is not None:
            page = daemon.get(route, params={"limit": 1, "offset": offset})
            assert page["total"] == everything["total"]
            collected += page["items"]
            offset = page["next_offset"]
        assert [item[key] for item in collected] == [item[key] for item in everything["items"]]
        beyond = daemon.get(route, params={"offset": 1000})
        assert (beyond["items"], beyond["next_offset"]) == ([], None)


@pytest.mark.parametrize("route", ["/recordings", "/ledger"])
def test_lists_can_be_of_one_state(daemon: Panotti, route: str) -> None:
    for state in FileState:
        page = daemon.get(route, params={"state": state.value, "limit": 1000})
        assert {item["state"] for item in page["items"]} <= {state.value}
        assert page["total"] == len(page["items"])
    assert daemon.get(route, params={"state": "done"})["total"] >= 1


def test_a_file_is_explained_whether_or_not_panotti_knows_it(daemon: Panotti) -> None:
    known = daemon.explain(daemon.home / "in" / "sentence.wav")
    assert (known.state, known.present) == (FileState.DONE, True)
    assert known.reason
    for path, reason in (
        (daemon.home / "in" / "nobody.wav", "no such file"),
        (SAMPLE, "no watched folder"),
        (daemon.home / "in", "folder"),
        (daemon.home / "in" / ".." / "in" / "nobody.wav", "no such file"),
    ):
        unknown = daemon.explain(path)
        assert (unknown.state, unknown.recording_id) == (FileState.IGNORED, None)
        assert reason in unknown.reason
    transcript = next(o.path for o in daemon.recording(sentence(daemon)).outputs)
    assert "transcript of sentence" in daemon.explain(Path(transcript)).reason


def test_what_waits_can_be_cancelled_tried_again_and_taken_first(daemon: Panotti) -> None:
    with paused(daemon):
        first, second = dropped(daemon, "first.wav", seconds=11), dropped(daemon, "second.wav", seconds=12)
        for path in (first, second):
            daemon.wait_for(path, FileState.READY)
        recording = daemon.explain(first).recording_id
        assert daemon.post(f"/recordings/{recording}/cancel") == {"count": 1}
        assert daemon.explain(first).state is FileState.CANCELLED
        assert daemon.post(f"/recordings/{recording}/cancel") == {"count": 0}
        assert daemon.post(f"/recordings/{recording}/retry") == {"count": 1}
        daemon.wait_for(first, FileState.READY)
        assert daemon.post(f"/recordings/{recording}/now") == {"count": 1}
        assert daemon.post("/ledger/now", {"path": str(second)}) == {"count": 1}
    for path in (first, second):
        daemon.wait_for(path, FileState.NO_SPEECH)
    assert daemon.post("/ledger/now", {"path": str(first)}) == {"count": 0}


def test_what_failed_is_told_with_its_reason_and_can_be_tried_again(daemon: Panotti) -> None:
    broken = daemon.home / "in" / "broken.mp3"
    broken.write_bytes(b"no music at all" * 1000)
    entry = daemon.wait_for(broken, FileState.FAILED, FileState.IGNORED)
    assert entry.reason
    assert daemon.post("/ledger/retry", {"path": str(broken)}) == {"count": 1}
    daemon.wait_for(broken, FileState.FAILED, FileState.IGNORED)
    assert daemon.post("/retry")["count"] in (0, 1)
    broken.unlink()


def test_what_is_not_there_is_a_404_that_says_so(daemon: Panotti) -> None:
    for method, path in (
        ("GET", "/recordings/nobody"),
        ("GET", "/recordings/nobody/transcript.txt"),
        ("POST", "/recordings/nobody/retry"),
        ("POST", "/recordings/nobody/cancel"),
        ("POST", "/recordings/nobody/now"),
        ("GET", "/nonsense"),
    ):
        response = daemon.request(method, path)
        assert response.status_code == 404, path
        assert response.json()["detail"]


def test_a_recording_without_a_transcript_yet_says_so(daemon: Panotti) -> None:
    with paused(daemon):
        entry = daemon.wait_for(dropped(daemon, "later.wav", seconds=13), FileState.READY)
        response = daemon.request("GET", f"/recordings/{entry.recording_id}/transcript.txt")
        assert (response.status_code, response.json()["detail"]) == (404, "This recording has no transcript yet.")
    daemon.wait_for(daemon.home / "in" / "later.wav")


def test_a_pause_holds_and_can_end_by_itself(daemon: Panotti) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    status = Status.model_validate(daemon.post("/pause", {"until": until.isoformat()}))
    assert status.activity is Activity.PAUSED
    assert status.pause
    assert status.pause.until == until
    resumed = Status.model_validate(daemon.post("/resume"))
    assert (resumed.pause, daemon.status().pause) == (None, None)
    daemon.post("/pause", {"until": (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()})
    wait_until(lambda: daemon.status().pause is None, "the pause ends by itself")


def test_the_backlog_waits_for_a_yes_and_takes_a_no(daemon: Panotti) -> None:
    wait_until(lambda: daemon.get("/backlog"), "the backlog is counted")
    (asked,) = daemon.get("/backlog")
    assert (asked["folder"], asked["files"]) == (str(daemon.home / "old"), 2)
    assert daemon.post("/backlog", {"accept": True, "folder": "/elsewhere"}) == {"count": 0}
    assert daemon.post("/backlog", {"accept": False, "folder": str(daemon.home / "old")}) == {"count": 2}
    assert daemon.get("/backlog") == []
    assert daemon.explain(daemon.home / "old" / "old0.wav").state is FileState.IGNORED


@pytest.mark.skipif(sys.platform != "linux", reason="counts resident memory as Linux does")
def test_the_daemon_is_small_once_the_engine_has_gone(panotti: Callable[..., Panotti]) -> None:
    with panotti({"engine": {"idle_seconds": 0.5}}) as daemon:
        dropped = daemon.recordings / "memo.wav"
        shutil.copy(SAMPLE, dropped)
        daemon.wait_for(dropped, FileState.DONE)
        wait_until(lambda: daemon.status().engine.state == "off", "the engine has gone")
        assert daemon.process
        assert psutil.Process(daemon.process.pid).memory_info().rss <= MOST_MEMORY


def test_the_event_stream_begins_with_the_status_and_tells_of_changes(daemon: Panotti) -> None:
    with event_stream(daemon) as lines:
        assert next(lines) == "event: status"
        assert next_status(lines).pause is None
        with paused(daemon):
            wait_until(lambda: next_status(lines).activity is Activity.PAUSED)
        wait_until(lambda: next_status(lines).pause is None)


def test_the_event_stream_shows_signs_of_life_while_nothing_happens(daemon: Panotti) -> None:
    wait_until(lambda: daemon.status().engine.state == "off", "the engine has gone")
    with event_stream(daemon) as lines:
        next_status(lines)
        assert next(line for line in lines if line.startswith(":"))


def test_shutdown_ends_the_event_streams_and_the_daemon(panotti: Callable[..., Panotti]) -> None:
    daemon = panotti().start()
    assert daemon.process
    with event_stream(daemon) as lines:
        next_status(lines)
        assert daemon.request("POST", "/shutdown").status_code == 202
        for _ in lines:
            pass
    assert daemon.process.wait(PATIENCE) == 0
    assert not daemon.paths.runtime_file.exists()


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_every_route_is_described(method: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["tags"]
    assert operation["security"] == ([] if path.endswith("/health/live") else [{"token": []}])
    problem = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}
    for parameter in operation.get("parameters", []):
        assert parameter["description"], parameter["name"]
    assert [status for status in operation["responses"] if status.startswith("2")]


def test_the_description_that_is_served_is_this_one(daemon: Panotti) -> None:
    assert daemon.get("/openapi.json") == OPENAPI


def test_the_documentation_lists_every_route_and_no_other() -> None:
    page = DOCUMENTATION.read_text(encoding="utf-8")
    written = set(re.findall(r"^\| `(GET|POST|PUT|DELETE) (/\S+)`", page, re.MULTILINE))
    served = {(m.upper(), p.removeprefix("/api/v1")) for p, operations in OPENAPI["paths"].items() for m in operations}
    assert written == served | {("GET", "/openapi.json")}
