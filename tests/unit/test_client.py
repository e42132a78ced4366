from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import pytest

from panotti_daemon import client as client_module
from panotti_daemon.api.schemas import Activity, Problem, RuntimeInfo
from panotti_daemon.client import Client, ServerSentEvent, server_sent_events
from panotti_daemon.errors import NotRunning, RequestFailed
from panotti_daemon.paths import Paths
from tests.desktop.scripted_daemon import NOW, ScriptedDaemon, status

T = TypeVar("T")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.from_environment({"PANOTTI_HOME": str(tmp_path)})


def events(*chunks: bytes) -> list[ServerSentEvent]:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def collected() -> list[ServerSentEvent]:
        return [event async for event in server_sent_events(stream())]

    return asyncio.run(collected())


def ask(answer: bytes | None, request: Callable[[Client], Awaitable[T]]) -> T:
    """The outcome of a request to a server that answers with these bytes and hangs up, or never answers."""

    hung_up = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    async def asked() -> T:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            try:
                client = Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "token")
                return await request(client)
            finally:
                await hung_up.wait()

    return asyncio.run(asked())


def response(status_line: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status_line}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_events_are_found_however_the_bytes_are_cut() -> None:
    text = ": hello\n\nevent: status\ndata: ä\ndata: b\n\nid: 7\ndata: c\r\n\r\n".encode()
    expected = [ServerSentEvent("status", "ä\nb"), ServerSentEvent("message", "c")]
    assert events(text) == expected
    assert events(*(text[i : i + 1] for i in range(len(text)))) == expected


def test_separators_of_lines_in_unicode_do_not_cut_an_event() -> None:
    assert events("data: a\u2028b\x85c\n\n".encode()) == [ServerSentEvent("message", "a\u2028b\x85c")]


def test_an_event_that_was_cut_off_is_no_event() -> None:
    assert events(b"event: status\ndata: half") == []


def test_without_a_runtime_file_nothing_runs(paths: Paths) -> None:
    with pytest.raises(NotRunning, match="panotti run"):
        Client.from_paths(paths)


def test_a_runtime_file_that_is_no_json_counts_as_none(paths: Paths) -> None:
    paths.create()
    paths.runtime_file.write_text("{")
    with pytest.raises(NotRunning):
        Client.from_paths(paths)


def test_a_runtime_file_that_outlived_its_daemon_counts_as_none(paths: Paths) -> None:
    async def ask() -> None:
        client = Client.from_paths(paths)
        await client.status()

    with ScriptedDaemon(paths):
        asyncio.run(ask())
    with pytest.raises(NotRunning):
        asyncio.run(ask())


def test_requests_carry_their_bodies_and_the_token(paths: Paths) -> None:
    async def ask() -> None:
        client = Client.from_paths(paths)
        assert (await client.pause(NOW)).activity is Activity.PAUSED
        assert (await client.retry_file("/in/a b.wav")).count == 1
        await client.retry_recording("..?shutdown")
        await client.shutdown()

    with ScriptedDaemon(paths) as daemon:
        asyncio.run(ask())
    assert daemon.posts == [
        '/pause {"until":"2026-01-02T03:04:00Z"}',
        '/ledger/retry {"path":"/in/a b.wav"}',
        "/recordings/..?shutdown/retry",
        "/shutdown",
    ]


def test_a_wrong_token_is_a_failed_request(paths: Paths) -> None:
    async def ask() -> None:
        url = RuntimeInfo.model_validate_json(paths.runtime_file.read_text()).url
        client = Client(url, "wrong")
        await client.status()

    with ScriptedDaemon(paths), pytest.raises(RequestFailed) as caught:
        asyncio.run(ask())
    assert caught.value.status == 401


NOBODY = Client("http://127.0.0.1:1", "token")


@pytest.mark.parametrize("name", ["", "a/b", "\udcff"])
@pytest.mark.parametrize("request_", [NOBODY.plugin, NOBODY.event, NOBODY.recording, NOBODY.remove_server_key])
def test_what_can_be_no_name_is_refused_before_anybody_is_asked(
    request_: Callable[[str], Awaitable[object]], name: str
) -> None:
    async def asked() -> None:
        await request_(name)

    with pytest.raises(RequestFailed, match=re.escape(repr(name))) as caught:
        asyncio.run(asked())
    assert caught.value.status == 404


@pytest.mark.parametrize(
    "asking",
    [
        lambda: NOBODY.journal({"name": "\udcff"}),
        lambda: NOBODY.use_model("\udcff"),
        lambda: NOBODY.configure_plugin("example", {"\udcff": 1}),
    ],
)
def test_words_that_are_not_unicode_are_refused_before_anybody_is_asked(
    asking: Callable[[], Awaitable[object]],
) -> None:
    async def asked() -> None:
        await asking()

    with pytest.raises(RequestFailed, match="not valid Unicode"):
        asyncio.run(asked())


def test_a_stream_that_is_left_before_its_end_leaves_nothing_open(paths: Paths) -> None:
    complaints: list[str] = []

    async def look_once() -> str:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about["message"]))
        async with aclosing(Client.from_paths(paths).statuses()) as statuses:
            async for shown in statuses:
                return shown.summary
        return "nothing"

    with ScriptedDaemon(paths, status(summary="one")):
        assert asyncio.run(look_once()) == "one"
    gc.collect()
    assert complaints == []


def test_statuses_come_as_they_change_until_the_daemon_ends(paths: Paths) -> None:
    async def follow(daemon: ScriptedDaemon) -> list[str]:
        seen = []
        client = Client.from_paths(paths)
        async for shown in client.statuses():
            seen.append(shown.summary)
            if len(seen) == 1:
                await asyncio.to_thread(daemon.show, status(summary="two\u2028lines"))
            else:
                return seen
        return seen

    with ScriptedDaemon(paths, status(summary="one")) as daemon:
        assert asyncio.run(follow(daemon)) == ["one", "two\u2028lines"]


def test_the_detail_of_a_problem_is_the_message() -> None:
    problem = Problem(title="Conflict", status=409, detail="It is being transcribed.").model_dump_json().encode()
    with pytest.raises(RequestFailed, match=r"^It is being transcribed\.$") as caught:
        ask(response("409 Conflict", problem), lambda client: client.retry_failed())
    assert caught.value.status == 409


def test_an_answer_of_another_shape_is_a_failed_request() -> None:
    with pytest.raises(RequestFailed, match="makes no sense"):
        ask(response("200 OK", b'{"hello": 1}'), lambda client: client.status())


def test_a_connection_that_breaks_is_a_failed_request() -> None:
    with pytest.raises(RequestFailed, match="broke off"):
        ask(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", lambda client: client.status())


def test_a_stream_that_breaks_is_a_failed_request() -> None:
    async def follow(client: Client) -> list[str]:
        return [shown.summary async for shown in client.statuses()]

    with pytest.raises(RequestFailed, match="broke off"):
        ask(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n: a\r\n", follow)


def test_a_daemon_that_hangs_is_a_failed_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "READ_SECONDS", 0.05)
    with pytest.raises(RequestFailed, match="does not answer"):
        ask(None, lambda client: client.status())


def test_proxies_of_the_environment_are_not_asked(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def ask() -> str:
        client = Client.from_paths(paths)
        return (await client.status()).summary

    with ScriptedDaemon(paths):
        assert asyncio.run(ask()) == "Nothing to do"
