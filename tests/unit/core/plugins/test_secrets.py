from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from pydantic import BaseModel

from panotti_daemon import logs
from panotti_daemon.core.plugins.configuring import shown
from panotti_daemon.core.plugins.secrets import KeyringUnavailable, Secret, Secrets, secret_keys
from panotti_daemon.errors import PermanentError, PluginFailed
from panotti_daemon.logs import LEFT_OUT
from panotti_daemon.settings import PluginSettings
from tests.keyrings import FILE, FileKeyring, HangingKeyring, LockedKeyring, no_keyring
from tests.unit.core.plugins.managed import RUNNING, managed, outcome, plugin

TOKEN = "correct-horse-battery"
NEEDS_TOKEN = """
    class Config(BaseModel):
        token: Secret
    async def initialize(self): note(f"{self.config.token} {len(self.config.token.get_secret_value())}")
"""
HOW_TO = "`panotti plugins set one token --secret` keeps it in the keyring, or give it as PANOTTI_SECRET__ONE__TOKEN"


@pytest.fixture(autouse=True)
def _own_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(FILE, str(tmp_path / "keyring.json"))
    before = keyring.get_keyring()
    keyring.set_keyring(FileKeyring())
    yield
    keyring.set_keyring(before)
    logs._concealed.clear()


def unlock(backend: KeyringBackend) -> None:
    keyring.set_keyring(backend)


def test_a_secret_is_kept_found_and_removed() -> None:
    async def main() -> None:
        secrets = Secrets({})
        assert await secrets.get("one", "token") is None
        await secrets.delete("one", "token")
        await secrets.set("one", "token", TOKEN)
        assert await secrets.get("one", "token") == TOKEN
        assert await secrets.get("two", "token") is None
        assert keyring.get_password("panotti", "plugins.one.token") == TOKEN
        await secrets.delete("one", "token")
        assert await secrets.get("one", "token") is None

    asyncio.run(main())


def test_the_environment_goes_before_the_keyring_which_is_not_asked() -> None:
    unlock(no_keyring())
    secrets = Secrets({"PANOTTI_SECRET__ONE__TOKEN": TOKEN})
    assert asyncio.run(secrets.get("one", "token")) == TOKEN


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        (no_keyring(), "There is no keyring here."),
        (LockedKeyring(), "The keyring refuses: Failed to unlock the collection!."),
    ],
)
def test_a_keyring_that_cannot_be_used_is_said_so(backend: KeyringBackend, reason: str) -> None:
    unlock(backend)
    with pytest.raises(KeyringUnavailable) as caught:
        asyncio.run(Secrets({}).get("one", "token"))
    assert caught.value.message == reason
    with pytest.raises(KeyringUnavailable) as caught:
        asyncio.run(Secrets({}).set("one", "token", TOKEN))
    assert caught.value.message == (
        f"{reason} Give PANOTTI_SECRET__ONE__TOKEN to the daemon in its environment instead."
    )


def test_a_keyring_that_hangs_is_not_waited_for() -> None:
    backend = HangingKeyring()
    unlock(backend)

    async def main() -> None:
        secrets = Secrets({}, fetch_seconds=0.05)
        with pytest.raises(KeyringUnavailable, match=r"did not answer within 0\.05 s"):
            await secrets.get("one", "token")
        with pytest.raises(KeyringUnavailable, match="still has not answered"):
            await secrets.get("one", "token")
        assert [thread.name for thread in threading.enumerate()].count("keyring") == 1

    try:
        asyncio.run(main())
    finally:
        backend.let_go.set()


def test_only_fields_of_that_type_are_secrets() -> None:
    class Config(BaseModel):
        token: Secret
        maybe: Secret | None = None
        word: str = ""

    assert secret_keys(Config) == ["token", "maybe"]


