"""What a stranger gets from the API: other programs, other users of the machine, web pages in the user's browser."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import quote, urlsplit

import psutil
import pytest

from panotti_daemon.api.app import create_app
from tests.daemon import Panotti, wait_until

PROBLEM = "application/problem+json"
PAGE = "https://notes.example"
"""An origin that the user has allowed."""
ROUTES = [(method.upper(), path) for path, methods in create_app().openapi()["paths"].items() for method in methods]
LIVE = ("GET", "/api/v1/health/live")
STOP_SECONDS = 5.0


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panotti]:
    home = tmp_path_factory.mktemp("strangers") / "home"
    home.mkdir()
    # the engine that a hostile request may start has gone before the test is over that notices it
    with Panotti(home, {"api": {"cors_origins": [PAGE]}, "engine": {"idle_seconds": 0.5}}) as daemon:
        yield daemon


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_problem(self) -> bool:
        problem = json.loads(self.body)
        return self.headers["content-type"] == PROBLEM and problem["status"] == self.status and bool(problem["title"])


def port_of(daemon: Panotti) -> int:
    return urlsplit(daemon.runtime.url).port or 0


def connect(daemon: Panotti) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(daemon)), timeout=10)


def send(daemon: Panotti, head: str, body: bytes = b"") -> Answer:
    """Sends exactly this; `{host}` and `{token}` stand for the right ones."""
    head = head.replace("{host}", f"127.0.0.1:{port_of(daemon)}").replace("{token}", daemon.runtime.token)
    with connect(daemon) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        response = HTTPResponse(connection)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        if headers.get("content-type", "").startswith("text/event-stream"):
            return Answer(response.status, headers, b"")
        return Answer(response.status, headers, response.read())


def get(daemon: Panotti, target: str = "/api/v1/status", *headers: str) -> Answer:
    return send(daemon, "\n".join([f"GET {target} HTTP/1.1", *headers]))


TOKEN = "Authorization: Bearer {token}"
HOST = "Host: {host}"


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route != LIVE])
def test_every_route_but_the_liveness_probe_asks_for_the_token(daemon: Panotti, method: str, path: str) -> None:
    answer = send(daemon, f"{method} {path} HTTP/1.1\n{HOST}\nContent-Length: 0")
    assert answer.status == 401
    assert answer.is_problem
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_liveness_probe_asks_for_no_token_and_tells_nothing_else(daemon: Panotti) -> None:
    answer = get(daemon, LIVE[1], HOST)
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "alive"})
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/redoc", "/openapi.json", "/api/v1/openapi.json", "/api/v1/health/live/"]
)
def test_what_is_no_route_asks_for_the_token_too(daemon: Panotti, path: str) -> None:
    assert get(daemon, path, HOST).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        ["Authorization: Bearer wrong"],
        ["Authorization: Bearer "],
        ["Authorization: {token}"],
        ["Authorization: Basic {token}"],
        ["Authorization: Bearer {token}x"],
        ["Authorization: Bearer {token}, Bearer {token}"],
        ["Authorization: Bearer \xff\xfe"],
        ["Authorization: Bearer wrong", TOKEN],
        [TOKEN, TOKEN],
        ["X-Authorization: Bearer {token}", "Cookie: token={token}"],
    ],
)
def test_anything_but_one_right_authorization_is_refused(daemon: Panotti, headers: list[str]) -> None:
    answer = get(daemon, "/api/v1/status", HOST, *headers)
    assert answer.status == 401
    assert answer.is_problem


def test_the_right_token_gets_in(daemon: Panotti) -> None:
    answer = get(daemon, "/api/v1/status", HOST, TOKEN)
    assert answer.status == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("query", ["token={token}", "access_token={token}", "authorization=Bearer%20{token}"])
def test_a_token_in_the_url_is_not_taken(daemon: Panotti, query: str) -> None:
    assert get(daemon, f"/api/v1/status?{query}", HOST).status == 401


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1:0{port}",
        "127.0.0.1:{port}.evil.example",
        "127.0.0.1.:{port}",
        "user@127.0.0.1:{port}",
        "evil.example@127.0.0.1:{port}",
        "127.0.0.1:{port}, evil.example",
        "0.0.0.0:{port}",
        "[::ffff:127.0.0.1]:{port}",
        "",
    ],
)
def test_a_host_that_is_not_exactly_ours_is_refused_even_with_the_token(daemon: Panotti, host: str) -> None:
    host = host.replace("{port}", str(port_of(daemon)))
    for path in ("/api/v1/status", LIVE[1]):
        answer = get(daemon, path, f"Host: {host}", TOKEN)
        assert answer.status in (400, 403)
        assert answer.is_problem


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_the_names_of_the_loopback_are_ours_with_the_right_port(daemon: Panotti, name: str) -> None:
    assert get(daemon, "/api/v1/status", f"Host: {name}:{port_of(daemon)}", TOKEN).status == 200


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("hosts", [[], [HOST, HOST], [HOST, "Host: evil.example"], ["Host: evil.example", HOST]])
def test_no_host_or_two_are_refused(daemon: Panotti, version: str, hosts: list[str]) -> None:
    answer = send(daemon, "\n".join([f"GET /api/v1/health/live {version}", *hosts, TOKEN]))
    assert answer.status in (400, 403)
    assert answer.is_problem


@pytest.mark.parametrize(
    "target", ["http://evil.example/api/v1/status", "http://{host}/api/v1/status", "//api/v1/status"]
)
def test_an_absolute_target_reaches_nothing(daemon: Panotti, target: str) -> None:
    assert get(daemon, target, HOST).status == 401
    assert get(daemon, target, "Host: evil.example", TOKEN).status == 403
    assert get(daemon, target, HOST, TOKEN).status == 404


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://127.0.0.1",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1:{port}.evil.example",
        PAGE + ".evil.example",
        PAGE.replace("https", "http"),
        PAGE.upper(),
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_a_foreign_origin_is_refused_even_with_the_token(daemon: Panotti, method: str, origin: str) -> None:
    origin = origin.replace("{port}", str(port_of(daemon)))
    answer = send(daemon, f"{method} /api/v1/status HTTP/1.1\n{HOST}\n{TOKEN}\nOrigin: {origin}")
    assert answer.status == 403
    assert answer.is_problem
    assert "access-control-allow-origin" not in answer.headers


def test_an_allowed_origin_beside_a_foreign_one_is_refused(daemon: Panotti) -> None:
    assert get(daemon, "/api/v1/status", HOST, TOKEN, f"Origin: {PAGE}", "Origin: http://evil.example").status == 403


def test_an_allowed_origin_gets_in_with_the_token_and_reads_refusals_too(daemon: Panotti) -> None:
    for headers, status in (([TOKEN], 200), ([], 401)):
        answer = get(daemon, "/api/v1/status", HOST, f"Origin: {PAGE}", *headers)
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers


def test_the_preflight_of_an_allowed_origin_is_answered_without_the_token(daemon: Panotti) -> None:
    asked = "Access-Control-Request-Method: POST\nAccess-Control-Request-Headers: authorization"
    answer = send(daemon, f"OPTIONS /api/v1/pause HTTP/1.1\n{HOST}\nOrigin: {PAGE}\n{asked}")
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "Authorization" in answer.headers["access-control-allow-headers"]


def test_the_preflight_allows_every_method_that_there_is(daemon: Panotti) -> None:
    asked = "Access-Control-Request-Method: PUT"
    answer = send(daemon, f"OPTIONS /api/v1/plugins/example/config HTTP/1.1\n{HOST}\nOrigin: {PAGE}\n{asked}")
    allowed = answer.headers["access-control-allow-methods"].split(", ")
    assert {method for method, _ in ROUTES} <= {*allowed}


def test_a_page_of_our_own_needs_no_cors(daemon: Panotti) -> None:
    answer = get(daemon, "/api/v1/status", HOST, TOKEN, "Origin: http://{host}")
    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["*", "https://*.example", "notes.example", "https://notes.example/page", "null"])
def test_an_origin_that_would_let_more_in_is_refused_at_start_with_one_line(
    panotti: Callable[..., Panotti], origin: str
) -> None:
    refused = panotti({"api": {"cors_origins": [origin]}}).command("run", "--port", "0", "--no-tray")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert len(refused.stderr.splitlines()) == 1
    assert "api.cors_origins" in refused.stderr


def hostile_requests() -> Iterator[tuple[str, str, bytes]]:
    long = "/" + "a/" * 5000
    paths = [
        "%00",
        "/tmp/%00.wav",
        "",
        "relative.wav",
        "/tmp/%ff.wav",
        "/tmp/%ed%a0%80.wav",
        quote(long[:6000]),
        "/" + "b" * 300,
    ]
    for path in paths:
        yield "GET", f"/ledger/explain?path={path}", b""
    yield "GET", "/ledger/explain", b""
    yield "GET", "/ledger/explain?path=/a&path=/b", b""
    for page in ("ledger", "recordings"):
        for query in (
            "limit=0",
            "limit=-1",
            "limit=1001",
            "limit=1e3",
            "limit=" + "9" * 400,
            "limit=" + "9" * 5000,
            "limit=%00",
            "limit=NaN",
            "offset=-1",
            "offset=9007199254740992",
            "offset=9223372036854775807",
            "offset=" + "9" * 30,
            "state=",
            "state=nonsense",
            "state=%00",
        ):
            yield "GET", f"/{page}?{query}", b""
    for recording in ("nobody", "%00", "%ff", "..", "%2e%2e%2f%2e%2e", "a" * 3000, "' OR 1=1 --".replace(" ", "%20")):
        yield "GET", f"/recordings/{recording}", b""
        yield "GET", f"/recordings/{recording}/transcript.txt", b""
        for action in ("retry", "cancel", "now"):
            yield "POST", f"/recordings/{recording}/{action}", b""
    yield "GET", "/recordings/nobody/transcript.exe", b""
    bodies = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'"' * 10_000,
        b"[" * 100_000,
        b"{}",
        b'{"path": null}',
        b'{"path": 1}',
        b'{"path": ""}',
        b'{"path": "\\u0000"}',
        b'{"path": "/tmp/\\u0000.wav"}',
        b'{"path": "/tmp/\\ud800.wav"}',
        b'{"path": "/tmp/\\udcff.wav"}',
        b'{"path": "relative.wav"}',
        json.dumps({"path": long}).encode(),
        json.dumps({"path": "/" + "c" * 300}).encode(),
        b'{"path": "/proc/self/mem"}',
        b'{"path": "/dev/zero"}',
    ]
    for route in ("/ledger/now", "/ledger/retry"):
        for body in bodies:
            yield "POST", route, body
    for until in ('"nonsense"', '"2031-01-01T00:00:00"', "1e400", "[]", '"9999999-01-01T00:00:00Z"', "1e300", "-1e300"):
        yield "POST", "/pause", f'{{"until": {until}}}'.encode()
    for decision in (b"{}", b'{"accept": "perhaps"}', b'{"accept": false, "folder": "\\u0000"}'):
        yield "POST", "/backlog", decision
    yield "PUT", "/status", b"{}"
    yield "DELETE", "/recordings/nobody", b""
    yield "TRACE", "/status", b""
    yield "GET", "/nonsense", b""
    yield "GET", "/nonsense?" + "q" * 8000, b""


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [pytest.param(*case, id=f"{n}-{case[1][:30]}") for n, case in enumerate(hostile_requests())],
)
def test_nonsense_is_refused_with_a_problem_that_says_nothing_of_the_inside(
    daemon: Panotti, method: str, path: str, body: bytes
) -> None:
    head = f"{method} /api/v1{path} HTTP/1.1\n{HOST}\n{TOKEN}\nContent-Type: application/json"
    answer = send(daemon, f"{head}\nContent-Length: {len(body)}", body)
    if answer.status >= 400:
        assert answer.status < 500
        assert answer.is_problem
        said = answer.body.decode().lower()
        assert not [word for word in ("traceback", "sqlite", "pydantic", "panotti_daemon", ".py", "0x") if word in said]
    assert len(answer.body) < 20_000


def test_a_body_that_would_fill_the_memory_is_refused_before_it_is_read(daemon: Panotti) -> None:
    head = f"POST /api/v1/pause HTTP/1.1\n{HOST}\n{TOKEN}\nContent-Type: application/json"
    for length, status in (("Content-Length: 2000000000", 413), ("Transfer-Encoding: chunked", 411)):
        answer = send(daemon, f"{head}\n{length}")
        assert answer.status == status
        assert answer.is_problem


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_moment_that_no_clock_here_can_show_is_refused(daemon: Panotti, moment: str) -> None:
    body = json.dumps({"until": moment}).encode()
    head = f"{HOST}\n{TOKEN}\nContent-Type: application/json\nContent-Length: {len(body)}"
    for answer in (
        send(daemon, f"POST /api/v1/pause HTTP/1.1\n{head}", body),
        send(daemon, f"POST /api/v1/journal/replay HTTP/1.1\n{head}", body),
        get(daemon, f"/api/v1/journal?since={quote(moment)}", HOST, TOKEN),
    ):
        assert answer.status == 422
        assert answer.is_problem


def test_a_known_path_with_another_method_says_which_are_allowed(daemon: Panotti) -> None:
    answer = send(daemon, f"DELETE /api/v1/status HTTP/1.1\n{HOST}\n{TOKEN}")
    assert (answer.status, answer.headers["allow"]) == (405, "GET")
    assert answer.is_problem


@pytest.mark.parametrize("nonsense", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\r\n" * 3 + b"\x00\r\n\r\n"])
def test_what_is_no_http_is_refused_with_a_problem(daemon: Panotti, nonsense: bytes) -> None:
    with connect(daemon) as connection:
        connection.sendall(nonsense + b"\r\n\r\n")
        response = HTTPResponse(connection)
        response.begin()
        assert response.status == 400
        assert response.getheader("content-type") == PROBLEM
        assert json.loads(response.read())["status"] == 400


def test_the_runtime_file_and_its_folder_are_closed_to_others(panotti: Callable[..., Panotti]) -> None:
    daemon = panotti()
    daemon.paths.runtime.mkdir(mode=0o755)
    with daemon:
        assert stat.S_IMODE(daemon.paths.runtime_file.stat().st_mode) == 0o600
        for folder in (daemon.paths.runtime, daemon.paths.data, daemon.paths.state, daemon.paths.cache):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for file in (daemon.paths.database, daemon.paths.log_file):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


@contextlib.contextmanager
def started(daemon: Panotti, port: int) -> Iterator[Callable[[], str]]:
    """The daemon, asked for a certain port; gives what it has said so far."""
    said = daemon.home / "said"
    with said.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "panotti_daemon", "run", "--port", str(port), "--no-tray", "--verbose"],
            env=daemon.environment,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "Tray icon" in said.read_text(), "the daemon says that it is ready")
        yield said.read_text
    finally:
        process.terminate()
        assert process.wait(timeout=STOP_SECONDS) == 0


def test_a_port_that_another_program_has_is_left_to_it_and_another_is_used_and_told(
    panotti: Callable[..., Panotti],
) -> None:
    daemon = panotti()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with started(daemon, taken) as said:
            wait_until(lambda: f"Port {taken} is taken" in said())
            assert port_of(daemon) != taken
            assert daemon.status().url == daemon.runtime.url
            first = daemon.runtime.token
    assert not daemon.paths.runtime_file.exists()
    with started(daemon, taken) as said:
        assert port_of(daemon) == taken
        assert "is taken" not in said()
        assert daemon.runtime.token != first
        assert len(daemon.runtime.token) >= 32
        get(daemon, "/api/v1/status", HOST, "Authorization: Bearer stolen-secret")
        daemon.request("GET", "/nonsense", params={"token": daemon.runtime.token})
        assert daemon.runtime.token not in said()
        assert daemon.runtime.token not in daemon.log()
    assert first not in daemon.log()
    assert "stolen-secret" not in daemon.log()


def test_the_runtime_file_of_a_killed_daemon_is_gone_before_the_next_one_is_asked_for(
    panotti: Callable[..., Panotti],
) -> None:
    daemon = panotti().start()
    daemon.kill()
    assert daemon.paths.runtime_file.exists()
    status = daemon.command("status")
    assert (status.returncode, status.stdout) == (1, "")
    assert "panotti run" in status.stderr
    daemon.start()
    daemon.stop()


def test_hundreds_of_silent_connections_neither_keep_others_out_nor_the_daemon_from_stopping(
    panotti: Callable[..., Panotti],
) -> None:
    daemon = panotti().start()
    assert daemon.process
    process = psutil.Process(daemon.process.pid)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connect(daemon)) for _ in range(200)]
        dripping = [stack.enter_context(connect(daemon)) for _ in range(100)]
        for connection in dripping[:40]:
            connection.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: ")
        for connection in dripping[40:80]:  # also one that was let in before
            connection.sendall(f"GET {LIVE[1]} HTTP/1.1\r\nHost: 127.0.0.1:{port_of(daemon)}\r\n\r\n".encode())
            assert b"200 OK" in connection.recv(100)
            connection.sendall(b"GET")
        for connection in dripping[80:]:
            connection.sendall(b"POST /api/v1/pause HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n{")
            assert b"403" in connection.recv(100)
        streams = [stack.enter_context(connect(daemon)) for _ in range(20)]
        authorised = f"Host: 127.0.0.1:{port_of(daemon)}\r\nAuthorization: Bearer {daemon.runtime.token}\r\n\r\n"
        slow = stack.enter_context(connect(daemon))
        slow.sendall(b"POST /api/v1/pause HTTP/1.1\r\nContent-Length: 100\r\n" + authorised.encode() + b"{")
        for stream in streams:
            stream.sendall(f"GET /api/v1/events HTTP/1.1\r\n{authorised}".encode())
            assert b"200 OK" in stream.recv(100)
        kept = [stack.enter_context(connect(daemon)) for _ in range(20)]
        for connection in kept:
            connection.sendall(f"GET /api/v1/health/live HTTP/1.1\r\n{authorised}".encode())
            assert b"200 OK" in connection.recv(100)
        assert daemon.status().pid == process.pid
        wait_until(lambda: len(process.net_connections()) <= 1 + len(streams), "silent connections are closed", 30)
        for connection in (*silent, *dripping, slow):
            while connection.recv(65536):
                pass

        late = [stack.enter_context(connect(daemon)) for _ in range(100)]
        late[0].sendall(b"POST /api/v1/pause HTTP/1.1\r\nContent-Length: 100\r\n" + authorised.encode())
        began = time.monotonic()
        daemon.stop()
        assert time.monotonic() - began < STOP_SECONDS
        for stream in streams:
            while stream.recv(65536):
                pass


def test_a_reader_that_never_reads_does_not_hold_up_the_end(panotti: Callable[..., Panotti]) -> None:
    daemon = panotti().start()
    with connect(daemon) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = f"Host: 127.0.0.1:{port_of(daemon)}\r\nAuthorization: Bearer {daemon.runtime.token}\r\n\r\n"
        stuck.sendall(f"GET /api/v1/events HTTP/1.1\r\n{head}".encode())
        for _ in range(20):
            stuck.sendall(f"GET /api/v1/openapi.json HTTP/1.1\r\n{head}".encode())
        began = time.monotonic()
        daemon.stop()
        assert time.monotonic() - began < STOP_SECONDS


@pytest.mark.skipif(os.name == "nt", reason="POSIX file modes")
def test_the_socket_is_on_the_loopback_alone(daemon: Panotti) -> None:
    assert daemon.process
    listening = [
        c for c in psutil.Process(daemon.process.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN
    ]
    assert [c.laddr.ip for c in listening] == ["127.0.0.1"]


def test_a_transcript_is_served_so_that_no_browser_runs_what_was_spoken(daemon: Panotti) -> None:
    policy = get(daemon, "/api/v1/status", HOST, TOKEN).headers["content-security-policy"]
    assert policy == "default-src 'none'; sandbox"


def test_a_stranger_cannot_fill_the_log(daemon: Panotti) -> None:
    before = daemon.log()
    asked = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13"
    assert send(daemon, f"GET /api/v1/events HTTP/1.1\n{HOST}\nOrigin: http://evil.example\n{asked}").status == 403
    assert send(daemon, "NONSENSE").status == 400
    assert daemon.log() == before


def test_the_daemon_is_well_after_all_of_it(daemon: Panotti) -> None:
    assert daemon.status().announcements_dropped == 0
    assert not [line for line in daemon.log_lines() if line["level"] == "error"]
    assert Path(daemon.status().log_file) == daemon.paths.log_file
