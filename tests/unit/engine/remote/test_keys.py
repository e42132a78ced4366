from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from pydantic import ValidationError

from panotti_daemon import logs
from panotti_daemon.core.plugins.secrets import KeyringUnavailable, Secrets
from panotti_daemon.engine.messages import Remote, TranscribeRequest, parse_request, to_line
from panotti_daemon.engine.remote.keys import ServerKeys
from panotti_daemon.errors import RequestFailed, ServerUnavailable
from panotti_daemon.models.transcript.models import RequestedSettings
from panotti_daemon.settings.servers import RemoteSettings, Server
from tests.keyrings import FILE, FileKeyring, no_keyring

KEY = "correct-horse-battery"
TWO = RemoteSettings(servers=(Server(url="http://one.lan", key="gpu"), Server(url="http://two.lan", key="office")))
ONE = RemoteSettings(servers=TWO.servers[:1])
NONE = RemoteSettings(servers=(Server(url="http://one.lan"),))


@pytest.fixture(autouse=True)
def _own_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(FILE, str(tmp_path / "keyring.json"))
    before = keyring.get_keyring()
    use(FileKeyring())
    yield
    keyring.set_keyring(before)
    logs._concealed.clear()


def use(backend: KeyringBackend) -> None:
    keyring.set_keyring(backend)


def test_keys_come_from_the_keyring_and_the_environment() -> None:
    async def main() -> None:
        keys = ServerKeys(TWO, Secrets({"PANOTTI_SECRET__ENGINE__OFFICE": "from-the-environment"}))
        await keys.keep("gpu", KEY)
        assert await keys.all() == {"gpu": KEY, "office": "from-the-environment"}
        await keys.keep("gpu", None)
        with pytest.raises(ServerUnavailable, match=r"key gpu is missing\. `panotti remote key gpu` keeps it"):
            await keys.all()

    asyncio.run(main())


def test_the_space_around_a_key_is_no_part_of_it() -> None:
    keys = ServerKeys(TWO, Secrets({f"PANOTTI_SECRET__ENGINE__{name}": f" {KEY}\n" for name in ("GPU", "OFFICE")}))
    assert asyncio.run(keys.all()) == {"gpu": KEY, "office": KEY}


@pytest.mark.parametrize("odd", ["first\nsecond", "sch\N{LATIN SMALL LETTER O WITH DIAERESIS}n", "\x01"])
def test_a_key_that_no_request_can_carry_is_said_without_it(odd: str) -> None:
    keys = ServerKeys(ONE, Secrets({"PANOTTI_SECRET__ENGINE__GPU": f"{KEY}{odd}x"}))
    with pytest.raises(ServerUnavailable, match="key gpu holds a character that no key has") as caught:
        asyncio.run(keys.all())
    assert KEY not in caught.value.message


def test_servers_without_a_key_ask_no_keyring() -> None:
    use(no_keyring())
    assert asyncio.run(ServerKeys(NONE, Secrets({})).all()) == {}


def test_a_keyring_that_cannot_be_used_is_said_with_what_would_do_instead() -> None:
    use(no_keyring())
    keys = ServerKeys(TWO, Secrets({}))
    with pytest.raises(ServerUnavailable, match=r"There is no keyring here.* as PANOTTI_SECRET__ENGINE__GPU"):
        asyncio.run(keys.all())
    with pytest.raises(KeyringUnavailable, match="Give PANOTTI_SECRET__ENGINE__GPU to the daemon"):
        asyncio.run(keys.keep("gpu", KEY))


def test_a_key_that_no_server_has_is_not_kept() -> None:
    with pytest.raises(RequestFailed, match=r"No server of engine\.remote\.servers names its key 'gqu'"):
        asyncio.run(ServerKeys(TWO, Secrets({})).keep("gqu", KEY))


def test_neither_a_request_nor_what_is_wrong_with_it_shows_a_key() -> None:
    request = TranscribeRequest(
        id=1,
        tracks=(),
        settings=RequestedSettings(),
        models=Path("models"),
        workers=1,
        remote=Remote(settings=TWO, keys={"gpu": KEY}),
    )
    assert KEY not in repr(request)
    line = to_line(request)
    assert parse_request(line) == request
    for broken in (line.replace(b'"id":1', b'"id":"one"'), line.replace(b'"workers":1', b'"workers":[]'), line[:-3]):
        with pytest.raises(ValidationError) as caught:
            parse_request(broken)
        assert KEY not in str(caught.value)
