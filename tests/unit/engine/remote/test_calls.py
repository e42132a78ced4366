from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from panotti_daemon.engine.remote.answers import Answer
from panotti_daemon.engine.remote.calls import LONGEST_RETRY_AFTER, MOST_WORDS_SHOWN, Caller, Upload, _retry_after
from panotti_daemon.engine.remote.fleet import ServerFailed, ServerMisfit
from panotti_daemon.errors import ServerRefused
from panotti_daemon.models.transcript.models import RequestedSettings
from panotti_daemon.settings.servers import Server
from tests.transcription_server import TEXT, TranscriptionServer

E = TypeVar("E", ServerFailed, ServerMisfit, ServerRefused)

KEY = "correct-horse-battery"
SOUND = Upload("audio.flac", "audio/flac", bytes(range(256)) * 10_000)


@contextmanager
def calling(timeout_seconds: float = 60.0, key: str = KEY) -> Iterator[Caller]:
    caller = Caller(timeout_seconds, {"gpu": key})
    try:
        yield caller
    finally:
        caller.close()


def ask(caller: Caller, url: str, settings: RequestedSettings | None = None, language: str | None = None) -> Answer:
    server = Server(url=url, key="gpu", model="large-v3")
    return caller.ask(server, SOUND, settings or RequestedSettings(), language)


def failure(tmp_path: Path, way: str, kind: type[E], timeout_seconds: float = 60.0) -> E:
    """What comes of asking a server that behaves in this way."""
    with (
        TranscriptionServer(tmp_path, way) as server,
        calling(timeout_seconds) as caller,
        pytest.raises(kind) as caught,
    ):
        ask(caller, server.url)
    assert words(caught.value)[0] == server.name
    return caught.value


def words(error: Exception) -> tuple[str, str]:
    """Who it was, and what it did."""
    name, _, what = str(error).partition(" ")
    return name, what


def test_a_part_is_sent_with_all_that_was_asked_for(tmp_path: Path) -> None:
    settings = RequestedSettings(words=True, vocabulary=("Panotti", "Ångström"))
    with TranscriptionServer(tmp_path) as server, calling() as caller:
        answer = ask(caller, server.url, settings, "sv")
    assert (answer.text, answer.language_code) == (TEXT, "en")
    (request,) = server.requests
    assert request["path"] == "/v1/audio/transcriptions"
    assert request["headers"]["authorization"] == f"Bearer {KEY}"
    assert request["headers"]["host"] == server.name
    assert request["form"] == {
        "model": ["large-v3"],
        "response_format": ["verbose_json"],
        "language": ["sv"],
        "prompt": ["Panotti, Ångström"],
        "timestamp_granularities[]": ["segment", "word"],
    }
    assert request["file"] == {"name": "audio.flac", "type": "audio/flac", "size": len(SOUND.content)}


def test_a_translation_has_a_route_of_its_own_which_takes_no_language(tmp_path: Path) -> None:
    with TranscriptionServer(tmp_path) as server, calling() as caller:
        ask(caller, server.url, RequestedSettings(task="translate"), "de")
    (request,) = server.requests
    assert request["path"] == "/v1/audio/translations"
    assert request["form"] == {"model": ["large-v3"], "response_format": ["verbose_json"]}


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("broken", "says 500 Internal Server Error: CUDA out of memory"),
        ("cut", "broke off ("),
        ("rubbish", "gave an answer that makes no sense (Invalid JSON"),
        ("huge", "gave an answer of more than 8 MB"),
    ],
)
def test_a_server_that_may_do_better_later_has_failed(way: str, said: str, tmp_path: Path) -> None:
    assert words(failure(tmp_path, way, ServerFailed))[1].startswith(said)


@pytest.mark.parametrize(
    ("way", "said"), [("hang", "did not answer in time (reading)"), ("trickle", "did not finish its answer in time")]
)
def test_a_server_that_takes_too_long_has_failed(way: str, said: str, tmp_path: Path) -> None:
    assert words(failure(tmp_path, way, ServerFailed, timeout_seconds=0.5))[1] == said


def test_a_server_that_is_slow_but_in_time_is_waited_for(tmp_path: Path) -> None:
    with TranscriptionServer(tmp_path, "slow") as server, calling() as caller:
        assert ask(caller, server.url).text == TEXT


def test_a_busy_server_says_how_long_it_wants_to_be_left_alone(tmp_path: Path) -> None:
    failed = failure(tmp_path, "busy_for_hours", ServerFailed)
    assert (words(failed)[1], failed.retry_after) == ("says 429 Too Many Requests: come back later", 7200)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0.0),
        ("3", 3.0),
        ("999999999", LONGEST_RETRY_AFTER),
        ("-3", 0.0),
        ("soon", 0.0),
        ("nan", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2515 07:28:00 GMT", LONGEST_RETRY_AFTER),
        ("Wed, 21 Oct 2515 07:28:00", 0.0),
    ],
)
def test_how_long_may_be_said_in_seconds_or_as_a_date(value: str | None, seconds: float) -> None:
    assert _retry_after(value) == seconds


