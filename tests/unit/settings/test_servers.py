from __future__ import annotations

import pytest
from pydantic import ValidationError

from panotti_daemon.errors import SettingsError
from panotti_daemon.paths import Paths
from panotti_daemon.settings import EngineSettings, merge
from panotti_daemon.settings.servers import RemoteSettings, Server, is_near


@pytest.mark.parametrize(
    ("written", "url", "name"),
    [
        ("http://gpu.lan:8000", "http://gpu.lan:8000/v1", "gpu.lan:8000"),
        ("http://gpu.lan:8000/", "http://gpu.lan:8000/v1", "gpu.lan:8000"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1", "api.openai.com"),
        ("https://me.example/whisper/v1/", "https://me.example/whisper/v1", "me.example"),
        ("http://[fd00::1]:80/v1", "http://[fd00::1]:80/v1", "[fd00::1]:80"),
    ],
)
def test_a_server_is_known_by_its_address(written: str, url: str, name: str) -> None:
    server = Server(url=written)
    assert (server.url, server.name) == (url, name)


@pytest.mark.parametrize(
    "url",
    ["gpu.lan", "ftp://gpu.lan/v1", "http://", "http://gpu.lan:port/v1", "http://gpu.lan/v1?key=1", "http://[::1/"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        Server(url=url)


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("172.31.0.1", True),
        ("192.168.178.20", True),
        ("169.254.1.1", True),
        ("100.100.1.1", True),
        ("fd00::1", True),
        ("fe80::1%eth0", True),
        ("::ffff:192.168.1.1", True),
        ("8.8.8.8", False),
        ("172.32.0.1", False),
        ("2001:4860:4860::8888", False),
        ("::ffff:8.8.8.8", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
    ],
)
def test_only_addresses_of_this_machine_and_private_networks_are_near(address: str, near: bool) -> None:
    assert is_near(address) is near


def test_plain_http_to_a_public_address_must_be_allowed() -> None:
    with pytest.raises(ValidationError, match="would let others on the way to"):
        Server(url="http://8.8.8.8/v1")
    assert Server(url="http://8.8.8.8/v1", allow_plain_http=True).may_go_anywhere
    assert Server(url="https://8.8.8.8/v1").may_go_anywhere
    assert not Server(url="http://192.168.1.2/v1").may_go_anywhere


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({"url": "http://gpu.lan", "key": "sk-Hidden"}, "servers[0].key: must be a name of your choice"),
        ({"url": "http://me:Hidden@gpu.lan"}, "servers[0].url: must hold neither user, password nor query"),
        ({"url": "htps://me:Hidden@gpu.lan"}, "servers[0].url: must hold neither user, password nor query"),
        ({"url": "gpu.lan?key=Hidden"}, "servers[0].url: must hold neither user, password nor query"),
        ({"url": "http://gpu.lan", "api_key": "Hidden"}, "servers[0].api_key: there is no such key"),
    ],
)
def test_a_key_that_stands_in_the_settings_is_refused_and_not_repeated(
    server: dict[str, str], said: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    paths = Paths.from_environment({"PANOTTI_HOME": str(tmp_path_factory.mktemp("home"))})
    with pytest.raises(SettingsError) as caught:
        merge({"config.yaml": {"engine": {"remote": {"servers": [server]}}}}, paths)
    assert said in caught.value.message
    assert "Hidden" not in caught.value.message


def test_each_key_is_named_once() -> None:
    servers = [{"url": "http://one.lan", "key": key} for key in ("one", "two", "one", None)]
    assert RemoteSettings.model_validate({"servers": servers}).key_names == ["one", "two"]


def test_no_server_is_asked_by_default() -> None:
    assert EngineSettings().remote.servers == ()
