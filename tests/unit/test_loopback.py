from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from panotti_daemon import loopback
from panotti_daemon.loopback import BrokenOff, CannotConnect


def asked(*answer: bytes, content: bytes = b"") -> tuple[int, bytes, bytes]:
    """Status and body of what a server answers in these pieces, and the request as it came."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(len(content)))
        for piece in answer:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()
        await writer.wait_closed()

    async def ask() -> tuple[int, bytes]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            return await fetched(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a?b=c%20d", content)

    status, body = asyncio.run(ask())
    return status, body, requests[0]


async def fetched(url: str, content: bytes = b"") -> tuple[int, bytes]:
    wanted = loopback.request("POST", url, {"X-Name": "value"}, content, connect_seconds=5, read_seconds=5)
    async with wanted as response:
        return response.status, await response.read()


def cut(answer: bytes) -> Sequence[bytes]:
    return [answer[i : i + 1] for i in range(len(answer))]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
    ],
)
def test_a_response_is_the_same_however_it_comes(answer: bytes) -> None:
    assert asked(answer)[:2] == asked(*cut(answer))[:2] == (200, b"hello")


def test_the_request_says_what_it_must() -> None:
    *_, request = asked(b"HTTP/1.1 204 No Content\r\n\r\n", content=b"body")
    head, _, body = request.partition(b"\r\n\r\n")
    assert body == b"body"
    line, *headers = head.split(b"\r\n")
    assert line == b"POST /a?b=c%20d HTTP/1.1"
    assert {b"Content-Length: 4", b"Connection: close", b"X-Name: value"} < set(headers)
    assert any(header.startswith(b"Host: 127.0.0.1:") for header in headers)


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"])
def test_what_is_no_whole_answer_is_broken_off(answer: bytes) -> None:
    with pytest.raises(BrokenOff):
        asked(answer)


def test_nobody_answers_where_nobody_listens() -> None:
    async def ask() -> None:
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
        await fetched(f"http://127.0.0.1:{port}/")

    with pytest.raises(CannotConnect):
        asyncio.run(ask())