def test_a_plugin_gets_its_secret_and_shows_it_nowhere(tmp_path: Path, seen: list[str]) -> None:
    plugin(tmp_path / "plugins", "one", NEEDS_TOKEN)

    async def main() -> None:
        async with managed(tmp_path) as (manager, _):
            record = manager.records["one"]
            assert record.reason == f"settings: plugins.one.config.token: is missing: it is a secret; {HOW_TO}"
            await manager.keep_secret("one", "token", TOKEN)
            assert record.state.value == "running"
            assert record.hosted
            assert record.manifest
            (setting,) = shown(record.manifest, record.hosted.plugin.config, manager.wishes)
            assert (setting.value, setting.is_secret) == (None, True)
            with pytest.raises(PluginFailed, match="is missing"):
                await manager.keep_secret("one", "token", None)
            assert record.state.value == "running"

    asyncio.run(main())
    assert seen[0] == f"one ********** {len(TOKEN)}"


def test_a_plugin_that_can_do_without_its_secret_starts_without_a_keyring(tmp_path: Path) -> None:
    unlock(no_keyring())
    plugin(tmp_path / "plugins", "one", "class Config(BaseModel):\n    token: Secret | None = None")
    assert outcome(tmp_path) == {"one": RUNNING}


def test_a_plugin_starts_once_the_keyring_that_holds_its_secret_is_unlocked(tmp_path: Path) -> None:
    plugin(tmp_path / "plugins", "one", NEEDS_TOKEN)
    plugin(tmp_path / "plugins", "needy", dependencies={"one": ">=1"})
    keyring.set_password("panotti", "plugins.one.token", TOKEN)

    async def main() -> None:
        unlock(LockedKeyring())
        async with managed(tmp_path) as (manager, _):
            record = manager.records["one"]
            reason = (
                "Its secret token is missing. The keyring refuses: Failed to unlock the collection!. "
                "PANOTTI_SECRET__ONE__TOKEN in the daemon's environment would do instead."
            )
            assert (record.state.value, record.reason) == ("failed", reason)
            await manager.try_again()
            assert (record.state.value, record.reason) == ("failed", reason)
            unlock(FileKeyring())
            await manager.try_again()
            assert [r.state.value for r in manager.records.values()] == ["running", "running"]

    asyncio.run(main())


@pytest.mark.parametrize("where", ["manifest", "settings"])
def test_a_secret_in_a_file_is_refused_and_not_repeated(tmp_path: Path, where: str) -> None:
    config: dict[str, Any] = {"token": TOKEN}
    folder = plugin(tmp_path / "plugins", "one", NEEDS_TOKEN, config=config if where == "manifest" else {})
    settings = {"one": PluginSettings(config=config)} if where == "settings" else None
    reasons = {
        "manifest": f"{folder}/plugin.yaml: config.token: is a secret, which no manifest may hold",
        "settings": f"settings: plugins.one.config.token: is a secret: remove it there, then {HOW_TO}",
    }
    assert outcome(tmp_path, settings=settings)["one"] == ("failed", reasons[where])


def test_a_secret_that_the_plugin_refuses_is_not_repeated(tmp_path: Path) -> None:
    keyring.set_password("panotti", "plugins.one.token", TOKEN)
    body = "class Config(BaseModel):\n    token: Secret = Field(max_length=3)"
    plugin(tmp_path / "plugins", "one", body)
    state, reason = outcome(tmp_path)["one"]
    assert state == "failed"
    assert TOKEN not in str(reason)
    assert "plugins.one.config.token: Value should have at most 3 items" in str(reason)


def test_a_plugin_that_tells_its_secret_in_an_error_is_not_heard(tmp_path: Path) -> None:
    keyring.set_password("panotti", "plugins.one.token", TOKEN)
    body = f"{NEEDS_TOKEN.rpartition('note')[0]}raise ValueError(f'bad {{self.config.token.get_secret_value()}}')"
    plugin(tmp_path / "plugins", "one", body)
    reason = str(outcome(tmp_path)["one"][1])
    assert reason.endswith(f"ValueError: bad {LEFT_OUT}")


def test_only_a_plugins_own_secrets_can_be_kept(tmp_path: Path) -> None:
    plugin(tmp_path / "plugins", "one", NEEDS_TOKEN)

    async def main() -> None:
        async with managed(tmp_path) as (manager, _):
            with pytest.raises(PermanentError, match="one has no secret tokn; did you mean token"):
                await manager.keep_secret("one", "tokn", TOKEN)

    asyncio.run(main())
