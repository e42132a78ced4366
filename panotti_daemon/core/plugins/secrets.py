"""Secrets of plugins: from the environment or the system's keyring, never from a file that others may read."""

from __future__ import annotations

import os
import threading
from asyncio import Lock, timeout, wrap_future
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import ModuleType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, SecretStr

from panotti_daemon.errors import Unavailable
from panotti_daemon.logs import conceal

T = TypeVar("T")

SERVICE = "panotti"
ENV_PREFIX = "PANOTTI_SECRET__"
FETCH_SECONDS = 2.0
"""A keyring that is locked must not hold up the start: what lacks its secret is tried again later."""
KEEP_SECONDS = 60.0
"""Time for its user to unlock it."""


class Secret(SecretStr):
    """The type of a Config field that is kept in the keyring or the environment, and shown nowhere. The plugin reads it
    with `self.config.FIELD.get_secret_value()`."""


class KeyringUnavailable(Unavailable):
    """The keyring cannot be used"""


class Secrets:
    def __init__(self, environment: Mapping[str, str] = os.environ, *, fetch_seconds: float = FETCH_SECONDS) -> None:
        self._environment = environment
        self._fetch_seconds = fetch_seconds
        self._one_at_a_time = Lock()
        self._answer: Future[Any] | None = None

    async def get(self, plugin: str, key: str) -> str | None:
        """Raises KeyringUnavailable."""
        name = variable(plugin, key)
        value = next((v for variable, v in self._environment.items() if variable.upper() == name), None)
        if not value:
            user = _user(plugin, key)
            value = await self._ask(lambda keyring: keyring.get_password(SERVICE, user), self._fetch_seconds)
        if value:
            conceal(value)
        return value

    async def set(self, plugin: str, key: str, value: str) -> None:
        """Raises KeyringUnavailable."""
        conceal(value)
        try:
            await self._ask(lambda keyring: keyring.set_password(SERVICE, _user(plugin, key), value), KEEP_SECONDS)
        except KeyringUnavailable as error:
            hint = f"Give {variable(plugin, key)} to the daemon in its environment instead."
            raise KeyringUnavailable(f"{error.message} {hint}") from error

    async def delete(self, plugin: str, key: str) -> None:
        """Raises KeyringUnavailable."""

        def delete(keyring: ModuleType) -> None:
            if keyring.get_password(SERVICE, _user(plugin, key)) is not None:
                keyring.delete_password(SERVICE, _user(plugin, key))

        await self._ask(delete, KEEP_SECONDS)

    async def _ask(self, question: Callable[[ModuleType], T], seconds: float) -> T:
        """In a thread that is left alone when it does not answer: a locked keyring asks for its password, for ever."""
        async with self._one_at_a_time:
            if self._answer and not self._answer.done():
                raise KeyringUnavailable("The keyring still has not answered; it may be locked.")
            answer = self._answer = Future[Any]()
            answer.set_running_or_notify_cancel()
            threading.Thread(target=_answer, args=(question, answer), name="keyring", daemon=True).start()
            try:
                async with timeout(seconds):
                    found: T = await wrap_future(answer)
                    return found
            except TimeoutError as error:
                raise KeyringUnavailable(
                    f"The keyring did not answer within {seconds:g} s; it may be locked."
                ) from error


def secret_keys(config: type[BaseModel]) -> list[str]:
    """The fields of a plugin's Config that are secrets."""
    return [name for name, field in config.model_fields.items() if _is_secret(field.annotation)]


def variable(plugin: str, key: str) -> str:
    """The environment variable that a secret may stand in."""
    return f"{ENV_PREFIX}{plugin}__{key}".upper()


def _user(plugin: str, key: str) -> str:
    return f"plugins.{plugin}.{key}"


def _is_secret(annotation: Any) -> bool:
    if isinstance(annotation, type):
        return issubclass(annotation, SecretStr)
    return any(_is_secret(argument) for argument in get_args(annotation))


def _answer(question: Callable[[ModuleType], Any], answer: Future[Any]) -> None:
    try:
        import keyring  # here, because it takes a tenth of a second, and most plugins have no secret
        from keyring.errors import KeyringError, NoKeyringError

        try:
            answer.set_result(question(keyring))
        except NoKeyringError:
            answer.set_exception(KeyringUnavailable("There is no keyring here."))
        except KeyringError as error:
            answer.set_exception(KeyringUnavailable(f"The keyring refuses: {' '.join(str(error).split())}."))
    except Exception as error:  # backends are other people's code, and speak to other people's services
        answer.set_exception(KeyringUnavailable(f"The keyring cannot be used: {type(error).__name__}."))