def test_a_refusal_is_told_in_the_servers_own_words_on_one_line(tmp_path: Path) -> None:
    refused = failure(tmp_path, "refuse", ServerRefused)
    assert words(refused)[1] == "says 400 Bad Request: no thanks, not this one"


def test_what_is_too_large_for_a_server_is_said_with_what_makes_less_of_it(tmp_path: Path) -> None:
    refused = failure(tmp_path, "full", ServerRefused)
    assert "413 Request Entity Too Large: 25 MB at most (a lower engine.remote.part_minutes" in refused.message


def test_long_words_are_cut_off(tmp_path: Path) -> None:
    refused = failure(tmp_path, "rant", ServerRefused)
    assert MOST_WORDS_SHOWN < len(refused.message) < MOST_WORDS_SHOWN + 60
    assert refused.message.isprintable()


def test_a_server_that_repeats_what_it_was_sent_is_not_repeated(tmp_path: Path) -> None:
    with TranscriptionServer(tmp_path, "misfit") as server, calling() as caller, pytest.raises(ServerRefused) as caught:
        ask(caller, server.url, RequestedSettings(vocabulary=("Ångström",)))
    assert words(caught.value)[1] == "says 422 Unprocessable Entity: Too long"


def test_words_that_no_one_can_read_are_left_out(tmp_path: Path) -> None:
    assert words(failure(tmp_path, "deep", ServerRefused))[1] == "says 400 Bad Request"


def test_a_key_is_not_repeated_by_a_server_that_refuses_it(tmp_path: Path) -> None:
    misfit = failure(tmp_path, "stranger", ServerMisfit)
    assert words(misfit)[1] == "says 401 Unauthorized: Incorrect API key provided: [left out]"


def test_a_key_and_long_words_are_not_repeated_from_the_first_line_of_an_answer_either(tmp_path: Path) -> None:
    misfit = str(failure(tmp_path, "echo", ServerMisfit))
    assert "says 403 No Bearer [left out], no no" in misfit
    assert len(misfit) < MOST_WORDS_SHOWN + 60


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["gpu..lan", "g" * 64])
def test_an_address_that_nobody_can_have_does_not_fit(scheme: str, host: str) -> None:
    with calling() as caller, pytest.raises(ServerMisfit, match=f"{host}:8000 is an address that nobody can have"):
        ask(caller, f"{scheme}://{host}:8000")


def test_nobody_follows_a_server_that_sends_on(tmp_path: Path) -> None:
    with TranscriptionServer(tmp_path) as other:
        assert f"sends on to {other.url}" in str(failure(tmp_path, f"to:{other.url}", ServerMisfit))
        assert other.requests == []


def test_a_server_that_is_not_there_has_failed(tmp_path: Path) -> None:
    with TranscriptionServer(tmp_path) as server:
        pass
    with calling() as caller, pytest.raises(ServerFailed, match=r"cannot be reached \([^\[\]]+\)$"):
        ask(caller, server.url)


def test_no_proxy_and_no_password_file_of_the_environment_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with TranscriptionServer(tmp_path) as server, calling() as caller:
        assert ask(caller, server.url).text == TEXT


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    really = socket.getaddrinfo

    def look_up(host: str, port: int, *more: Any, **options: Any) -> Any:
        if host == "gpu.lan":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]
        return really(host, port, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_a_name_of_a_private_address_is_asked_there_and_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TranscriptionServer(tmp_path) as server, calling() as caller:
        port = server.name.rpartition(":")[2]
        resolve_to(monkeypatch, "127.0.0.2", "127.0.0.1")  # nobody listens at the first
        assert ask(caller, f"http://gpu.lan:{port}").text == TEXT
    assert server.requests[0]["headers"]["host"] == f"gpu.lan:{port}"


def test_a_name_that_turns_out_to_be_public_is_not_asked_without_encryption(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "192.168.1.2", "8.8.8.8")
    with (
        calling() as caller,
        pytest.raises(ServerMisfit, match=r"gpu\.lan is at 8\.8\.8\.8, and http would let others"),
    ):
        ask(caller, "http://gpu.lan")


def test_a_greeting_carries_neither_key_nor_sound(tmp_path: Path) -> None:
    with TranscriptionServer(tmp_path) as server, calling() as caller:
        caller.greet(Server(url=server.url, key="gpu"))
        (request,) = server.requests
    assert (request["path"], "authorization" in request["headers"]) == ("/v1/models", False)
    with calling() as caller, pytest.raises(ServerFailed, match="cannot be reached"):
        caller.greet(Server(url=server.url))
