"""How commands speak to the running daemon, and show what it says."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from panotti_daemon.errors import PanottiError
from panotti_daemon.paths import Paths

if TYPE_CHECKING:
    from pydantic import BaseModel

    from panotti_daemon.client import Client

T = TypeVar("T")

JSON = typer.Option(False, "--json", help="Print JSON.")


def ask(question: Callable[[Client], Awaitable[T]]) -> T:
    """Raises NotRunning, RequestFailed."""
    import asyncio

    from panotti_daemon.client import Client

    async def asked() -> T:
        return await question(Client.from_paths(Paths.from_environment()))

    return asyncio.run(asked())


def print_json(value: BaseModel | list[Any] | dict[str, Any]) -> None:
    plain = value if isinstance(value, list | dict) else value.model_dump(mode="json")
    typer.echo(json.dumps(plain, ensure_ascii=False, indent=2))


def absolute(path: Path) -> str:
    """As the ledger has it: absolute, links not resolved. Raises PanottiError for a name that it cannot have."""
    name = os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 pathlib leaves every `..` in it
    from panotti_daemon.api.schemas import absolute_path

    try:
        return absolute_path(name)
    except ValueError as error:
        raise PanottiError(f"{name!r} {error}.", title="A file's name cannot be used") from None


def is_path(what: str) -> bool:
    """And not an id, or a part of one."""
    return os.sep in what or os.path.exists(what)  # noqa: PTH110 pathlib raises for what is too long


def confirm(question: str, *, yes: bool) -> None:
    """A no ends the command. Raises PanottiError where nobody can answer."""
    if not yes and not wished(question):
        raise typer.Abort


def wished(question: str) -> bool:
    """Asks on stderr, as stdout may be for JSON. Raises PanottiError where nobody can answer."""
    if not sys.stdin.isatty():
        raise PanottiError(f"“{question}” Nobody is there to answer: say --yes.", title="Nothing was done")
    return typer.confirm(question, err=True)


def typed_secret(name: str) -> str:
    """Asked for, or read from stdin. Never an argument: those are seen by all, and kept in the shell's history."""
    value: str = typer.prompt(name, hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not value:
        raise typer.BadParameter(f"no value for {name} came from stdin")
    return value


def counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
