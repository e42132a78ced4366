"""Asks one server for one part of a recording, and says what came of it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import Any

import httpx2

from panotti_daemon import __version__
from panotti_daemon.engine.remote.answers import Answer, Nonsense
from panotti_daemon.engine.remote.fleet import ServerFailed, ServerMisfit
from panotti_daemon.errors import ServerRefused
from panotti_daemon.models.transcript.models import RequestedSettings
from panotti_daemon.settings.servers import Server, is_near

CONNECT_SECONDS = 10.0
STALLED_SECONDS = 60.0
"""An upload of which nothing more is taken for so long has failed."""
MOST_ANSWER_BYTES = 8 * 2**20
"""Some fifty times what a part's words and their times come to."""
MOST_WORDS_SHOWN = 200
"""Characters of a server's own words."""
LONGEST_RETRY_AFTER = 86400.0

_TRY_AGAIN = {408, 425, 429}
_SET_UP_WRONG = {401, 402, 403, 404, 405}
_TOO_LARGE = 413


@dataclass(frozen=True)
class Upload:
    """One part's sound, as a file."""

    name: str
    media_type: str
    content: bytes


class Caller:
    """Any number of threads may use it. Nothing but the servers' own addresses is ever asked: no proxy, no redirect."""

    def __init__(self, timeout_seconds: float, keys: dict[str, str]) -> None:
        """`keys` by the names that the servers' settings have for them."""
        self._timeout_seconds = timeout_seconds
        self._keys = keys
        timeout = httpx2.Timeout(timeout_seconds, connect=CONNECT_SECONDS, write=STALLED_SECONDS, pool=None)
        self._http = httpx2.Client(
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
            headers={
                "User-Agent": f"panotti/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
        )

    def close(self) -> None:
        self._http.close()

    def ask(self, server: Server, upload: Upload, settings: RequestedSettings, language: str | None) -> Answer:
        """Raises ServerFailed, ServerMisfit or ServerRefused, with the server's name and words, and never its key."""
        is_translation = settings.task == "translate"
        what = "audio/translations" if is_translation else "audio/transcriptions"
        form = dict(_form(server, settings, None if is_translation else language))
        file = {"file": (upload.name, BytesIO(upload.content), upload.media_type)}
        with self._errors_of(server):
            key = {"Authorization": f"Bearer {self._keys[server.key]}"} if server.key else {}
            response = self._send(server, "POST", what, data=form, files=file, headers=key)
            with closing(response):
                return self._answer(server, response)

    def greet(self, server: Server) -> None:
        """Returns if somebody answers there, whatever it is; neither a key nor a sound is sent. Raises ServerFailed or
        ServerMisfit."""
        with self._errors_of(server):
            self._send(server, "GET", "models").close()

    def _send(
        self, server: Server, method: str, what: str, *, headers: Mapping[str, str] | None = None, **content: Any
    ) -> httpx2.Response:
        """The answer's beginning."""
        *others, last = _addresses(server, httpx2.URL(f"{server.url}/{what}"))
        headers = {"Host": server.name, **(headers or {})}
        for address in others:
            with suppress(httpx2.ConnectError, httpx2.ConnectTimeout):
                return self._http.send(
                    self._http.build_request(method, address, headers=headers, **content), stream=True
                )
        return self._http.send(self._http.build_request(method, last, headers=headers, **content), stream=True)

    @contextmanager
    def _errors_of(self, server: Server) -> Iterator[None]:
        try:
            yield
        except httpx2.TimeoutException as error:
            raise ServerFailed(f"{server.name} did not answer in time ({_kind(error)})") from None
        except httpx2.ConnectError as error:
            why = self._shown(server, error).rpartition("] ")[2]  # without the number of the error
            raise ServerFailed(f"{server.name} cannot be reached ({why})") from None
        except httpx2.HTTPError as error:
            raise ServerFailed(f"{server.name} broke off ({self._shown(server, error)})") from None
        except (httpx2.InvalidURL, UnicodeError):
            raise ServerMisfit(f"{server.name} is an address that nobody can have") from None

    def _answer(self, server: Server, response: httpx2.Response) -> Answer:
        body = self._body(server, response)
        if response.is_success:
            try:
                return Answer.parse(body)
            except Nonsense as error:
                raise ServerFailed(f"{server.name} gave an answer that makes no sense ({error})") from None
        if response.is_redirect:
            where = self._shown(server, response.headers.get("Location", "elsewhere"))
            raise ServerMisfit(f"{server.name} sends on to {where}, which is not asked: its url must be the right one")
        words = self._shown(server, _words(body))
        reason = self._shown(server, response.reason_phrase)
        said = f"{server.name} says {response.status_code} {reason}".rstrip()
        said += f": {words}" if words else ""
        if response.status_code in _SET_UP_WRONG:
            raise ServerMisfit(said)
        if response.status_code in _TRY_AGAIN or response.is_server_error:
            raise ServerFailed(said, retry_after=_retry_after(response.headers.get("Retry-After")))
        if response.status_code == _TOO_LARGE:
            said += " (a lower engine.remote.part_minutes, or opus as its codec, makes less of it)"
        raise ServerRefused(said)

    def _body(self, server: Server, response: httpx2.Response) -> bytes:
        """Bounded in size and time, whatever the server does."""
        deadline = time.monotonic() + self._timeout_seconds
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > MOST_ANSWER_BYTES:
                raise ServerFailed(f"{server.name} gave an answer of more than {MOST_ANSWER_BYTES // 2**20} MB")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{server.name} did not finish its answer in time")
        return bytes(body)

    def _shown(self, server: Server, said: object) -> str:
        """One line, not too long, without the key, which some servers repeat."""
        words = "".join(character if character.isprintable() else " " for character in str(said))
        words = " ".join(words.split())
        if server.key in self._keys:
            words = words.replace(self._keys[server.key], "[left out]")
        return words if len(words) <= MOST_WORDS_SHOWN else f"{words[:MOST_WORDS_SHOWN]}…"


def _form(server: Server, settings: RequestedSettings, language: str | None) -> Iterator[tuple[str, Any]]:
    yield "model", server.model
    yield "response_format", "verbose_json"
    if language:
        yield "language", language
    if settings.vocabulary:
        yield "prompt", ", ".join(settings.vocabulary)
    if settings.words:
        yield "timestamp_granularities[]", ["segment", "word"]


def _addresses(server: Server, url: httpx2.URL) -> list[httpx2.URL]:
    """Where to connect to. Without encryption a name is looked up here, so that what was looked at is what is asked."""
    if server.may_go_anywhere:
        return [url]
    try:
        found = socket.getaddrinfo(url.host, url.port or 80, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ServerFailed(f"{server.name} cannot be found ({error.strerror})") from None
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    if far := [address for address in addresses if not is_near(address)]:
        raise ServerMisfit(
            f"{server.name} is at {far[0]}, and http would let others on the way listen: use https, or set "
            "allow_plain_http"
        )
    return [url.copy_with(host=address) for address in addresses]


def _words(body: bytes) -> str:
    """The message in an answer, where there is one as OpenAI and FastAPI write them; the rest may be what was sent."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace") if len(body) < 1000 else ""
    for key in ("error", "message", "detail", "msg"):
        if isinstance(said, list) and said:
            said = said[0]
        if isinstance(said, dict) and key in said:
            said = said[key]
    return said if isinstance(said, str) else ""


def _retry_after(value: str | None) -> float:
    """Seconds, of seconds or a date."""
    if value is None:
        return 0.0
    try:
        seconds = (
            int(value) if value.isdecimal() else (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        )
    except (ValueError, TypeError):
        return 0.0
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER)


def _kind(error: httpx2.TimeoutException) -> str:
    names = {httpx2.ConnectTimeout: "connecting", httpx2.WriteTimeout: "sending", httpx2.ReadTimeout: "reading"}
    return names.get(type(error), "waiting")
