"""What an entry for the login is, on every system: what it starts, in which state it is, and how it gets there."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, Self
from unicodedata import category

from panotti_daemon.errors import AutostartFailed

CONTROL_OR_SURROGATE = ("Cc", "Cs")
"""Line breaks and the like, and what stands for bytes that are not UTF-8."""


class State(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"
    DISABLED_BY_USER = "disabled by the user"
    """There, and switched off in the system's own settings."""
    STALE = "stale"
    """There, and starts nothing or something else; enabling it again repairs it."""


@dataclass(frozen=True)
class Entry:
    """One thing that the login starts, or would."""

    starts: str
    state: State
    where: str
    reason: str = ""


@dataclass(frozen=True)
class AutostartStatus:
    state: State
    means: str
    """How this system does it, in words."""
    entries: tuple[Entry, ...]

    @property
    def reasons(self) -> list[str]:
        return [entry.reason for entry in self.entries if entry.reason]


class Autostart(Protocol):
    """All of it can be done again and changes nothing then. Every method but `status` may raise AutostartFailed."""

    def status(self) -> AutostartStatus: ...

    def enable(self) -> None:
        """Takes effect at the next login. Repairs what is stale, and turns on what the user had turned off."""

    def disable(self) -> None:
        """Removes what `enable` made; what runs goes on."""

    def start(self) -> None:
        """Does now what the login will do."""


@dataclass(frozen=True)
class Launch:
    """How Panotti is started for one home."""

    program: str
    home: str | None = None

    @classmethod
    def of_this_installation(cls, environment: Mapping[str, str]) -> Self:
        home = environment.get("PANOTTI_HOME")
        return cls(_program(), str(Path(home).expanduser().absolute()) if home else None)

    @property
    def name(self) -> str:
        """Of units, files and values: one for each home, so that no home takes the place of another."""
        if self.home is None:
            return "panotti"
        return f"panotti-{blake2b(os.fsencode(self.home), digest_size=4).hexdigest()}"

    @property
    def title(self) -> str:
        return "Panotti" if self.home is None else f"Panotti in {self.home}"

    def command(self, *arguments: str) -> tuple[str, ...]:
        """Raises AutostartFailed for paths that no login could read back."""
        home = ("--home", self.home) if self.home else ()
        # -P: not whatever is called panotti_daemon in the folder that the login starts it in
        words = (self.program, "-P", "-m", "panotti_daemon", *home, *arguments)
        for word in words:
            if any(category(letter) in CONTROL_OR_SURROGATE for letter in word):
                raise AutostartFailed(f"{word!r} has letters that cannot be written down: rename the folder.")
        return words

    def why_stale(self, words: Sequence[str], *arguments: str) -> str:
        """What is wrong with a command that an entry holds; empty if it starts this. More arguments are welcome."""
        wanted = self.command(*arguments)
        if not words:
            return "it starts nothing"
        if not Path(words[0]).is_file():
            return f"it starts {words[0]}, which is gone"
        if not _same_program(words[0], self.program) or tuple(words[1 : len(wanted)]) != wanted[1:]:
            return f"it starts another Panotti: {' '.join(words)}"
        return ""


def _program() -> str:
    """The interpreter; on Windows the one that opens no console."""
    windowless = Path(sys.executable).with_name("pythonw.exe")
    return str(windowless) if windowless.is_file() else sys.executable


def _same_program(one: str, other: str) -> bool:
    """`bin/python` and `bin/python3` are; those of two virtual environments are not, though they are links to one."""
    here, there = Path(one), Path(other)
    return here.parent.resolve() == there.parent.resolve() and here.samefile(there)


def write_atomically(path: Path, text: bytes) -> None:
    """Raises AutostartFailed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise AutostartFailed(f"{path} cannot be written: {error.strerror}.") from None


def remove(path: Path) -> None:
    """Raises AutostartFailed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise AutostartFailed(f"{path} cannot be removed: {error.strerror}.") from None
