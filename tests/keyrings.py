"""Keyrings for tests: a real backend of the keyring library, in a file, locked, or one that never answers."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.backends import fail
from keyring.errors import KeyringLocked

FILE = "TEST_KEYRING_FILE"


def no_keyring() -> KeyringBackend:
    """What the library itself has where a system has none."""
    return fail.Keyring()  # type: ignore[no-untyped-call]


class _Keyring(KeyringBackend):
    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]


class FileKeyring(_Keyring):
    """In the file that the environment names."""

    def get_password(self, service: str, username: str) -> str | None:
        return self._read().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._write({**self._read(), f"{service} {username}": password})

    def delete_password(self, service: str, username: str) -> None:
        self._write({key: value for key, value in self._read().items() if key != f"{service} {username}"})

    def _read(self) -> dict[str, str]:
        file = Path(os.environ[FILE])
        return json.loads(file.read_text()) if file.exists() else {}

    def _write(self, passwords: dict[str, str]) -> None:
        Path(os.environ[FILE]).write_text(json.dumps(passwords))


class LockedKeyring(_Keyring):
    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("Failed to unlock the collection!")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked("Failed to unlock the collection!")

    def delete_password(self, service: str, username: str) -> None:
        raise KeyringLocked("Failed to unlock the collection!")


class HangingKeyring(_Keyring):
    """Asks for a password that nobody gives, until a test lets it go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.let_go.wait()
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        self.let_go.wait()

    def delete_password(self, service: str, username: str) -> None:
        self.let_go.wait()
